"""A Slurm cluster of one node, for tests, on a machine that has no Slurm of its own."""

import os
import shutil
import socket
import subprocess
import time
from contextlib import ExitStack, contextmanager
from pathlib import Path

PROGRAMS = ("munged", "slurmctld", "slurmd", "sbatch", "squeue", "scontrol")
# Jobs find the configuration at its usual place only: the executor takes Slurm's variables out of their environment.
USUAL = Path("/etc/slurm/slurm.conf")
SECONDS = 60  # that the node gets to come up
MEMORY_MB = 8000  # that the node says it has: jobs wait for memory before they wait for that of a small machine
CONFIGURATION = """\
ClusterName=test
SlurmctldHost={host}(127.0.0.1)
SlurmctldPort={controller}
SlurmdPort={daemon}
SlurmUser=root
AuthInfo=socket={folder}/munge.socket
StateSaveLocation={folder}/state
SlurmdSpoolDir={folder}/spool
SlurmctldPidFile={folder}/slurmctld.pid
SlurmdPidFile={folder}/slurmd.pid
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
JobAcctGatherType=jobacct_gather/none
AccountingStorageType=accounting_storage/none
MpiDefault=none
ReturnToService=2
SelectType=select/cons_tres
SelectTypeParameters=CR_Core_Memory
SchedulerParameters=sched_min_interval=100000,batch_sched_delay=0
NodeName={host} NodeAddr=127.0.0.1 CPUs={cores} RealMemory={memory} State=UNKNOWN
PartitionName=main Nodes=ALL Default=YES MaxTime=INFINITE State=UP
"""


def missing() -> str:
    """Why no node can be started here; empty where one can."""
    if os.geteuid() != 0:
        return "a Slurm node is started by root only"
    if USUAL.exists() and not USUAL.is_symlink():
        return f"this machine has a Slurm of its own ({USUAL})"
    absent = [name for name in PROGRAMS if not _program(name)]
    return f"needs {', '.join(absent)} (Debian's slurm-wlm and munge)" if absent else ""


@contextmanager
def slurm_node(folder: Path):
    """Start munge, the controller and the node's daemon, with all that they write in an empty folder; and stop them."""
    host = socket.gethostname().split(".")[0]
    controller, daemon = _free_ports(2)
    for name in ("state", "spool"):
        (folder / name).mkdir()
    (folder / "munge.key").write_bytes(os.urandom(128))
    (folder / "munge.key").chmod(0o400)
    (folder / "slurm.conf").write_text(
        CONFIGURATION.format(
            host=host, controller=controller, daemon=daemon, folder=folder, cores=os.cpu_count(), memory=MEMORY_MB
        )
    )
    USUAL.parent.mkdir(exist_ok=True)
    USUAL.unlink(missing_ok=True)  # a link to the configuration of a node that was killed
    USUAL.symlink_to(folder / "slurm.conf")
    munge = ["munged", "--foreground", "--force", f"--key-file={folder}/munge.key", f"--socket={folder}/munge.socket"]
    munge += [f"--{name}-file={folder}/munge.{name}" for name in ("pid", "log", "seed")]
    with ExitStack() as running:
        running.callback(USUAL.unlink)
        for command in (munge, ["slurmctld", "-D", "-i"], ["slurmd", "-D", "-N", host]):
            running.enter_context(_daemon(command, folder))
            time.sleep(1)
        _wait_for_node(folder)
        yield


@contextmanager
def _daemon(command: list[str], folder: Path):
    with (folder / f"{command[0]}.out").open("w") as output:
        process = subprocess.Popen([_program(command[0]), *command[1:]], stdout=output, stderr=subprocess.STDOUT)
        try:
            yield
        finally:
            process.terminate()
            process.wait(timeout=SECONDS)


def _program(name: str) -> str | None:
    """Where a program is; those for administrators need not be in everybody's path."""
    return shutil.which(name, path=f"{os.environ['PATH']}:/usr/sbin:/usr/local/sbin")


def _free_ports(count: int) -> list[int]:
    with ExitStack() as opened:
        sockets = [opened.enter_context(socket.socket()) for _ in range(count)]
        for one in sockets:
            one.bind(("127.0.0.1", 0))
        return [one.getsockname()[1] for one in sockets]


def _wait_for_node(folder: Path) -> None:
    for _ in range(SECONDS):
        asked = subprocess.run(["sinfo", "-h", "-o", "%T"], capture_output=True, text=True)
        if asked.stdout.strip() == "idle":
            return
        time.sleep(1)
    logs = "\n".join(path.read_text()[-1500:] for path in sorted(folder.glob("*.out")))
    raise RuntimeError(f"The Slurm node did not come up: {asked.stdout}{asked.stderr}\n{logs}")
