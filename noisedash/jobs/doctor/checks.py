"""Running checks: all at once, each within its time, and none able to stop or hold up another."""

import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from concurrent.futures import TimeoutError as NotDoneError
from dataclasses import dataclass

from noisedash.errors import NoiseDashError
from noisedash.jobs.doctor.findings import Finding, problem, warning

Look = Callable[[], Sequence[Finding]]


@dataclass(frozen=True)
class Check:
    """Something to look at, and how long that may take."""

    name: str
    look: Look
    within_s: float = 15.0


def run_checks(checks: Sequence[Check], clock: Callable[[], float] = time.monotonic) -> Iterator[Finding]:
    """The findings in the checks' order. A check that fails or hangs is a finding itself.

    A hanging check's thread stays behind: the process that calls this ends by `os._exit`.
    """
    pool = ThreadPoolExecutor(max_workers=max(1, len(checks)))
    begun = clock()
    futures: list[Future[Sequence[Finding]]] = [pool.submit(check.look) for check in checks]
    pool.shutdown(wait=False)
    for check, future in zip(checks, futures, strict=True):
        yield from _outcome(check, future, begun + check.within_s - clock())


def _outcome(check: Check, future: "Future[Sequence[Finding]]", left_s: float) -> Sequence[Finding]:
    try:
        error = future.exception(timeout=max(0.0, left_s))
    except NotDoneError:
        return [no_answer(check.name, check.within_s)]
    if error is None:
        return future.result()
    if isinstance(error, NoiseDashError):
        return [problem(check.name, str(error), "Do as that sentence says.")]
    return [
        warning(
            check.name,
            f"This could not be looked at ({type(error).__name__}: {' '.join(str(error).split())}).",
            "Check the rights of this user on what is named; if they are in order, report it as a fault of NoiseDash.",
        )
    ]


def no_answer(name: str, within_s: float) -> Finding:
    """What is said of a check that hangs."""
    return problem(
        name,
        f"There was no answer within {within_s:.0f} s.",
        "A network mount, a driver or a database that hangs does this: see whether it answers at all, and restart it.",
    )
