"""A cluster that trains nothing: its workers' calls to the store in the order of simulated time.

The store is the real one and so is its database; only its clock is the simulation's. What becomes of a job at each of
its claims (it finishes, its trainer crashes, its worker dies or stands still, somebody cancels or pauses it) is drawn
from the job's id and the number of the claim alone, so that `expected_end` knows how each job must end, whoever had it.

All claims, first heartbeats, ends, wishes, sweeps and lost leases are executed. What a worker does each second
(heartbeats, looks, reports …) is executed for `Scene.watched` workers and only counted for the others: their jobs'
leases are renewed once, to the very moment at which the last of their heartbeats would let them end.
"""

import heapq
import math
import random
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from enum import StrEnum
from itertools import count
from typing import Any

from noisedash.errors import StaleTokenError
from noisedash.jobs import queue
from noisedash.jobs.bench_processes import a_report, final_results
from noisedash.jobs.database import Database
from noisedash.jobs.protocol import CHECKPOINT_S, HEARTBEAT_S, LEASE_S, MAX_ATTEMPTS, Claim
from noisedash.jobs.store import Store
from noisedash.jobs.supervisor import LOOK_S
from noisedash.jobs.worker import CLAIM_S
from noisedash.records import JobState, Wanted

REPORT_S = 1.0
STANDSTILL_S = LEASE_S + 4 * HEARTBEAT_S
"""How long a worker stands still that does: longer than its lease and the next sweep."""
PAUSE_S = 120.0
REPLACED_AFTER_S = 60.0
"""When a worker that died is replaced."""
START = 1_800_000_000.0


class Fate(StrEnum):
    """What becomes of a job at one of its claims."""

    FINISH = "finish"
    CRASH = "crash"
    """The trainer dies, and its supervisor says so."""
    DEATH = "death"
    """The worker dies with its trainer, and the lease runs out."""
    STANDSTILL = "standstill"
    """The worker is stopped past its lease, goes on, and tries to finish the job."""
    CANCEL = "cancel"
    PAUSE = "pause"


SHARES = {Fate.CRASH: 0.01, Fate.DEATH: 0.01, Fate.STANDSTILL: 0.005, Fate.CANCEL: 0.005, Fate.PAUSE: 0.01}
"""How many claims of a hundred end so; the others finish."""


@dataclass(frozen=True)
class Scene:
    """The cluster and its work. A job takes log-normally distributed seconds: `mean_s`, with `spread` of the log."""

    workers: int = 1_000
    jobs: int = 100_000
    mean_s: float = 60.0
    spread: float = 0.5
    watched: int = 2
    """Workers whose periodic calls are executed, too."""
    seed: int = 0


@dataclass
class Outcome:
    """What a simulation did, and what is wrong with how it ended: nothing, if the queue keeps its promises."""

    simulated_s: float = 0.0
    executed: Counter[str] = field(default_factory=Counter)
    """Calls of the store by name."""
    counted: Counter[str] = field(default_factory=Counter)
    """Periodic calls of all workers, the executed ones included."""
    ends: Counter[Fate] = field(default_factory=Counter)
    wrong: Counter[str] = field(default_factory=Counter)


def fate_of(scene: Scene, job_id: int, claim: int) -> tuple[Fate, float]:
    """What becomes of a job at its `claim`-th claim, and after how many seconds."""
    draw = random.Random(f"{scene.seed} {job_id} {claim}")
    seconds = draw.lognormvariate(math.log(scene.mean_s) - scene.spread**2 / 2, scene.spread)
    (fate,) = draw.choices([*SHARES, Fate.FINISH], [*SHARES.values(), 1 - sum(SHARES.values())])
    return fate, seconds if fate is Fate.FINISH else seconds * draw.random()


def expected_end(scene: Scene, job_id: int) -> tuple[JobState, int, int]:
    """The state, attempts and claims that a job must end with."""
    attempts = 0
    for claim in count(1):
        attempts += 1
        fate, _ = fate_of(scene, job_id, claim)
        if fate is Fate.FINISH:
            return JobState.DONE, attempts, claim
        if fate is Fate.CANCEL:
            return JobState.CANCELLED, attempts - 1, claim
        if fate is Fate.PAUSE:
            attempts -= 1
        elif attempts == MAX_ATTEMPTS:
            return JobState.FAILED, attempts, claim
    raise AssertionError


