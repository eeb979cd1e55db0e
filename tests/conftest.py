import os
from pathlib import Path

import pytest
from hypothesis import settings
from playwright.sync_api import sync_playwright

from browser import BROWSER, open_file
from projects import ROOT

# How long an example takes says nothing of what is tested: machines are busy, and the first one may compile.
settings.register_profile("nenflow", deadline=None)
settings.load_profile("nenflow")


def _folder(variable, beside):
    folder = Path(os.environ.get(variable, ROOT.parent / "shared" / beside))
    if not folder.is_dir():
        pytest.skip(f"needs the folder named by {variable} (or ../shared/{beside} beside the project)")
    return folder


def pytest_collection_modifyitems(items):
    """Workflows first, since they take longest; each file of tests is dealt out as a whole."""
    items.sort(key=lambda item: "workflow" not in item.path.parts)


@pytest.fixture(scope="session")
def test_data():
    """The folder of real DICOM cases and reference values (public data, not part of the project)."""
    return _folder("NENFLOW_TEST_DATA", "data")


@pytest.fixture(scope="session")
def golden():
    """The folder of results computed in R that nenflow has to agree with (not part of the project)."""
    return _folder("NENFLOW_GOLDEN", "golden")


@pytest.fixture(scope="session")
def browser():
    """Headless Chromium of the system, started once; tests that use it are marked `needs_browser`."""
    with sync_playwright() as driver:
        started = driver.chromium.launch(executable_path=BROWSER, args=["--no-sandbox"])
        yield started
        started.close()


@pytest.fixture
def open_page(browser):
    """Opens a file as `browser.open_file` does; what was opened is closed behind the test."""
    opened = []

    def open_one(path, **how):
        opened.append(open_file(browser, path, **how))
        return opened[-1]

    yield open_one
    for one in opened:
        one.page.close()
