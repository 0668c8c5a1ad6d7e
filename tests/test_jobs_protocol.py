"""The life of a job: every event in every state, and any mixture of them by several workers."""

from collections.abc import Callable
from itertools import product

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule, run_state_machine_as_test
from jobs_tools import Clock, a_store, empty, spec, study

from noisedash.errors import QueueError
from noisedash.jobs.protocol import LEASE_S, MAX_ATTEMPTS, TRANSITIONS, Actor, Claim, Event, event_of_lost_trainer
from noisedash.jobs.store import Store
from noisedash.records import JobRecord, JobState, Wanted

QUEUED, RUNNING, PAUSED = JobState.QUEUED, JobState.RUNNING, JobState.PAUSED
DONE, FAILED, CANCELLED = JobState.DONE, JobState.FAILED, JobState.CANCELLED


class Bench:
    """One job, brought into a state, and what can be done to it with the newest token that was ever handed out."""

    def __init__(self, database: str, state: JobState, wanted: Wanted = Wanted.RUN, last_attempt: bool = False):
        self.clock = Clock()
        self.store = a_store(database, self.clock)
        self.store.submit_study(study(1))
        self.token = 0
        for _ in range(MAX_ATTEMPTS - 1 if last_attempt else 0):
            self.store.lose(1, self._claim(), "lost")
        if state is PAUSED:
            self.store.request_pause(1)
        elif state is CANCELLED:
            self.store.request_cancel(1)
        elif state is not QUEUED:
            self.token = self._claim()
        if state is DONE:
            self.store.finish(1, self.token)
        if state is FAILED:
            self.store.fail(1, self.token, "bad data")
        if wanted is not Wanted.RUN:
            {Wanted.CANCEL: self.store.request_cancel, Wanted.PAUSE: self.store.request_pause}[wanted](1)

    def _claim(self) -> int:
        claim = self.store.claim("worker")
        assert claim is not None
        return claim.token

    @property
    def job(self) -> JobRecord:
        return self.store.job(1)

    def lapse(self) -> None:
        self.clock.now += LEASE_S + 1
        self.store.requeue_expired()


DEEDS: dict[str, Callable[[Bench], object]] = {
    "claim": lambda bench: bench.store.claim("worker"),
    "finish": lambda bench: bench.store.finish(1, bench.token),
    "fail": lambda bench: bench.store.fail(1, bench.token, "bad data"),
    "lose": lambda bench: bench.store.lose(1, bench.token, "killed"),
    "give back": lambda bench: bench.store.give_back(1, bench.token, "stopped"),
    "lapse": Bench.lapse,
    "cancel": lambda bench: bench.store.request_cancel(1),
    "pause": lambda bench: bench.store.request_pause(1),
    "resume": lambda bench: bench.store.resume(1),
    "retry": lambda bench: bench.store.retry(1),
}

SITUATIONS = (
    *((state, Wanted.RUN, False) for state in JobState),
    *((RUNNING, wanted, last) for wanted, last in product((Wanted.CANCEL, Wanted.PAUSE), (False, True))),
    (RUNNING, Wanted.RUN, True),
)

# What follows is written by hand, from the protocol and not from the code's table.
AFTER_WISH = {Wanted.CANCEL: CANCELLED, Wanted.PAUSE: PAUSED}
ALLOWED: dict[str, dict[JobState, JobState]] = {
    "claim": {QUEUED: RUNNING},
    "finish": {RUNNING: DONE, DONE: DONE},  # said again by the same trainer, which never heard the answer
    "fail": {RUNNING: FAILED},
    "cancel": {QUEUED: CANCELLED, PAUSED: CANCELLED, RUNNING: RUNNING},
    "pause": {QUEUED: PAUSED, RUNNING: RUNNING},
    "resume": {PAUSED: QUEUED, RUNNING: RUNNING},
    "retry": {FAILED: QUEUED, CANCELLED: QUEUED},
}


def expected_state(deed: str, state: JobState, wanted: Wanted, last_attempt: bool) -> JobState | None:
    """The state after a deed, None where it is refused."""
    if deed in ALLOWED:
        return ALLOWED[deed].get(state)
    if state is not RUNNING:
        return None
    if wanted in AFTER_WISH:
        return AFTER_WISH[wanted]
    return FAILED if last_attempt and deed != "give back" else QUEUED