class Simulation:
    """Runs the scene on the database at `url`, where `scene.jobs` jobs are queued and nothing else."""

    def __init__(self, url: str, scene: Scene):
        self._scene = scene
        self._now = START
        self._store = Store(url, clock=lambda: self._now)
        self._database = Database(url, clock=lambda: self._now)
        self._events: list[tuple[float, int, Callable[..., None], tuple[Any, ...]]] = []
        self._number = count()
        self._open = scene.jobs
        self._idle: list[int] = []
        self._leases: list[tuple[float, bool]] = []
        self.outcome = Outcome()
        for worker in range(scene.workers):
            self._at(worker / scene.workers, self._claim, worker)
        self._at(HEARTBEAT_S, self._sweep)
        for worker in range(scene.watched):
            self._at(0.0, self._sign_of_life, worker)

    def run(self, leave_open: int = 0) -> Outcome:
        """Until no more than so many jobs have not ended; may be called again for the others."""
        while self._open > leave_open and self._events:
            self._now, _, act, arguments = heapq.heappop(self._events)
            act(*arguments)
        self.outcome.simulated_s = self._now - START
        return self.outcome

    def compare(self) -> Outcome:
        """Count the jobs that did not end as they must, once `run` has ended all."""
        self.outcome.wrong.update({"still open": self._open})
        for start in range(0, self._scene.jobs, 2_000):
            for job in self._store.jobs(limit=2_000, offset=start):
                self._expect("wrong end", (job.state, job.attempts, job.claims), expected_end(self._scene, job.id))
        return self.outcome

    def close(self) -> None:
        """Close the connections."""
        self._store.close()
        self._database.close()

    def _at(self, after_s: float, act: Callable[..., None], *arguments: Any) -> None:
        heapq.heappush(self._events, (self._now + after_s, next(self._number), act, arguments))

    def _did(self, call: str) -> None:
        self.outcome.executed[call] += 1

    # A worker

    def _claim(self, worker: int) -> None:
        claim = self._store.claim(f"worker {worker}", place=f"node {worker // 8}: gpu {worker % 8}")
        if claim is None:
            self._did("claim nothing")
            self._rest(worker)
            return
        self._did("claim")
        fate, life_s = fate_of(self._scene, claim.job_id, claim.token)
        if fate in (Fate.CANCEL, Fate.PAUSE):
            self._at(life_s, self._wish, claim, fate)
            life_s = (math.floor(life_s / LOOK_S) + 1) * LOOK_S
        beats = [tick for tick in _ticks(life_s) if "heartbeat" in _calls_at(tick)]
        leased_s = beats[-1] * LOOK_S + LEASE_S
        self.outcome.counted.update(call for tick in _ticks(life_s) for call in _calls_at(tick))
        if self._is_watched(worker):
            self._tick(claim, life_s, 0)
        else:
            self._did("heartbeat")
            with self._database.write() as transaction:
                queue.heartbeat(transaction, claim.job_id, claim.token, leased_s)
        self._at(life_s, self._end, worker, claim, fate, self._now + leased_s)

    def _rest(self, worker: int) -> None:
        """Ask again soon; workers that are not watched, only when there may be something."""
        if self._is_watched(worker):
            self._at(CLAIM_S, self._claim, worker)
        else:
            self._idle.append(worker)

    def _queued_again(self, jobs: int = 1) -> None:
        for _ in range(min(jobs, len(self._idle))):
            self._at(CLAIM_S / 2, self._claim, self._idle.pop())

    def _tick(self, claim: Claim, life_s: float, tick: int) -> None:
        """Execute what a watched worker does at so many LOOK_S after the claim."""
        for call in _calls_at(tick):
            self._did(call)
            self._execute(call, claim, tick)
        if (tick + 1) * LOOK_S < life_s:
            self._at(LOOK_S, self._tick, claim, life_s, tick + 1)

    def _execute(self, call: str, claim: Claim, tick: int) -> None:
        job_id, token = claim.job_id, claim.token
        if call == "heartbeat":
            self._expect("early wish", self._store.heartbeat(job_id, token), Wanted.RUN)
        elif call == "look":
            self._expect("early wish", self._store.wanted([job_id])[job_id], Wanted.RUN)
        elif call == "report":
            self._store.report(job_id, token, *a_report(tick))
        elif call == "read lease":
            self._expect("lease in force", self._store.lease_left_s(job_id, token) > 0, True)
        else:
            self._store.checkpointed(job_id, token, tick)

    def _end(self, worker: int, claim: Claim, fate: Fate, lease_until: float) -> None:
        self.outcome.ends[fate] += 1
        last_attempt = claim.attempt == claim.max_attempts
        if fate in (Fate.DEATH, Fate.STANDSTILL):
            heapq.heappush(self._leases, (lease_until, last_attempt))
            if fate is Fate.DEATH:
                self._at(REPLACED_AFTER_S, self._claim, worker)
            else:
                self._at(STANDSTILL_S, self._wake, worker, claim)
            return
        try:
            self._settle(claim, fate, last_attempt)
        except StaleTokenError:
            self.outcome.wrong["held token refused"] += 1
        self._did(fate)
        self._claim(worker)

    def _settle(self, claim: Claim, fate: Fate, last_attempt: bool) -> None:
        """Say in the store how the job ended."""
        if fate is Fate.FINISH:
            self._open -= 1
            self._store.finish(claim.job_id, claim.token, final_results(claim.run_id))
        elif fate is Fate.CRASH:
            self._store.lose(claim.job_id, claim.token, "The trainer crashed")
            self._ended(1, last=int(last_attempt))
        else:
            self._grant(claim, fate)

    def _grant(self, claim: Claim, fate: Fate) -> None:
        """The supervisor sees what is wanted, ends the trainer and gives the job back."""
        wanted = self._store.wanted([claim.job_id])[claim.job_id]
        self._did("see wish")
        self._expect("unseen wish", wanted, Wanted(fate.value))
        self._store.give_back(claim.job_id, claim.token, "It was asked to")
        if fate is Fate.CANCEL:
            self._open -= 1
        else:
            self._at(PAUSE_S, self._resume, claim.job_id)

    def _wake(self, worker: int, claim: Claim) -> None:
        """A worker that stood still tries to finish a job that is another's by now."""
        self._did("finish with a void token")
        try:
            self._store.finish(claim.job_id, claim.token, final_results(claim.run_id))
        except StaleTokenError:
            pass
        else:
            self.outcome.wrong["void token taken"] += 1
        self._claim(worker)

    # The others

    def _wish(self, claim: Claim, fate: Fate) -> None:
        self._did(f"request {fate}")
        wish = self._store.request_cancel if fate is Fate.CANCEL else self._store.request_pause
        wish(claim.job_id)

    def _resume(self, job_id: int) -> None:
        self._did("resume")
        self._store.resume(job_id)
        self._queued_again()

    def _sign_of_life(self, worker: int) -> None:
        self._did("sign of life")
        self._store.see_worker(f"worker {worker}", f"node {worker // 8}", worker, 1)
        self._at(HEARTBEAT_S, self._sign_of_life, worker)

    def _sweep(self) -> None:
        """Take the jobs whose leases ran out: exactly those of which the simulation knows it."""
        due = []
        while self._leases and self._leases[0][0] < self._now:
            due.append(heapq.heappop(self._leases))
        self._did("sweep")
        self._expect("leases that ran out", self._store.requeue_expired(), len(due))
        self._ended(len(due), last=sum(last for _, last in due))
        self._at(HEARTBEAT_S, self._sweep)

    def _ended(self, jobs: int, last: int) -> None:
        """So many jobs lost their trainers, `last` of them for the last time."""
        self._open -= last
        self._queued_again(jobs - last)

    def _expect(self, what: str, found: object, expected: object) -> None:
        if found != expected:
            self.outcome.wrong[what] += 1

    def _is_watched(self, worker: int) -> bool:
        return worker < self._scene.watched


