"""A page as a person opens it: in a browser, from a file, without a network."""

import json
import re
import shutil
import subprocess

import pytest
from PIL import Image

BROWSER = shutil.which("chromium")
# Who asked, in Chromium's log: a page opened from a file has the origin "null", Chromium's own requests have none.
FROM_A_PAGE = "null"

needs_browser = pytest.mark.skipif(not BROWSER, reason="needs the browser chromium")


def open_page(page, folder):
    """Open a page; returns a picture of it and the addresses that it asked a network for."""
    folder.mkdir(exist_ok=True)
    options = [
        "--window-size=1100,2000",
        f"--screenshot={folder / 'page.png'}",
        f"--log-net-log={folder / 'net.json'}",
    ]
    _run(page, folder, options)
    log = json.loads((folder / "net.json").read_text())
    start = log["constants"]["logEventTypes"]["URL_REQUEST_START_JOB"]
    started = [event["params"] for event in log["events"] if event["type"] == start and "params" in event]
    asked = [job["url"] for job in started if job.get("initiator") == FROM_A_PAGE]
    return Image.open(folder / "page.png"), asked


def width_taken(page, width, folder):
    """How wide a page's content gets on a screen of so many pixels; more means that the page scrolls sideways.

    A window has a least width, a frame has none.
    """
    folder.mkdir(exist_ok=True)
    frame = folder / "frame.html"
    frame.write_text(
        f'<iframe id="page" src="{page.as_uri()}" style="width:{width}px;height:800px;border:0"></iframe><script>'
        'const page = document.getElementById("page"); page.onload = () => { document.title ='
        ' "taken " + page.contentDocument.documentElement.scrollWidth }</script>'
    )
    options = ["--hide-scrollbars", "--allow-file-access-from-files", "--virtual-time-budget=10000", "--dump-dom"]
    return int(re.search(r"<title>taken (\d+)</title>", _run(frame, folder, options))[1])


def _run(page, folder, options):
    common = ["--headless", "--no-sandbox", "--disable-gpu", "--no-first-run", "--disable-background-networking"]
    common += ["--disable-component-update", "--disable-sync", f"--user-data-dir={folder / 'user'}"]
    command = [BROWSER, *common, *options, page.as_uri()]
    return subprocess.run(command, check=True, capture_output=True, timeout=120).stdout.decode()
