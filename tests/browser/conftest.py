"""A real browser, and the app on a free port with a home of its own."""

import os
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit
from urllib.request import urlopen

import pytest
from playwright.sync_api import Browser, Page, expect, sync_playwright

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import demo_store

from noisedash.jobs.store import Store
from noisedash.ui.server import serve_command

FLAGS = (
    "--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run",
    "--disable-background-networking", "--disable-component-update", "--disable-sync",
)  # fmt: skip
START_S = 60.0
WAIT_MS = 20_000


@dataclass(frozen=True)
class Served:
    """The app as a process of its own."""

    url: str
    home: Path

    def store(self) -> Store:
        return Store(f"sqlite:///{self.home / 'noisedash.db'}")


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    """The system's Chromium where there is one, else Playwright's.

    For a module, since Playwright keeps an event loop running in this thread, which other tests must not meet.
    """
    found = shutil.which("chromium") or shutil.which("chromium-browser")
    with sync_playwright() as playwright:
        launched = playwright.chromium.launch(executable_path=found, args=list(FLAGS))
        yield launched
        launched.close()


@pytest.fixture(scope="session")
def serve() -> Iterator[Callable[[Path], Served]]:
    """Start the app over a home; it is up after `wait_until_up`."""
    processes: list[subprocess.Popen[bytes]] = []

    def start(home: Path) -> Served:
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            port = probe.getsockname()[1]
        environment = {**os.environ, "NOISEDASH_HOME": str(home), "OMP_NUM_THREADS": "1"}
        environment.pop("NOISEDASH_DB", None)
        log = (home.parent / f"{home.name}-{port}.log").open("wb")
        with log:
            processes.append(
                subprocess.Popen(
                    serve_command(port, "127.0.0.1"), env=environment, stdout=log, stderr=log, cwd=home.parent
                )
            )
        return Served(f"http://127.0.0.1:{port}", home)

    yield start
    for process in processes:
        process.terminate()
    for process in processes:
        process.wait(20)


@pytest.fixture(scope="session")
def filled(serve: Callable[[Path], Served], tmp_path_factory: pytest.TempPathFactory) -> Served:
    """The app over a dataset of drawn rooms and a study with runs in every state."""
    settings = demo_store.filled_home(tmp_path_factory.mktemp("filled"))
    served = serve(settings.home)
    wait_until_up(served)
    return served


@pytest.fixture
def page(browser: Browser) -> Iterator[Page]:
    """A page in a context of its own; a request to any other host fails the test."""
    context = browser.new_context(viewport={"width": 1280, "height": 900})
    context.set_default_timeout(WAIT_MS)
    foreign: list[str] = []
    context.on("request", lambda request: foreign.append(request.url) if is_foreign(request.url) else None)
    yield context.new_page()
    context.close()
    assert not foreign


def is_foreign(url: str) -> bool:
    return urlsplit(url).scheme not in ("data", "blob") and urlsplit(url).hostname != "127.0.0.1"


def wait_until_up(served: Served) -> None:
    deadline = time.monotonic() + START_S
    while True:
        try:
            with urlopen(f"{served.url}/_stcore/health", timeout=5):
                return
        except OSError:
            assert time.monotonic() < deadline, "The app did not start."
            time.sleep(0.1)


def open_page(page: Page, address: str, title: str) -> None:
    """Go there and wait until the page is drawn."""
    page.goto(address)
    expect(page.get_by_role("heading", name=title, level=1, exact=True)).to_be_visible(timeout=WAIT_MS)
    settle(page)


def settle(page: Page) -> None:
    """Wait until the script has run and nothing on the page is of an earlier run."""
    expect(page.locator("[data-testid=stApp][data-test-script-state=notRunning]")).to_have_count(1, timeout=WAIT_MS)
    expect(page.locator("[data-stale=true]")).to_have_count(0, timeout=WAIT_MS)
