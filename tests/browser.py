"""A page as a person opens it: in a browser, from a file, without a network."""

import shutil
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import unquote, urlsplit

import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Browser, Locator, Page

BROWSER = shutil.which("chromium")
DESK, PHONE = 1100, 390  # pixels
PATIENCE = 120_000  # milliseconds; a machine may be busy with other tests, and a slow page is not what is tested
PAPER = 718  # pixels: A4 with margins of 1 cm, at 96 per inch

needs_browser = pytest.mark.skipif(not BROWSER, reason="needs the browser chromium")


@dataclass
class Opened:
    """A page, the addresses that it asked a network for, and what the browser found wrong with it."""

    page: Page
    asked: list[str] = field(default_factory=list)
    faults: list[str] = field(default_factory=list)


def open_file(browser: Browser, path: Path, width: int = DESK) -> Opened:
    """Open a page on a screen so many pixels wide, with the network blocked."""
    page = browser.new_page(viewport={"width": width, "height": 800}, offline=True)
    page.set_default_timeout(PATIENCE)
    opened = Opened(page)
    page.on("request", lambda request: opened.asked.append(request.url) if _is_remote(request.url) else None)
    page.on("console", lambda said: opened.faults.append(said.text) if said.type in ("error", "warning") else None)
    page.on("pageerror", lambda error: opened.faults.append(str(error)))
    page.on("dialog", lambda dialog: (opened.faults.append(f"dialog: {dialog.message}"), dialog.dismiss()))
    page.goto(path.as_uri())
    return opened


def _is_remote(address: str) -> bool:
    return urlsplit(address).scheme not in ("file", "data", "blob")


def width_taken(page: Page) -> int:
    """How wide the content gets, in pixels; more than the screen means that the page scrolls sideways."""
    return page.evaluate("document.documentElement.scrollWidth")


def broken_links(page: Page, path: Path) -> list[str]:
    """Links without a target: a place that the page has not, or a file that does not lie beside it."""
    links = page.eval_on_selector_all("a[href], area[href]", "all => all.map(link => link.getAttribute('href'))")
    names = set(page.eval_on_selector_all("[id]", "all => all.map(element => element.id)"))
    broken = []
    for link in links:
        parts = urlsplit(link)
        if parts.scheme:
            continue  # an address that a person may follow; the page itself asks for none
        target = path.parent / unquote(parts.path) if parts.path else path
        inside = unquote(parts.fragment)
        if not target.exists() or (target == path and inside and inside not in names):
            broken.append(link)
    return broken


def accessibility_faults(page: Page) -> list[str]:
    """What axe-core calls serious or critical, as rule and element."""
    found = Axe().run(page).response["violations"]
    return [
        f"{fault['id']}: {node['html'][:200]}"
        for fault in found
        if fault["impact"] in ("serious", "critical")
        for node in fault["nodes"]
    ]


def cut_in_print(page: Page) -> list[str]:
    """Figures that paper would cut: broken between pages, wider than a page, or in a box that scrolls."""
    page.set_viewport_size({"width": PAPER, "height": 1000})
    page.emulate_media(media="print")
    script = """() => [...document.querySelectorAll("figure, svg")].filter(figure => {
      const box = figure.getBoundingClientRect();
      if (!box.width) return false;
      const parts = [figure, ...figure.querySelectorAll("img")];
      const wide = parts.some(part => part.getBoundingClientRect().right > document.documentElement.clientWidth + 1);
      const scrolls = parts.some(part => part.scrollWidth > part.clientWidth + 1 && part.tagName === "FIGURE");
      const whole = figure.closest(".calculator") || figure;
      return wide || scrolls || getComputedStyle(whole).breakInside !== "avoid";
    }).map(figure => figure.outerHTML.slice(0, 200))"""
    return page.evaluate(script)


def assert_sound(open_page: Callable[..., Opened], path: Path, pictures: Path | None = None) -> list[Path]:
    """Assert what must hold of every page: no network, no error, no broken link, fit for everybody, screens and paper.

    Args:
        open_page: the fixture.
        path: the page.
        pictures: a folder for a picture of each section, as a person sees it.

    Returns:
        the pictures.
    """
    opened = open_page(path)
    page = opened.page
    taken = [_picture(page, section, pictures) for section in page.locator("section[id]").all()] if pictures else []
    assert accessibility_faults(page) == []
    assert broken_links(page, path) == []
    page.set_viewport_size({"width": PHONE, "height": 800})
    assert width_taken(page) == PHONE
    assert accessibility_faults(page) == []
    assert cut_in_print(page) == []
    assert (opened.asked, opened.faults) == ([], [])
    return taken


def _picture(page: Page, section: Locator, folder: Path) -> Path:
    path = folder / f"{section.get_attribute('id')}.png"
    page.add_style_tag(content=".banner { position: static !important }")  # which would cover what is behind it
    section.screenshot(path=path)
    return path


def calculated(page: Page, patients: list[dict], place: int = 0) -> list[dict]:
    """What a calculator of the page shows of each patient, given by the labels of its inputs.

    Returns:
        points (of each input), total, table (a row for each outcome, a list of numbers for each model: value and ends
        of the interval where there is one) and said (what is said of the values); total and table are None where the
        calculator gives no answer.
    """
    script = """([patients, place]) => {
      const calculator = document.querySelectorAll(".calculator")[place];
      const labels = [...calculator.querySelectorAll("label")];
      const fields = new Map(labels.map(label => [label.textContent, label.control]));
      const numbers = element => [...element.querySelectorAll("data")].map(data => Number(data.value));
      return patients.map(patient => {
        for (const [label, value] of Object.entries(patient)) {
          const field = fields.get(label);
          if (field.tagName === "SELECT") {
            field.selectedIndex = [...field.options].findIndex(option => option.textContent === value);
            field.dispatchEvent(new Event("change"));
          } else {
            field.value = value;
            field.dispatchEvent(new Event("input"));
          }
        }
        const total = calculator.querySelector("data.total");
        const rows = [...calculator.querySelectorAll(".answer tbody tr")];
        return {
          points: [...calculator.querySelectorAll(".points")].flatMap(numbers),
          total: total && Number(total.value),
          table: total && rows.map(row => [...row.querySelectorAll("td")].map(numbers)),
          said: [...calculator.querySelectorAll(".beyond")].map(said => said.textContent).filter(said => said),
        };
      });
    }"""
    return page.evaluate(script, [patients, place])
