"""What stands at the end of a run: where the report is, who was excluded and why, what failed and why."""

from collections.abc import Iterable
from pathlib import Path

from nenflow.progress.failures import Failures, failure_lines
from nenflow.records import read_records, write_records

_NAMED = 8  # units named for each reason; the table has all


def write_run_times(jobs: Iterable[tuple[str, float, float]], path: Path) -> None:
    """Write a row for each rule: its jobs, and how long they took, seconds.

    Times differ from run to run, so that this table is no part of what the same input gives the same bytes of.

    Args:
        jobs: of each job its rule, its start and its end, seconds since 1970; on a cluster the start is that of its
            waiting in the queue.
        path: where to write.
    """
    taken: dict[str, list[float]] = {}
    for rule, start, end in jobs:
        taken.setdefault(rule, []).append(max(end - start, 0.0))
    rows = [
        {"rule": rule, "jobs": len(times), "total_s": round(sum(times), 1), "longest_s": round(max(times), 1)}
        for rule, times in sorted(taken.items(), key=lambda item: -sum(item[1]))
    ]
    write_records(rows, path, ["rule", "jobs", "total_s", "longest_s"])


def success_lines(pages: Iterable[str]) -> list[str]:
    """Where to look after a run that went well.

    Args:
        pages: the pages that were made.
    """
    return [f"Ready: {page}" for page in pages]


def error_lines(run: Failures) -> list[str]:
    """What failed in a run, each with the sentence of its log, and what became of the rest.

    Args:
        run: what it logged.
    """
    failed = len(run.failed)
    if not failed:
        return ["The run was stopped before it ended; finished work is kept, the same command goes on from there."]
    waiting = run.total - run.done - failed
    rest = f"; {waiting} that need their results, or came after, were not run" if waiting > 0 else ""
    lines = failure_lines(run.failed.values())
    lines.append(f"{failed} of {run.total} jobs failed{rest}.")
    return [*lines, "Mend what is named above and run the same command again: finished work is kept."]


def exclusion_lines(study: str, cohort: str, table: Path) -> list[str]:
    """Who was excluded from a cohort, by reason; nothing where nobody was or the table is not made yet.

    Args:
        study, cohort: their names.
        table: exclusions.csv of the cohort.
    """
    if not table.is_file():
        return []
    rows = read_records(table)
    units: dict[str, list[str]] = {}
    for row in rows:
        units.setdefault(row["reason"], []).append(" ".join(filter(None, (row["patient"], row["region"]))))
    if not rows:
        return []
    lines = [f"{study}: {len(rows)} of the cohort {cohort} excluded, each with its reason in {table}"]
    for reason, named in units.items():
        more = f" and {len(named) - _NAMED} more" if len(named) > _NAMED else ""
        lines.append(f"  {', '.join(named[:_NAMED])}{more}: {reason}")
    return lines
