"""What a trainer knows of its lease, and when it ends itself."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from jobs_tools import Clock, a_store, study, wait_until

from noisedash.errors import StaleTokenError, StoreError
from noisedash.jobs.lease import LATE_S, OUTAGE_S, LeaseWatch
from noisedash.jobs.protocol import HEARTBEAT_S, LEASE_S


class Told:
    """A lease as the database tells it: seconds left, or an error."""

    def __init__(self) -> None:
        self.answer: float | Exception = LEASE_S

    def __call__(self) -> float:
        if isinstance(self.answer, Exception):
            raise self.answer
        return self.answer


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def told() -> Told:
    return Told()


@pytest.fixture
def watch(told: Told, clock: Clock) -> LeaseWatch:
    return LeaseWatch(told, clock)


def passes(clock: Clock, seconds: float, watch: LeaseWatch) -> Iterator[tuple[str | None, str | None]]:
    """Time passes; what the watch says at each heartbeat."""
    for _ in range(round(seconds / HEARTBEAT_S)):
        clock.now += HEARTBEAT_S
        yield watch.ask(), watch.overdue()


def test_a_lease_that_is_renewed_ends_nothing(watch: LeaseWatch, clock: Clock) -> None:
    for reasons in passes(clock, 3 * OUTAGE_S, watch):
        assert reasons == (None, None)


def test_a_void_token_ends_the_trainer_at_once(watch: LeaseWatch, told: Told) -> None:
    told.answer = StaleTokenError("Token 1 of job 1 is void.")
    assert watch.ask() == "Token 1 of job 1 is void."


def test_a_lease_that_nobody_renews_ends_the_trainer_after_a_moment(
    watch: LeaseWatch, told: Told, clock: Clock
) -> None:
    told.answer = -1.0
    assert watch.ask() is None
    clock.now += LATE_S
    assert watch.ask() is None
    clock.now += 0.1
    reason = watch.ask()
    assert reason is not None
    assert "the supervisor does not renew it" in reason


def test_a_database_that_comes_back_gives_the_supervisor_time_to_renew(
    watch: LeaseWatch, told: Told, clock: Clock
) -> None:
    assert watch.ask() is None
    told.answer = StoreError("The database is locked.")
    for reasons in passes(clock, 5 * LEASE_S, watch):
        assert reasons == (None, None)
    told.answer = -4 * LEASE_S
    assert watch.ask() is None
    clock.now += HEARTBEAT_S
    told.answer = LEASE_S
    assert watch.ask() is None
    assert watch.overdue() is None


def test_a_database_that_stays_away_ends_the_trainer_by_its_own_clock(
    watch: LeaseWatch, told: Told, clock: Clock
) -> None:
    assert watch.ask() is None
    told.answer = StoreError("The database is gone.")
    clock.now += LEASE_S + OUTAGE_S
    assert watch.ask() is None
    assert watch.overdue() is None
    clock.now += 0.1
    reason = watch.overdue()
    assert reason is not None
    assert "has not been reached" in reason


def test_time_in_the_database_is_no_time_of_the_lease(clock: Clock) -> None:
    """The lease is counted from before the question: the answer may be old when it comes."""

    def slow() -> float:
        clock.now += OUTAGE_S
        return LEASE_S

    watch = LeaseWatch(slow, clock)
    assert watch.ask() is None
    clock.now += LEASE_S + 0.1
    assert watch.overdue() is not None


def test_a_question_that_hangs_does_not_keep_the_trainer_alive() -> None:
    ended: list[str] = []

    def hangs() -> float:
        wait_until(lambda: bool(ended))
        return LEASE_S

    LeaseWatch(hangs, outage_s=0.1).guard(ended.append, every_s=0.02)
    wait_until(lambda: bool(ended))
    assert "has not been reached" in ended[0]


def test_what_the_store_says_of_a_lease(tmp_path: Path, clock: Clock) -> None:
    store = a_store(tmp_path, clock)
    store.submit_study(study(1))
    claim = store.claim("here")
    assert claim is not None
    clock.now += 5
    assert store.lease_left_s(1, claim.token) == LEASE_S - 5
    clock.now += LEASE_S
    assert store.lease_left_s(1, claim.token) == -5
    store.requeue_expired()
    with pytest.raises(StaleTokenError, match="void"):
        store.lease_left_s(1, claim.token)