@pytest.mark.parametrize("deed", DEEDS)
@pytest.mark.parametrize(("state", "wanted", "last_attempt"), SITUATIONS)
def test_every_deed_in_every_state(
    database: str, deed: str, state: JobState, wanted: Wanted, last_attempt: bool
) -> None:
    bench = Bench(database, state, wanted, last_attempt)
    before = bench.job
    assert (before.state, before.wanted) == (state, wanted)
    expected = expected_state(deed, state, wanted, last_attempt)
    if expected is None:
        if deed not in ("claim", "lapse"):  # these find nothing to do, which is no error
            with pytest.raises(QueueError):
                DEEDS[deed](bench)
        else:
            DEEDS[deed](bench)
        assert bench.job == before
        return
    DEEDS[deed](bench)
    after = bench.job
    assert after.state is expected
    if after.state is not RUNNING:
        assert after.wanted is Wanted.RUN
    if deed in ("cancel", "pause", "resume") and state is RUNNING:
        assert after.wanted == {"cancel": Wanted.CANCEL, "pause": Wanted.PAUSE, "resume": Wanted.RUN}[deed]
    if deed == "retry":
        assert after.attempts == 0
    else:
        assert after.attempts == before.attempts + {"claim": 1, "give back": -1}.get(deed, 0)
    assert (after.finished_at is not None) == (after.state in (DONE, FAILED, CANCELLED))


class TestTable:
    def test_a_job_that_is_done_stays_done(self) -> None:
        assert [key for key in TRANSITIONS if key[0] is DONE] == []

    def test_every_state_can_be_reached_and_left_save_done(self) -> None:
        reached = {then.to for (state, _, _), then in TRANSITIONS.items() if then.to is not state}
        left = {state for (state, _, _), then in TRANSITIONS.items() if then.to is not state}
        assert reached == set(JobState)
        assert left == set(JobState) - {DONE}

    def test_only_a_running_job_can_have_a_wish_outstanding(self) -> None:
        assert all(then.to is RUNNING for then in TRANSITIONS.values() if then.wanted is not Wanted.RUN)

    def test_no_event_leads_into_a_state_in_which_it_would_happen_again(self) -> None:
        for (state, event, actor), then in TRANSITIONS.items():
            assert then.to is state or (then.to, event, actor) not in TRANSITIONS

    def test_only_the_holder_finishes_and_only_persons_retry(self) -> None:
        assert {actor for _, event, actor in TRANSITIONS if event in (Event.FINISH, Event.FAIL)} == {Actor.HOLDER}
        assert {actor for _, event, actor in TRANSITIONS if event is Event.RETRY} == {Actor.PERSON}

    @pytest.mark.parametrize("wanted", Wanted)
    @pytest.mark.parametrize("attempts", [1, 2, 3])
    @pytest.mark.parametrize("actor", [Actor.HOLDER, Actor.REAPER])
    def test_every_loss_has_its_row(self, wanted: Wanted, attempts: int, actor: Actor) -> None:
        assert (RUNNING, event_of_lost_trainer(wanted, attempts, 3), actor) in TRANSITIONS


RUNS = st.integers(0, 4)


