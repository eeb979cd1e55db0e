"""The checks of pages find what they look for."""

from browser import accessibility_faults, broken_links, cut_in_print, needs_browser, width_taken

PHONE = 390  # pixels

FAULTY = """<!DOCTYPE html>
<html lang="en"><head><title>A page</title></head><body><main><h1>A page</h1>
<img src="http://127.0.0.1:9/picture.png">
<script>missing()</script>
<script>alert(1)</script>
<a href="#nowhere">here</a> <a href="lost.csv">there</a> <a href="page.html">the page</a> <a href="#there">below</a>
<p id="there">Words.</p>
<figure>Words.</figure>
<div style="width: 2000px">Words.</div>
</main></body></html>
"""
WHOLE = """<!DOCTYPE html>
<html lang="en"><head><title>A page</title></head><body><main><h1>A page</h1>
<figure style="break-inside: avoid">Words.</figure>
</main></body></html>
"""


@needs_browser
def test_what_is_wrong_with_a_page_is_found(open_page, tmp_path):
    path = tmp_path / "page.html"
    path.write_text(FAULTY, encoding="utf-8")
    opened = open_page(path, width=PHONE)
    assert opened.asked == ["http://127.0.0.1:9/picture.png"]
    faults = " ".join(sorted(opened.faults))
    assert all(words in faults for words in ("missing is not defined", "dialog: 1", "ERR_INTERNET_DISCONNECTED"))
    assert broken_links(opened.page, path) == ["#nowhere", "lost.csv"]
    assert [fault.split(":")[0] for fault in accessibility_faults(opened.page)] == ["image-alt"]
    assert width_taken(opened.page) > 2000
    assert [figure[:8] for figure in cut_in_print(opened.page)] == ["<figure>"]


@needs_browser
def test_a_page_without_fault_passes(open_page, tmp_path):
    path = tmp_path / "page.html"
    path.write_text(WHOLE, encoding="utf-8")
    opened = open_page(path, width=PHONE)
    assert (opened.asked, opened.faults, broken_links(opened.page, path)) == ([], [], [])
    assert accessibility_faults(opened.page) == []
    assert width_taken(opened.page) == PHONE
    assert cut_in_print(opened.page) == []
