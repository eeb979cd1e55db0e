"""A page as a person opens it: in a browser, from a file, without a network."""

import json
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
    options = ["--headless", "--no-sandbox", "--disable-gpu", "--no-first-run", "--disable-background-networking"]
    options += ["--disable-component-update", "--disable-sync", f"--user-data-dir={folder / 'user'}"]
    options += [
        "--window-size=1100,2000",
        f"--screenshot={folder / 'page.png'}",
        f"--log-net-log={folder / 'net.json'}",
    ]
    subprocess.run([BROWSER, *options, page.as_uri()], check=True, capture_output=True, timeout=120)
    log = json.loads((folder / "net.json").read_text())
    start = log["constants"]["logEventTypes"]["URL_REQUEST_START_JOB"]
    started = [event["params"] for event in log["events"] if event["type"] == start and "params" in event]
    asked = [job["url"] for job in started if job.get("initiator") == FROM_A_PAGE]
    return Image.open(folder / "page.png"), asked
