"""What is offered again, and for how long."""

import pytest
from jobs_tools import Clock

from noisedash.errors import StaleTokenError, StoreError, TransferError
from noisedash.jobs.patience import insist


@pytest.mark.parametrize("error", [StoreError("The disk is full."), TransferError("No.")])
def test_it_is_tried_until_it_is_taken(error: StoreError, caplog: pytest.LogCaptureFixture) -> None:
    clock = Clock()
    tries: list[float] = []

    def call() -> str:
        tries.append(clock.now)
        if len(tries) < 3:
            raise error
        return "taken"

    assert insist(call, sleep=lambda seconds: wait(clock, seconds), clock=clock) == "taken"
    assert [at - tries[0] for at in tries] == [0, 2, 4]
    assert caplog.text.count(f"{error} Trying again.") == 2


def test_it_ends() -> None:
    clock = Clock()
    start = clock.now

    def never() -> None:
        raise StoreError("The disk is full.")

    with pytest.raises(StoreError):
        insist(never, 60.0, lambda seconds: wait(clock, seconds), clock)
    assert 60 < clock.now - start < 65


def test_what_no_patience_mends_is_raised_at_once() -> None:
    def void() -> None:
        raise StaleTokenError("void")

    with pytest.raises(StaleTokenError):
        insist(void, sleep=lambda _: pytest.fail("it waited"))


def wait(clock: Clock, seconds: float) -> None:
    clock.now += seconds
