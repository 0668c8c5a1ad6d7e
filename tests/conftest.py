"""For all tests: a home of their own, one thread for torch, and whether the real data of ../shared is at hand."""

import os
import shutil
import sys
from collections.abc import Iterator
from pathlib import Path

os.environ.setdefault("OMP_NUM_THREADS", "1")

import demo_store
import pytest
from hypothesis import settings
from jobs_tools import close_stores, sqlite_url
from postgres_server import PostgresServer

from noisedash.jobs.store import Store
from noisedash.records import JobState
from noisedash.settings import current_settings

settings.register_profile("shared machine", deadline=None)
settings.load_profile("shared machine")

SHARED = Path(__file__).resolve().parents[2] / "shared"
SHARED_TESTS = Path(__file__).resolve().parent / "shared"


def pytest_report_header() -> str:
    state = "collected" if SHARED.is_dir() else "not collected, there is no such folder"
    return f"tests over the real data and weights of ../shared: {state}"


def pytest_ignore_collect(collection_path: Path) -> bool | None:
    """Leaves out what needs ../shared where that is missing; and conftest.py files, which hold no doctests."""
    absent = collection_path == SHARED_TESTS and not SHARED.is_dir()
    return True if absent or collection_path.name == "conftest.py" else None


def pytest_configure() -> None:
    if os.environ.get("NOISEDASH_REQUIRE_SHARED") and not SHARED.is_dir():
        raise pytest.UsageError(f"NOISEDASH_REQUIRE_SHARED is set, but there is no folder {SHARED}.")


@pytest.fixture(autouse=True)
def own_home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """NOISEDASH_HOME in the test's own folder, so that no test touches the person's cache."""
    home = tmp_path / "home"
    monkeypatch.setenv("NOISEDASH_HOME", str(home))
    monkeypatch.delenv("NOISEDASH_DB", raising=False)
    return home


@pytest.fixture(scope="session")
def filled_home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A home with a dataset and a study of 30 runs, to be copied."""
    return demo_store.filled_home(tmp_path_factory.mktemp("filled")).home


@pytest.fixture
def filled(filled_home: Path, own_home: Path) -> Store:
    """The store of this test's own copy of that home, its worker and its running jobs just seen."""
    shutil.copytree(filled_home, own_home)
    store = Store(current_settings().database_url)
    store.see_worker("demo-worker", "here", 1, 2)
    for job in store.jobs(states=[JobState.RUNNING]):
        store.heartbeat(job.id, job.claims)
    return store


@pytest.fixture(autouse=True)
def own_main() -> Iterator[None]:
    """Put `__main__` back, for which Streamlit's AppTest puts its script: processes that are spawned run it again."""
    main = sys.modules["__main__"]
    yield
    sys.modules["__main__"] = main


@pytest.fixture(scope="session")
def postgres() -> Iterator[PostgresServer]:
    """A PostgreSQL server of this test session, on loopback."""
    with PostgresServer() as server:
        yield server


@pytest.fixture(scope="session")
def postgres_template(postgres: PostgresServer) -> str:
    """The URL of a PostgreSQL database that holds the tables, to be copied; nobody may be connected to it."""
    url = postgres.new_database()
    Store(url).close()
    return url


@pytest.fixture(params=["sqlite", "postgresql"])
def new_database(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[str]:
    """The URL of a new database without any table, of either kind."""
    if request.param == "sqlite":
        yield f"sqlite:///{tmp_path / 'new.db'}"
        return
    server: PostgresServer = request.getfixturevalue("postgres")
    url = server.new_database()
    yield url
    server.drop_database(url)


@pytest.fixture(params=["sqlite", "postgresql"])
def database(request: pytest.FixtureRequest, own_home: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """The URL of a new database with its tables, which is also NOISEDASH_DB: such a test runs on both kinds."""
    if request.param == "sqlite":
        yield sqlite_url(own_home)
        close_stores()
        return
    server: PostgresServer = request.getfixturevalue("postgres")
    url = server.new_database(request.getfixturevalue("postgres_template"))
    monkeypatch.setenv("NOISEDASH_DB", url)
    yield url
    close_stores()
    server.drop_database(url)
