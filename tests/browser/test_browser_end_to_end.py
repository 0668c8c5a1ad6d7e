"""The whole way, for real: `noisedash up`, the quick study launched from the page, trained, its curves read off."""

import os
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import demo_store
import psutil
import pytest
from conftest import Served, open_page, settle, wait_until_up
from playwright.sync_api import Page, expect

from noisedash.settings import Settings

TRAINED_WITHIN_MS = 300_000


@pytest.fixture
def up(tmp_path: Path, own_home: Path) -> Iterator[Served]:
    """`noisedash up` with two slots over a home that knows 40 drawn rooms; no process may outlive its Ctrl-C."""
    settings = Settings(own_home, f"sqlite:///{own_home / 'noisedash.db'}")
    demo_store.draw_rooms(settings, tmp_path, images=40)
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    command = [sys.executable, "-m", "noisedash", "up", "--port", str(port), "--slots", "2"]
    environment = {**os.environ, "NOISEDASH_HOME": str(own_home)}
    process = subprocess.Popen(command, env=environment, cwd=tmp_path, start_new_session=True)
    served = Served(f"http://127.0.0.1:{port}", own_home)
    try:
        wait_until_up(served)
        yield served
    finally:
        family = psutil.Process(process.pid).children(recursive=True)
        os.killpg(process.pid, signal.SIGINT)
        status = process.wait(30)
    assert status == 0
    assert [child.cmdline() for child in family if child.is_running() and child.status() != psutil.STATUS_ZOMBIE] == []


def test_the_quick_study_from_launch_to_curves(up: Served, page: Page) -> None:
    open_page(page, f"{up.url}/results", "Results")
    expect(page.get_by_text("There is no study yet")).to_be_visible()

    open_page(page, f"{up.url}/launch?preset=quick&dataset=rooms", "Launch")
    for label, value in (("Steps", "30"), ("Seeds", "1")):
        page.get_by_role("spinbutton", name=label, exact=True).fill(value)
        page.keyboard.press("Enter")
        settle(page)
    expect(page.get_by_text("10 new")).to_be_visible()
    page.get_by_role("button", name="Launch").click()
    expect(page.get_by_text("Study quick-rooms: 10 runs queued.")).to_be_visible()

    page.get_by_role("link", name="Watch it train").click()
    expect(page.get_by_text("of 10 runs done").first).to_be_visible()
    expect(page.get_by_text("10 of 10 runs done").first).to_be_visible(timeout=TRAINED_WITHIN_MS)
    jobs = up.store().jobs("quick-rooms")
    assert {job.state.value for job in jobs} == {"done"}
    assert {job.attempts for job in jobs} == {1}

    open_page(page, f"{up.url}/results?studies=quick-rooms", "Results")
    for threshold in ("Score ≥ 0.01", "Score ≥ 0.3"):
        expect(page.get_by_role("heading", name=threshold)).to_be_visible()
    expect(page.get_by_text("An illustration, not the paper's experiment")).to_be_visible()
    for loss in ("CE", "FL γ=0", "FL γ=2", "FL γ=5", "FL γ=8"):
        expect(page.locator(".js-plotly-plot .legendtext", has_text=loss).first).to_be_visible()
    results = up.store().results([job.run_id for job in jobs], final_only=True)
    assert {(result.run_id, result.score_threshold) for result in results} == {
        (job.run_id, threshold) for job in jobs for threshold in (0.01, 0.3)
    }