_TICKS = {
    "heartbeat": round(HEARTBEAT_S / LOOK_S),
    "read lease": round(HEARTBEAT_S / LOOK_S),
    "report": round(REPORT_S / LOOK_S),
    "checkpoint": round(CHECKPOINT_S / LOOK_S),
}


def _ticks(life_s: float) -> range:
    """The looks of a supervisor, LOOK_S apart, that come before a job's end."""
    return range(max(1, math.ceil(life_s / LOOK_S)))


def _calls_at(tick: int) -> Iterator[str]:
    """What a supervisor and its trainer call at so many LOOK_S after the claim; a heartbeat is a look, too."""
    for call, every in _TICKS.items():
        if tick % every == 0 and (call != "checkpoint" or tick):
            yield call
    if tick % _TICKS["heartbeat"]:
        yield "look"


def calls_per_s(mean_s: float) -> dict[str, float]:
    """How often a worker that has always work makes each call, where a job takes `mean_s`.

    >>> round(calls_per_s(60.0)["report"], 2)
    1.0
    """
    periodic = {call: 1 / (every * LOOK_S) for call, every in _TICKS.items()}
    looks = 1 / LOOK_S - periodic["heartbeat"]
    worker = {"sign of life": 1 / HEARTBEAT_S, "sweep": 1 / HEARTBEAT_S}
    return {**periodic, "look": looks, **worker, "claim": 1 / mean_s, "finish": 1 / mean_s}
