"""A real trainer, killed again and again wherever it is: it ends with the weights of one that was left alone."""

import hashlib
import random
from pathlib import Path

from faults_audit import Audit
from faults_hunt import Ground
from faults_tools import FULL, PATIENCE_S, times, wait_for_states
from jobs_tools import wait_until

from noisedash.jobs.protocol import MAX_ATTEMPTS
from noisedash.jobs.store import Store
from noisedash.records import JobState

STEPS = times(1200, 300)
CHECKPOINT_S = 0.1
KILLS = (
    (
        *("starting", "training", "writing", "tearing", "evaluating", "starting", "training", "writing", "tearing"),
        *("starting", "training", "evaluating", "writing", "tearing", "starting", "training", "writing"),
        *("examining", "examining", "finishing"),
    )
    if FULL
    else ("starting", "tearing", "writing", "finishing")
)


def test_killed_anywhere_it_ends_with_the_weights_of_an_undisturbed_run(own_home: Path, tmp_path: Path) -> None:
    """Each time that its attempts are used up it is failed with the reason; a person's retry goes on from there."""
    reference, ground = Ground(tmp_path / "reference", STEPS), Ground(own_home, STEPS)
    audit = Audit(ground.settings.database_url)
    rng = random.Random(3)
    torn = []
    with reference.trains(checkpoint_s=1e6), ground.trains(checkpoint_s=CHECKPOINT_S):
        for number, phase in enumerate(KILLS, start=1):
            prey = ground.prey(number)
            if phase == "tearing":
                torn.append(prey.kill_and_tear(rng))
            else:
                prey.kill_in(phase, rng)
            check_what_is_said(ground.store, audit, number)
        for each in (ground, reference):
            wait_for_states(each.store, JobState.DONE, 1)
        assert ground.store.results([ground.spec.id]) == reference.store.results([reference.spec.id])
        assert (ground.store.job(1).claims, reference.store.job(1).claims) == (len(KILLS) + 1, 1)
    last, expected = ground.attempt(len(KILLS) + 1), reference.attempt(1)
    assert sha256(last.weights) == sha256(expected.weights)
    assert sha256(last.predictions) == sha256(expected.predictions)
    assert all(f"{name} is damaged" in ground.logs() for name in torn)
    assert [entry.after for entry in audit.entries() if entry.kind == "state"].count(JobState.DONE) == 1
    audit.close()


def check_what_is_said(store: Store, audit: Audit, kills: int) -> None:
    """After the last of its attempts the job is failed and says why; it is retried then, else it goes on by itself."""
    wait_until(lambda: len(losses(audit)) == kills, PATIENCE_S)
    fails = kills % MAX_ATTEMPTS == 0
    assert losses(audit)[-1] == (JobState.FAILED if fails else JobState.QUEUED)
    if fails:
        reason = store.job(1).reason
        assert "was killed by signal 9 (SIGKILL" in reason
        assert f"(attempt {MAX_ATTEMPTS} of {MAX_ATTEMPTS})" in reason
        store.retry(1)


def losses(audit: Audit) -> list[str]:
    """The states that the job came into from running, in order."""
    return [entry.after for entry in audit.entries() if entry.kind == "state" and entry.before == JobState.RUNNING]


def sha256(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()
