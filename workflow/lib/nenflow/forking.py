"""Jobs are forked off one process that has loaded what they import.

Python and its libraries take half a second to two to start, as long as most jobs of a study work. On Linux they start
once in a run: its first script that imports a library loads it for all scripts after it. A job still is a process of
its own; one that breaks or is killed takes nothing else with it.
"""

import ast
import atexit
import gc
import os
import runpy
import select
import signal
import socket
import subprocess
import sys
import tempfile
from contextlib import suppress
from importlib import import_module
from pathlib import Path
from threading import Lock
from typing import NoReturn

LIBRARY = Path(__file__).parents[1]
ONE_THREAD = ("OMP", "OPENBLAS", "MKL", "NUMEXPR")  # a job has one core; threads would not survive a fork either
LARGE_PAGES = {"GLIBC_TUNABLES": "glibc.malloc.hugetlb=1"}  # a job gets the memory for a scan in a fifth of the time
AVAILABLE = sys.platform == "linux"  # elsewhere libraries of the system do not bear a fork
LONGEST = 1 << 16  # bytes of a request: the path of a script and that of a folder


class Parent:
    """The process that jobs are forked off, as seen by the one that asks for them; started with the first job."""

    def __init__(self):
        self._process: subprocess.Popen | None = None
        self._requests: socket.socket
        self._lock = Lock()

    def run(self, script: str, temporary: str) -> int:
        """Run a Python script in a process of its own; may be called by several threads.

        Args:
            script: path of the file.
            temporary: folder for its temporary files.

        Returns:
            The exit code, negative where a signal ended it, as `subprocess` has it.
        """
        ours, theirs = socket.socketpair()
        with ours:
            with theirs, self._lock:
                if self._process is None or self._process.poll() is not None:
                    self._start()
                process = self._process
                with suppress(BrokenPipeError):  # it ends at this moment
                    socket.send_fds(self._requests, ["\0".join([script, temporary]).encode()], [theirs.fileno()])
            answer = ours.recv(LONGEST)
        if answer:
            return int(answer)
        with self._lock:  # killed, but it may still be about to end: the next job must not ask it
            process.wait()
        return -signal.SIGKILL

    def _start(self) -> None:
        self._requests, theirs = socket.socketpair(type=socket.SOCK_SEQPACKET)
        threads = {f"{name}_NUM_THREADS": "1" for name in ONE_THREAD}
        places = [str(LIBRARY), *filter(None, [os.environ.get("PYTHONPATH")])]
        with theirs:
            self._process = subprocess.Popen(
                [sys.executable, "-m", "nenflow.forking", str(theirs.fileno())],
                env={**LARGE_PAGES, **os.environ, **threads, "PYTHONPATH": os.pathsep.join(places)},
                pass_fds=[theirs.fileno()],
            )

    def close(self) -> None:
        """Let the process end; jobs that still run go on."""
        if self._process is not None:
            self._requests.close()
            self._process.wait()
            self._process = None


def serve(requests: socket.socket) -> None:
    """Fork a job for each request, and answer with its exit code, until the other side is gone."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is for the jobs, and for the one who asks for them
    ends, bell = socket.socketpair()  # has something to read when a job has ended
    bell.setblocking(False)
    signal.set_wakeup_fd(bell.fileno())
    signal.signal(signal.SIGCHLD, lambda *_: None)
    jobs: dict[int, socket.socket] = {}
    while True:
        ready = select.select([requests, ends], [], [])[0]
        if ends in ready:
            ends.recv(LONGEST)
            _answer_ended(jobs)
        if requests in ready:
            request, descriptors, _, _ = socket.recv_fds(requests, LONGEST, 1)
            if not request:
                return
            answers = socket.socket(fileno=descriptors[0])
            inherited = [requests, ends, bell, answers, *jobs.values()]
            if number := _fork(*request.decode().split("\0"), inherited):
                jobs[number] = answers
            else:
                _answer(answers, -signal.SIGKILL)  # as the system ends a job it has no memory for


def _fork(script: str, temporary: str, inherited: list[socket.socket]) -> int | None:
    """Start a job; its process number, or None where the system has no memory or no process left."""
    _load(script)
    gc.freeze()  # or the first collection of every job would touch, and so copy, all that is loaded
    try:
        number = os.fork()
    except OSError:
        return None
    return number or _work(script, temporary, inherited)


def _answer_ended(jobs: dict[int, socket.socket]) -> None:
    """Tell the exit codes of jobs that have ended."""
    for number in list(jobs):
        ended, status = os.waitpid(number, os.WNOHANG)
        if ended:
            _answer(jobs.pop(number), os.waitstatus_to_exitcode(status))


def _answer(answers: socket.socket, code: int) -> None:
    with answers, suppress(BrokenPipeError):  # the one who asked was killed
        answers.send(str(code).encode())


def _load(script: str) -> None:
    """Import the modules that a script names at its top."""
    with suppress(Exception):  # its own process will come upon the same, and say so in its log
        for statement in ast.parse(Path(script).read_bytes()).body:
            if isinstance(statement, ast.Import):
                for name in statement.names:
                    import_module(name.name)
            elif isinstance(statement, ast.ImportFrom):
                import_module(statement.module)


def _work(script: str, temporary: str, inherited: list[socket.socket]) -> NoReturn:
    """Be the process of a script, from its first line to its exit code."""
    code = 1
    try:
        signal.set_wakeup_fd(-1)
        for connection in inherited:
            connection.close()
        signal.signal(signal.SIGINT, signal.default_int_handler)
        signal.signal(signal.SIGCHLD, signal.SIG_DFL)
        with suppress(OSError):
            Path("/proc/self/comm").write_text(Path(script).stem.split(".")[-1])  # its name in `top`
        os.environ["TMPDIR"] = tempfile.tempdir = temporary
        sys.argv[:] = [script]
        code = _run(script)
        atexit._run_exitfuncs()  # as `multiprocessing` does; what Python would take apart after it ends here
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)


def _run(script: str) -> int:
    try:
        runpy.run_path(script, run_name="__main__")
    except SystemExit as end:
        return end.code if isinstance(end.code, int) else int(end.code is not None)
    except BaseException as error:
        sys.excepthook(type(error), error, error.__traceback__)
        return 1
    return 0


if __name__ == "__main__":
    serve(socket.socket(fileno=int(sys.argv[1])))
    os._exit(0)  # nothing is left to do but to take libraries apart
