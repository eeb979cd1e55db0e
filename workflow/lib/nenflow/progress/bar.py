"""The line at the foot of a terminal that says how far a run is."""

import atexit
import logging
from collections.abc import Mapping

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn
from rich.text import Text

from nenflow.progress.failures import Failure, event_name, failure_lines

_SPEED = 900.0  # seconds; jobs of a study differ, so the time left is told from the last quarter of an hour
_SHOWN = 3  # running jobs that are named


class Bar(logging.Handler):
    """Shows jobs done and left, the time left, what runs now, and each failure with its cause when it happens.

    It takes the place of Snakemake's own messages in a terminal; they still go to the file in .snakemake/log.

    Args:
        total: jobs to be done, as far as it is known.
        console: where to draw.
    """

    def __init__(self, total: int, console: Console | None = None):
        super().__init__()
        self._console = console or Console(stderr=True)
        self._progress = Progress(
            TextColumn("{task.percentage:>3.0f}%"),
            BarColumn(),
            MofNCompleteColumn(),
            TextColumn("jobs, {task.fields[left]} left, about"),
            TimeRemainingColumn(compact=True),
            TextColumn("to go,"),
            TimeElapsedColumn(),
            TextColumn("so far  {task.fields[now]}", style="dim"),
            console=self._console,
            transient=True,
            speed_estimate_period=_SPEED,
        )
        self._task = self._progress.add_task("", total=total, left=total, now="")
        self._running: dict[int, tuple[str, Mapping[str, str]]] = {}
        self._failed: dict[int, str] = {}
        self._progress.start()
        atexit.register(self.close)  # or a run that breaks off leaves the terminal without a cursor

    def emit(self, record: logging.LogRecord) -> None:
        """Draw what a record tells."""
        match event_name(record):
            case "job_info":
                self._running[record.jobid] = record.rule_name, dict(record.wildcards)
            case "job_finished":
                self._running.pop(record.job_id, None)
                self._failed.pop(record.job_id, None)
            case "progress":
                self._progress.update(
                    self._task, completed=record.done, total=record.total, left=record.total - record.done
                )
            case "job_error":
                rule, wildcards = self._running.pop(record.jobid, (record.rule_name, {}))
                told = "\n".join(failure_lines([Failure(rule, wildcards, list(record.log))]))
                if told != self._failed.get(record.jobid):  # the next try may fail for the same reason
                    self._print(told, "red")
                self._failed[record.jobid] = told
            case _ if record.levelno >= logging.WARNING and record.msg:
                self._print(record.getMessage(), "yellow")
        self._progress.update(self._task, now=self._now(), refresh=True)

    def close(self) -> None:
        """Leave the terminal as it was."""
        self._progress.stop()
        super().close()

    def _print(self, text: str, style: str) -> None:
        self._console.print(Text(text, style=style), soft_wrap=True)

    def _now(self) -> str:
        named = [" ".join(filter(None, (rule, wildcards.get("patient")))) for rule, wildcards in self._running.values()]
        failed = [f"{len(self._failed)} failed"] if self._failed else []
        return ", ".join([*failed, *named[:_SHOWN], *(["…"] if len(named) > _SHOWN else [])])
