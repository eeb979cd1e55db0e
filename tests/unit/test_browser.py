from browser import needs_browser, open_page


@needs_browser
def test_a_page_that_asks_a_network_is_caught(tmp_path):
    page = tmp_path / "page.html"
    page.write_text('<img src="http://127.0.0.1:9/picture.png">')
    assert open_page(page, tmp_path / "opened")[1] == ["http://127.0.0.1:9/picture.png"]
