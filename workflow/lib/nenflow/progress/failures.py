"""Which jobs of a run failed, and why, in the words of their logs."""

import logging
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from nenflow.logs import ERROR

_TRACEBACK = "Traceback (most recent call last):"
_SILENT = (
    "it was stopped without a message, most often because memory ran out, on a cluster also time: give the run more of "
    "it, or fewer cores"
)


@dataclass(frozen=True)
class Failure:
    """A job that failed: its rule, its wildcards, and its logs."""

    rule: str
    wildcards: Mapping[str, str]
    logs: Sequence[str]

    def __str__(self) -> str:
        """The job in words: "extract_features, study tiny, cohort development, patient P003"."""
        return ", ".join([self.rule, *(f"{name} {value}" for name, value in self.wildcards.items())])


class Failures(logging.Handler):
    """Follows a run by the events that Snakemake logs, as its logger plugins do, and keeps what failed.

    A job that failed and was then done again with success is none that failed.

    Attributes:
        failed: the failures, by the number of their job.
        done, total: jobs of this run; `total` is told by who knows it, and grows as checkpoints do.
    """

    def __init__(self):
        super().__init__()
        self.failed: dict[int, Failure] = {}
        self.done = self.total = 0
        self._wildcards: dict[int, Mapping[str, str]] = {}

    def emit(self, record: logging.LogRecord) -> None:
        """Take note of an event."""
        match event_name(record):
            case "job_info":  # only here the wildcards are told
                self._wildcards[record.jobid] = dict(record.wildcards)
            case "job_error":
                known = self._wildcards.get(record.jobid, {})
                self.failed[record.jobid] = Failure(record.rule_name, known, list(record.log))
            case "job_finished":
                self.failed.pop(record.job_id, None)
            case "progress":
                self.done, self.total = record.done, record.total


def event_name(record: logging.LogRecord) -> str | None:
    """The name of the event that a record of Snakemake tells of; None where it tells of none."""
    return getattr(getattr(record, "event", None), "value", None)


def failure_cause(text: str) -> str:
    """Why a job failed, from the text of its log: the sentence for the user, or else what there is.

    Args:
        text: content of the log; see `logs.start_log` for what stands in it.
    """
    sentences = re.split(f"^{re.escape(ERROR)}", text, flags=re.MULTILINE)
    if len(sentences) > 1:
        return sentences[-1].strip()
    if _TRACEBACK not in text:
        return _SILENT
    # The last line without indent names the exception; the lines before it are of the program's text.
    named = [line for line in text.rpartition(_TRACEBACK)[2].splitlines() if re.match(r"\w", line)]
    return f"a fault of the program, {named[-1].strip() if named else 'unnamed'}; its log says where"


def failure_lines(failures: Iterable[Failure]) -> list[str]:
    """Each failure with its cause and where its log is, in lines for a terminal."""
    lines = []
    for failure in failures:
        logs = [Path(log) for log in failure.logs if Path(log).is_file()]
        # Messages of the cluster stand beside the job's own log; that one comes first.
        causes = [failure_cause(log.read_text(encoding="utf-8", errors="replace")) for log in logs]
        cause = next((cause for cause in causes if cause != _SILENT), _SILENT)
        lines += [f"Failed: {failure}", *(f"  {line}" for line in cause.splitlines())]
        lines += [f"  log: {log}" for log in logs]
    return lines
