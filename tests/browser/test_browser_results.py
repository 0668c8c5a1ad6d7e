"""The Statistics tab and the Run page in a real browser: nothing keeps people out, and links lead to the run."""

import re

import pytest
from conftest import WAIT_MS, Served, open_page, settle
from playwright.sync_api import Page, expect
from test_browser_pages import barriers

from noisedash.jobs.store import Store
from noisedash.records import JobRecord, JobState

QUESTIONS = ("How sure are the curves?", "Is one loss better?", "What is tolerated?", "What is the risk?")


@pytest.fixture
def job(filled: Served) -> JobRecord:
    """A done job of the filled home, with predictions."""
    store: Store = filled.store()
    return store.jobs("demo", [JobState.DONE])[0]


def check_both_themes(page: Page) -> None:
    expect(page.locator(".js-plotly-plot .main-svg").first).to_be_visible(timeout=WAIT_MS)
    assert not barriers(page)
    page.emulate_media(color_scheme="dark")
    expect(page.get_by_test_id("stApp")).to_have_css("background-color", "rgb(15, 18, 24)")
    assert not barriers(page)


@pytest.mark.parametrize("question", QUESTIONS)
def test_statistics_keep_nobody_out(question: str, filled: Served, page: Page) -> None:
    open_page(page, f"{filled.url}/results?studies=demo&view=Statistics&question={question}", "Results")
    expect(page.get_by_text("Stands on 26 runs")).to_be_visible(timeout=WAIT_MS)
    check_both_themes(page)


def test_a_run_keeps_nobody_out(filled: Served, job: JobRecord, page: Page) -> None:
    open_page(page, f"{filled.url}/run?id={job.run_id}", "Run")
    expect(page.locator(".js-plotly-plot .main-svg").nth(3)).to_be_visible(timeout=WAIT_MS)
    check_both_themes(page)


def test_the_queue_leads_to_the_run_and_its_address_keeps_it(filled: Served, job: JobRecord, page: Page) -> None:
    open_page(page, f"{filled.url}/queue?study=demo&job={job.id}", "Queue")
    page.get_by_role("link", name="Look at this run in detail").click()
    expect(page.get_by_role("heading", name="Run", level=1, exact=True)).to_be_visible(timeout=WAIT_MS)
    expect(page).to_have_url(re.compile(f"id={job.run_id}"))
    expect(page.get_by_text(f"run {job.run_id}").first).to_be_visible(timeout=WAIT_MS)
    another = filled.store().jobs("demo", [JobState.DONE])[3]
    open_page(page, f"{filled.url}/run?id={another.run_id}", "Run")
    settle(page)
    expect(page.get_by_text(f"run {another.run_id}").first).to_be_visible(timeout=WAIT_MS)
