import errno
import os
import re
import sys
import traceback
from collections.abc import Iterable
from pathlib import Path

from nenflow.errors import TRIED_AGAIN, InputError

SHARED = "NENFLOW_SHARED"  # environment variable that is there where results go into a cache that others use
ERROR = "Error: "  # begins the sentence for the user, by which it is found in a log
TRACEBACK = "Traceback (most recent call last):"
TRIES = 2  # of a job that reads images, before one more excludes its patient because the system stopped these


def start_log(path: str | Path) -> None:
    """Send everything this process prints to a log file; the first call of every script.

    File descriptors 1 and 2 are redirected, not only Python's streams, so that messages of ITK and other compiled
    code land there too. An `InputError` is logged as its one sentence, the last thing in the log, and so is a full
    disk; any other error with its traceback.
    """
    Path(path).parent.mkdir(parents=True, exist_ok=True)
    log = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o644)
    sys.stdout.flush()
    sys.stderr.flush()
    os.dup2(log, 1)
    os.dup2(log, 2)
    os.close(log)
    sys.excepthook = _log_error


def was_stopped(log: str | Path, attempt: int) -> bool:
    """Whether the tries of a job in this run were stopped, so that this one, the last, is only there to say so.

    Asked before `start_log`, which empties the log of the try before. A job that the system stops leaves no message.

    Args:
        log: the job's log.
        attempt: the number of this try, from 1.
    """
    if attempt <= TRIES:
        return False
    log = Path(log)
    return not log.exists() or ended_silently(log.read_text(encoding="utf-8", errors="replace"))


def ended_silently(text: str) -> bool:
    """Whether the log of a job that failed has no reason in it."""
    return TRACEBACK not in text and not re.search(f"^{ERROR}", text, flags=re.MULTILINE)


def print_cause(error: Exception, path: Path) -> None:
    """Print of a failure to read a file where it arose, but not its message.

    Messages of libraries repeat what stands in a header, which may be the name of a patient.
    """
    print(path)
    traceback.print_tb(error.__traceback__, file=sys.stdout)
    print(f"{type(error).__name__} {(isinstance(error, OSError) and error.strerror) or ''}".strip())


def note_tries(log: str, tries: int, reasons: Iterable[str]) -> None:
    """Note beside a job's log how often it ended without data for a reason that lies in the machine.

    The number is among the rule's params, so that the next run does the job again until it succeeds. It does not stand
    in the results: those are the same after a second try as after a first.

    Args:
        log: the job's log.
        tries: the number so far.
        reasons: why cases were excluded, empty for those that were not.

    Raises:
        InputError: it ended so, and results are shared: others must not get what one machine failed to make.
    """
    failed = any(TRIED_AGAIN in reason for reason in reasons)
    if failed and SHARED in os.environ:
        raise InputError("The machine failed, which the log of the job tells of: run the same command again.")
    tries += failed
    if tries:
        Path(log).with_suffix(".tries").write_text(str(tries), encoding="utf-8")


def _log_error(kind: type[BaseException], error: BaseException, trace: object) -> None:
    if isinstance(error, InputError):
        sys.stdout.flush()  # what was printed before stands before
        print(f"{ERROR}{error}", file=sys.stderr)
    elif isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EDQUOT):
        sys.stdout.flush()
        print(f"{ERROR}The disk is full: make room and run the same command again.", file=sys.stderr)
    else:
        traceback.print_exception(kind, error, trace)
