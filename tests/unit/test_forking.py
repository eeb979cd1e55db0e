"""Jobs that are forked off one process: each is on its own, and ends as a script of its own Python would."""

import os
import signal
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor

import pytest

from nenflow.forking import AVAILABLE, LIBRARY, Parent

pytestmark = pytest.mark.skipif(not AVAILABLE, reason="jobs are forked on Linux only")

LOADED = "import os\n\nwith open(os.environ['LOADINGS'], 'a') as file:\n    file.write('loaded ')\nvalue = 1\n"
ENDS = {
    "": 0,
    "import sys; sys.exit(3)": 3,
    "import sys; sys.exit()": 0,
    "import sys; sys.exit('Some words.')": 1,
    "raise ValueError('a reason')": 1,
    "this is no Python": 1,
    "import no_such_library": 1,
    "import os, signal; os.kill(os.getpid(), signal.SIGKILL)": -signal.SIGKILL,
    "import os, signal; os.kill(os.getpid(), signal.SIGTERM)": -signal.SIGTERM,
}


@pytest.fixture
def parent():
    parent = Parent()
    yield parent
    parent.close()


@pytest.fixture
def run(parent, tmp_path):
    """Runs the text of a script."""
    (tmp_path / "temporary").mkdir()

    def run(text, name="job"):
        script = tmp_path / f"tmp0.{name}.py"
        script.write_text(text, encoding="utf-8")
        return parent.run(str(script), str(tmp_path / "temporary"))

    return run


@pytest.fixture
def library(tmp_path, monkeypatch):
    """A library that notes when it is loaded; the note."""
    (tmp_path / "slow_library.py").write_text(LOADED, encoding="utf-8")
    monkeypatch.setenv("LOADINGS", str(tmp_path / "loadings"))
    monkeypatch.setattr("nenflow.forking.LIBRARY", f"{tmp_path}:{LIBRARY}")
    return tmp_path / "loadings"


@pytest.mark.parametrize("text", ENDS)
def test_a_job_has_the_exit_code_that_python_gives_its_script(run, tmp_path, text, capfd):
    assert run(text) == ENDS[text]
    forked = capfd.readouterr()
    alone = subprocess.run([sys.executable, tmp_path / "tmp0.job.py"], capture_output=True, text=True)
    assert alone.returncode == ENDS[text]
    if "exit" not in text:  # what it prints at its end, and ends with
        assert forked.err.splitlines()[-1:] == alone.stderr.splitlines()[-1:]


def test_what_scripts_import_is_loaded_once(run, library):
    assert run("import slow_library") == 0
    assert run("from slow_library import value\nassert value == 1") == 0
    assert library.read_text() == "loaded "


def test_a_job_sees_nothing_of_another(run, library):
    assert run("import os, slow_library\nslow_library.value = 2\nos.environ['LEFT'] = 'behind'") == 0
    assert run("import os, slow_library\nassert slow_library.value == 1\nassert 'LEFT' not in os.environ") == 0


def test_a_job_leaves_by_its_own_functions(run, tmp_path):
    text = f"import atexit, pathlib\natexit.register(pathlib.Path({str(tmp_path / 'left')!r}).touch)"
    assert run(text) == 0
    assert (tmp_path / "left").exists()


def test_a_job_has_the_name_of_its_script_and_its_temporary_folder(run, tmp_path):
    text = f"""
import os, sys, tempfile
assert open("/proc/self/comm").read() == "import_images\\n"
assert tempfile.gettempdir() == os.environ["TMPDIR"] == {str(tmp_path / "temporary")!r}
assert sys.argv == [__file__]
assert __name__ == "__main__"
"""
    assert run(text, "import_images") == 0


def test_jobs_run_beside_each_other(parent, tmp_path):
    # Each waits for the other's file: one after the other, the first would wait for ever.
    texts = [
        f"import time, pathlib\npathlib.Path({str(tmp_path / own)!r}).touch()\n"
        f"while not pathlib.Path({str(tmp_path / other)!r}).exists():\n    time.sleep(0.01)"
        for own, other in [("first", "second"), ("second", "first")]
    ]
    scripts = [tmp_path / "one.py", tmp_path / "two.py"]
    for script, text in zip(scripts, texts, strict=True):
        script.write_text(text, encoding="utf-8")
    with ThreadPoolExecutor() as pool:
        ends = pool.map(lambda script: parent.run(str(script), str(tmp_path)), scripts)
        assert list(ends) == [0, 0]


def test_a_killed_parent_fails_its_job_and_is_started_anew(run):
    for _ in range(20):  # often, for it takes a moment to end, and the next job must not ask it meanwhile
        assert run("import os, signal; os.kill(os.getppid(), signal.SIGKILL)") == -signal.SIGKILL
        assert run("") == 0


def test_no_process_is_left(run, parent, tmp_path):
    assert run(f"import os\nopen({str(tmp_path / 'number')!r}, 'w').write(str(os.getppid()))") == 0
    number = int((tmp_path / "number").read_text())
    os.kill(number, 0)
    parent.close()
    with pytest.raises(ProcessLookupError):
        os.kill(number, 0)


def test_jobs_go_on_when_the_one_who_asked_is_killed(tmp_path):
    job = tmp_path / "job.py"
    job.write_text(
        f"import os, time, pathlib\npathlib.Path({str(tmp_path / 'begun')!r}).write_text(str(os.getppid()))\n"
        f"time.sleep(0.5)\npathlib.Path({str(tmp_path / 'done')!r}).touch()",
        encoding="utf-8",
    )
    text = f"from nenflow.forking import Parent\nParent().run({str(job)!r}, {str(tmp_path)!r})"
    asking = subprocess.Popen([sys.executable, "-c", text], env=os.environ | {"PYTHONPATH": str(LIBRARY)})
    wait_for(lambda: (tmp_path / "begun").exists() and (tmp_path / "begun").read_text())
    asking.kill()
    asking.wait()
    wait_for((tmp_path / "done").exists)
    wait_for(lambda: not os.path.exists(f"/proc/{(tmp_path / 'begun').read_text()}"))


def wait_for(condition, seconds=30):
    """Wait until something holds."""
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.02)