class Queue(RuleBasedStateMachine):
    """Persons and workers do anything in any order; old claims are kept and tried again and again."""

    store: Store
    clock: Clock

    def __init__(self) -> None:
        super().__init__()
        empty(self.store)
        self.claims: list[Claim] = []
        self.finished: list[str] = []
        self.submitted: set[str] = set()

    def valid(self, claim: Claim) -> bool:
        """By our own book: the newest claim of its job, which runs."""
        job = self.store.job(claim.job_id)
        newest = max(other.token for other in self.claims if other.job_id == claim.job_id)
        return job.state is RUNNING and claim.token == newest

    def write(self, claim: Claim, write: Callable[[int, int], object]) -> bool:
        """Try a holder's write; it must be taken exactly if the claim is valid."""
        allowed, before = self.valid(claim), self.store.job(claim.job_id)
        try:
            write(claim.job_id, claim.token)
        except QueueError:
            assert not allowed
            assert self.store.job(claim.job_id) == before
            return False
        assert allowed
        return True

    def ask(self, request: Callable[[int], None], number: int) -> None:
        jobs = [job for job in self.store.jobs() if job.run_id == spec(number).id]
        for job in jobs:
            try:
                request(job.id)
            except QueueError:
                assert self.store.job(job.id) == job

    @rule(numbers=st.lists(RUNS, min_size=1, max_size=4), priority=st.integers(0, 2))
    def submit(self, numbers: list[int], priority: int) -> None:
        self.store.submit_study(study(*numbers), priority)
        self.submitted |= {spec(number).id for number in numbers}

    @rule(worker=st.sampled_from("ab"))
    def claim(self, worker: str) -> None:
        waiting = [job for job in self.store.jobs() if job.state is QUEUED]
        claim = self.store.claim(worker)
        assert (claim is None) == (not waiting)
        if claim is not None:
            assert claim.job_id == waiting[0].id
            assert all(claim.token > other.token for other in self.claims if other.job_id == claim.job_id)
            assert claim.attempt <= MAX_ATTEMPTS
            self.claims.append(claim)

    @rule(seconds=st.floats(0, 1.5 * LEASE_S))
    def time_passes(self, seconds: float) -> None:
        self.clock.now += seconds

    @rule()
    def requeue_expired(self) -> None:
        self.store.requeue_expired()

    @precondition(lambda self: self.claims)
    @rule(data=st.data())
    def heartbeat(self, data: st.DataObject) -> None:
        self.write(data.draw(st.sampled_from(self.claims)), self.store.heartbeat)

    @precondition(lambda self: self.claims)
    @rule(data=st.data())
    def finish(self, data: st.DataObject) -> None:
        claim = data.draw(st.sampled_from(self.claims))
        before = self.store.job(claim.job_id)
        if before.state is DONE and before.claims == claim.token:
            self.store.finish(claim.job_id, claim.token)
            assert self.store.job(claim.job_id) == before
        elif self.write(claim, self.store.finish):
            self.finished.append(claim.run_id)

    @precondition(lambda self: self.claims)
    @rule(data=st.data(), how=st.sampled_from(["fail", "lose", "give_back"]))
    def end_without_result(self, data: st.DataObject, how: str) -> None:
        claim = data.draw(st.sampled_from(self.claims))
        self.write(claim, lambda job_id, token: getattr(self.store, how)(job_id, token, "a reason"))

    @rule(number=RUNS, request=st.sampled_from(["request_cancel", "request_pause", "resume", "retry"]))
    def person_asks(self, number: int, request: str) -> None:
        self.ask(getattr(self.store, request), number)

    @rule(wish=st.sampled_from(["pause_study", "resume_study", "retry_study", "set_study_priority"]))
    def person_asks_of_studies(self, wish: str) -> None:
        of_old = {job.id: job for job in self.store.jobs()}
        for record in self.store.studies():
            more = (1,) if wish == "set_study_priority" else ()
            getattr(self.store, wish)(record.name, *more)
        for job in self.store.jobs():
            if wish == "pause_study":
                assert job.state is not QUEUED
                assert job.wanted is Wanted.PAUSE or job.state is not RUNNING
            if wish == "resume_study":
                assert job.state is not PAUSED
                assert job.wanted is Wanted.RUN
            if wish == "retry_study":
                assert job.state not in (FAILED, CANCELLED)
            if wish == "set_study_priority":
                assert job.state is of_old[job.id].state

    @rule(data=st.data(), where=st.sampled_from(["first", "last", "before"]))
    def person_reorders(self, data: st.DataObject, where: str) -> None:
        waiting = [job for job in self.store.jobs() if job.state in (QUEUED, PAUSED)]
        if not waiting:
            return
        moved = data.draw(st.sampled_from(waiting))
        peers = [job.id for job in waiting if job.priority == moved.priority]
        rest = [job_id for job_id in peers if job_id != moved.id]
        if where == "before":
            other = data.draw(st.sampled_from(peers))
            self.store.move_before(moved.id, other)
            index = peers.index(moved.id) if other == moved.id else rest.index(other)
        else:
            getattr(self.store, f"move_{where}")(moved.id)
            index = 0 if where == "first" else len(rest)
        expected = [*rest[:index], moved.id, *rest[index:]]
        now = [job.id for job in self.store.jobs() if job.id in peers]
        assert now == expected

    @rule()
    def cancel_studies(self) -> None:
        for record in self.store.studies():
            self.store.cancel_study(record.name)

    @invariant()
    def nothing_is_lost_and_nothing_done_twice(self) -> None:
        jobs = self.store.jobs()
        assert {job.run_id for job in jobs} == self.submitted
        assert len(jobs) == len(self.submitted)
        assert sorted(job.run_id for job in jobs if job.state is DONE) == sorted(self.finished)

    @invariant()
    def attempts_and_wishes_are_within_their_bounds(self) -> None:
        for job in self.store.jobs():
            assert 0 <= job.attempts <= MAX_ATTEMPTS
            assert job.wanted is Wanted.RUN or job.state is RUNNING
            assert (job.worker == "") or job.state not in (QUEUED, PAUSED)


def test_any_mixture_of_deeds(database: str) -> None:
    clock = Clock()

    class QueueHere(Queue):
        """The queue in this test's database; each example begins with none of the rows before."""

    QueueHere.store, QueueHere.clock = a_store(database, clock), clock
    run_state_machine_as_test(
        QueueHere,
        settings=settings(
            max_examples=25,
            stateful_step_count=30,
            deadline=None,
            derandomize=True,
            suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large],
        ),
    )
