"""What a person asks of a study, of the order of the queue, and of a run that shall differ a little."""

import pytest
from jobs_tools import a_store, spec, study

from noisedash.errors import NotFoundError, QueueError, SpecError
from noisedash.jobs.clone import clone_of
from noisedash.jobs.store import Store
from noisedash.records import JobState, Wanted

QUEUED, RUNNING, PAUSED = JobState.QUEUED, JobState.RUNNING, JobState.PAUSED


@pytest.fixture
def store(database: str) -> Store:
    return a_store(database)


def order(store: Store) -> list[int]:
    return [job.id for job in store.jobs()]


class TestStudies:
    def test_one_is_paused_and_resumed_as_one(self, store: Store) -> None:
        store.submit_study(study(1, 2, 3))
        running = store.claim("worker")
        assert running is not None
        assert store.pause_study("study") == 3
        assert [job.state for job in store.jobs()] == [RUNNING, PAUSED, PAUSED]
        assert store.wanted([running.job_id]) == {running.job_id: Wanted.PAUSE}
        assert store.claim("worker") is None
        store.give_back(running.job_id, running.token, "")
        assert store.counts()[PAUSED] == 3
        assert store.resume_study("study") == 3
        assert store.counts()[QUEUED] == 3
        assert {job.attempts for job in store.jobs()} == {0}

    def test_a_resume_takes_back_a_pause_that_was_not_yet_heard(self, store: Store) -> None:
        store.submit_study(study(1))
        store.claim("worker")
        store.pause_study("study")
        store.resume_study("study")
        assert store.job(1).wanted is Wanted.RUN

    def test_one_that_was_cancelled_is_retried_as_one(self, store: Store) -> None:
        store.submit_study(study(1, 2))
        store.cancel_study("study")
        assert store.retry_study("study") == 2
        store.submit_study(study(2, name="other"))
        store.cancel_study("other")
        assert store.counts()[QUEUED] == 2, "the study counts again: its runs are needed"

    def test_its_priority_goes_for_all_of_it_that_is_left(self, store: Store) -> None:
        store.submit_study(study(1, 2))
        done = store.claim("worker")
        assert done is not None
        store.finish(done.job_id, done.token)
        store.submit_study(study(3, name="other"))
        assert store.set_study_priority("other", 5) == 1
        assert store.set_study_priority("study", 1) == 1
        assert [(job.id, job.priority) for job in store.jobs(states=[QUEUED])] == [(3, 5), (2, 1)]

    @pytest.mark.parametrize("wish", ["pause_study", "resume_study", "retry_study"])
    def test_one_that_is_not_there_is_said(self, store: Store, wish: str) -> None:
        with pytest.raises(NotFoundError, match="There is no study 'none'"):
            getattr(store, wish)("none")


class TestOrder:
    def test_a_job_goes_where_it_is_put(self, store: Store) -> None:
        store.submit_study(study(1, 2, 3, 4))
        store.move_before(4, 2)
        assert order(store) == [1, 4, 2, 3]
        store.move_first(3)
        assert order(store) == [3, 1, 4, 2]
        store.move_last(1)
        assert order(store) == [3, 4, 2, 1]
        store.move_before(4, 4)
        assert order(store) == [3, 4, 2, 1]
        claim = store.claim("worker")
        assert claim is not None
        assert claim.job_id == 3

    def test_only_what_waits_at_one_priority_is_ordered(self, store: Store) -> None:
        store.submit_study(study(1, 2, 3))
        store.set_priority(3, 2)
        assert order(store) == [3, 1, 2]
        with pytest.raises(QueueError, match="Job 1 has priority 0 and job 3 has 2"):
            store.move_before(1, 3)
        store.claim("worker")
        with pytest.raises(QueueError, match="Job 3 is running: only a job that waits"):
            store.move_first(3)
        with pytest.raises(NotFoundError, match="There is no job 9"):
            store.move_before(1, 9)

    def test_the_priority_of_what_is_done_is_left_alone(self, store: Store) -> None:
        store.submit_study(study(1))
        claim = store.claim("worker")
        assert claim is not None
        store.finish(claim.job_id, claim.token)
        with pytest.raises(QueueError, match="is done"):
            store.set_priority(1, 3)
        with pytest.raises(NotFoundError):
            store.set_priority(2, 3)


class TestClone:
    def test_it_is_the_run_with_its_changes(self, store: Store) -> None:
        store.submit_study(study(1))
        cloned = clone_of(store.job(1), {"steps": "300", "loss.gamma": "3"})
        assert store.submit_study(cloned).new_jobs == 1
        job = store.jobs("job 1, steps=300 loss.gamma=3")[0]
        assert (job.spec.training.steps, job.spec.loss.gamma) == (300, 3.0)
        assert (job.spec.training.seed, job.dataset_name) == (spec(1).training.seed, "dataset")

    def test_one_without_a_change_is_refused(self, store: Store) -> None:
        store.submit_study(study(1))
        with pytest.raises(SpecError, match="would be the same run"):
            clone_of(store.job(1), {"steps": "40"})
        with pytest.raises(SpecError, match="did you mean"):
            clone_of(store.job(1), {"stepps": "40"})
