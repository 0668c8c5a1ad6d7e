"""For the fault tests: databases of both kinds, and a farm of processes of which none may be left."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from faults_audit import Audit
from faults_tools import FULL, Farm

from noisedash.jobs.store import Store
from noisedash.settings import Settings, current_settings


def pytest_report_header() -> str:
    return f"fault tests: {'full' if FULL else 'short form (make test-faults runs the full one)'}"


@pytest.fixture(params=["sqlite", "postgresql"])
def settings(request: pytest.FixtureRequest, own_home: Path, monkeypatch: pytest.MonkeyPatch) -> Settings:
    """A home of its own, with each kind of database in turn."""
    own_home.mkdir()
    if request.param == "postgresql":
        monkeypatch.setenv("NOISEDASH_DB", request.getfixturevalue("postgres").new_database())
    return current_settings()


@pytest.fixture
def store(settings: Settings) -> Iterator[Store]:
    store = Store(settings.database_url)
    yield store
    store.close()


@pytest.fixture
def audit(settings: Settings, store: Store) -> Iterator[Audit]:
    audit = Audit(settings.database_url)
    yield audit
    audit.close()


@pytest.fixture
def farm(settings: Settings) -> Iterator[Farm]:
    """Processes that are looked for at the end: one that is left fails the test, and is killed."""
    farm = Farm(settings)
    yield farm
    left = [process.pid for process in farm.processes()]
    farm.kill_everything()
    assert left == [], "processes were left"
