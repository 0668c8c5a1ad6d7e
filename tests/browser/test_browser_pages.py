"""The user's way through the pages, in a real browser."""

import re
from collections.abc import Callable
from pathlib import Path

import pytest
from axe_playwright_python.sync_playwright import Axe
from conftest import Served, open_page, settle, wait_until_up
from playwright.sync_api import Page, expect

PAGES = {
    "": "NoiseDash",
    "launch": "Launch",
    "queue": "Queue",
    "results": "Results",
    "noise": "Noise",
    "losses": "Losses",
    "paper": "Paper",
    "run": "Run",
}
DRAWN_LATE = {
    "": ".js-plotly-plot .main-svg",
    "queue": "[data-testid=stDataFrame] canvas",
    "results": ".js-plotly-plot .main-svg",
    "noise": "g.box",
    "losses": ".js-plotly-plot .main-svg",
    "paper": ".js-plotly-plot .main-svg",
    "run": ".js-plotly-plot .main-svg",
}
LINKS = ["Overview", "Launch", "Queue", "Results", "Run", "Noise", "Losses", "Paper"]


@pytest.fixture(scope="module")
def fresh(serve: Callable[[Path], Served], tmp_path_factory: pytest.TempPathFactory) -> dict[str, Served]:
    """A server for each page that nobody has asked for anything yet, each over an empty home."""
    return {name: serve(tmp_path_factory.mktemp("fresh") / "home") for name in PAGES}


@pytest.mark.parametrize("name", PAGES)
def test_deep_link_is_the_first_thing_asked_of_a_fresh_server(name: str, fresh: dict[str, Served], page: Page) -> None:
    wait_until_up(fresh[name])
    open_page(page, f"{fresh[name].url}/{name}", PAGES[name])
    for link in LINKS:
        expect(page.get_by_role("link", name=link, exact=True).first).to_be_visible()
    expect(page.get_by_test_id("stException")).to_have_count(0)
    expect(page.get_by_test_id("stAlertContentError")).to_have_count(0)


@pytest.mark.parametrize("name", PAGES)
def test_nothing_keeps_people_out_on_light_or_dark(name: str, filled: Served, page: Page) -> None:
    open_page(page, f"{filled.url}/{name}?dataset=rooms", PAGES[name])
    if name in DRAWN_LATE:
        expect(page.locator(DRAWN_LATE[name]).first).to_be_visible()
    assert not barriers(page)
    page.emulate_media(color_scheme="dark")
    expect(page.get_by_test_id("stApp")).to_have_css("background-color", "rgb(15, 18, 24)")
    assert not barriers(page)


def barriers(page: Page) -> list[tuple[str, list[str]]]:
    """What axe finds that is serious or worse: the rule, and the elements."""
    page.wait_for_timeout(300)  # colours fade from one theme into the other
    found = Axe().run(page).response["violations"]
    return [
        (violation["id"], [node["html"][:300] for node in violation["nodes"][:3]])
        for violation in found
        if violation["impact"] in ("serious", "critical")
    ]


def test_rate_slider_changes_what_is_dropped_on_the_picture(filled: Served, page: Page) -> None:
    open_page(page, f"{filled.url}/noise?dataset=rooms&rate=0&inaccurate=0&wrong=0&extra=0", "Noise")
    picture = page.get_by_role("img", name="Image 0")
    expect(picture.locator("image")).to_have_count(1)
    boxes = picture.locator("g.box").count()
    assert boxes > 0
    expect(picture.locator("g.dropped")).to_have_count(0)
    page.get_by_role("slider", name="Missing labels").press("End")
    expect(picture.locator("g.dropped")).to_have_count(boxes)
    expect(page.get_by_text(f"✕ {boxes} dropped", exact=True)).to_be_visible()
    expect(page).to_have_url(re.compile("rate=100"))
    assert picture.locator("image").evaluate("image => fetch(image.href.baseVal).then(answer => answer.status)") == 200


def test_gallery_chooses_the_picture_and_the_address_keeps_it(filled: Served, page: Page) -> None:
    open_page(page, f"{filled.url}/noise?dataset=rooms", "Noise")
    cells = page.get_by_role("group", name="Images").get_by_role("button")
    name = cells.nth(2).get_attribute("aria-label")
    cells.nth(2).click()
    expect(page.get_by_role("img", name=f"Image {name}")).to_be_visible()
    expect(cells.nth(2)).to_have_attribute("aria-pressed", "true")
    address = page.url
    assert "image=" in address
    open_page(page, address, "Noise")
    expect(page.get_by_role("img", name=f"Image {name}")).to_be_visible()


def test_layers_and_zoom_work_without_the_server(filled: Served, page: Page) -> None:
    open_page(page, f"{filled.url}/noise?dataset=rooms&rate=100&extra=0", "Noise")
    picture = page.get_by_role("img", name="Image 0")
    box = picture.locator("g.dropped .edge").first
    expect(box).to_be_visible()
    whole = picture.get_attribute("viewBox")
    page.get_by_role("button", name="Zoom in").click()
    assert picture.get_attribute("viewBox") != whole
    page.get_by_role("button", name="fit").click()
    assert picture.get_attribute("viewBox") == whole
    page.get_by_role("checkbox", name="dropped").uncheck()
    expect(box).not_to_be_visible()


def test_launched_study_is_in_the_queue(filled: Served, page: Page) -> None:
    open_page(page, f"{filled.url}/launch?dataset=rooms&preset=Own+grid", "Launch")
    name = page.get_by_label("Name of the study")
    name.fill("from-the-browser")
    name.press("Enter")
    steps = page.get_by_label("Steps", exact=True)
    steps.fill("20")
    steps.press("Enter")
    settle(page)
    page.get_by_role("button", name="Launch").dblclick()
    expect(page.get_by_text("Study from-the-browser: 30 runs queued.")).to_be_visible()
    jobs = filled.store().jobs("from-the-browser")
    assert len(jobs) == 30
    assert {job.spec.training.steps for job in jobs} == {20}
    page.get_by_role("link", name="Watch it train").click()
    expect(page.get_by_role("heading", name="Queue", level=1)).to_be_visible()
    expect(page.get_by_text("0 of 30 runs done")).to_be_visible()
    expect(page).to_have_url(re.compile("study=from-the-browser"))


def test_results_follow_the_runs_that_finish(filled: Served, page: Page) -> None:
    open_page(page, f"{filled.url}/results?studies=demo", "Results")
    expect(page.locator(".js-plotly-plot")).to_have_count(2)
    words = page.get_by_text("runs are in").first
    before = words.inner_text()
    store = filled.store()
    (running,) = store.jobs("demo", ["running"])
    store.request_cancel(running.id)
    assert store.claim("another-worker", next(job.run_id for job in store.jobs("demo", ["queued"]))) is not None
    expect(words).not_to_have_text(before)
