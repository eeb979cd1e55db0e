import atexit
import errno
import os
import sys
import traceback
from collections.abc import Iterable
from pathlib import Path

from nenflow.errors import TRIED_AGAIN, InputError

SHARED = "NENFLOW_SHARED"  # environment variable that is there where results go into a cache that others use
ERROR = "Error: "  # begins the sentence for the user, by which it is found in a log
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


def begin_try(log: str | Path, attempt: int) -> bool:
    """Note beside a job's log that it runs, until it ends in whatever way but one: being stopped by the system.

    Args:
        log: the job's log.
        attempt: the number of this try in this run, from 1.

    Returns:
        Whether tries before were stopped, so that this one, the last, is only there to say so.
    """
    mark = Path(log).with_suffix(".running")  # the log itself is removed before each try
    stopped = attempt > TRIES and mark.exists()
    mark.parent.mkdir(parents=True, exist_ok=True)
    mark.touch()
    atexit.register(mark.unlink, missing_ok=True)
    return stopped


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
