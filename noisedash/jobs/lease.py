"""How long a trainer may take its job for its own, and its end where it may not.

The supervisor renews the lease; the trainer only reads it. A trainer that reports nothing for a long time (an
evaluation, a disk that does not answer) would not notice that its job was given to another, or that its supervisor was
stopped: two threads look instead. No write passes without the token, so that a trainer that is cut off from the
database can spoil nothing: it only keeps its slot busy, and may do so for `OUTAGE_S`.
"""

import logging
import os
import threading
import time
from collections.abc import Callable

import psutil

from noisedash.errors import StaleTokenError, StoreError
from noisedash.jobs.protocol import HEARTBEAT_S, TrainerExit

LATE_S = 2.5 * HEARTBEAT_S
"""How long a lease that is seen to have run out may stay so: a supervisor that lives renews it within one heartbeat."""
OUTAGE_S = 600.0
"""How long after the end of its lease a trainer works on while the database does not answer."""

logger = logging.getLogger(__name__)


class LeaseWatch:
    """What a trainer knows of its lease. `left_s` reads how many seconds it has left, negative once it has run out."""

    def __init__(
        self,
        left_s: Callable[[], float],
        clock: Callable[[], float] = time.monotonic,
        late_s: float = LATE_S,
        outage_s: float = OUTAGE_S,
    ):
        self._left_s, self._clock, self._late_s, self._outage_s = left_s, clock, late_s, outage_s
        self._runs_out = clock()
        self._lapsed_since: float | None = None

    def ask(self) -> str | None:
        """Read the lease; why the trainer must end, None where it need not. May take as long as the database likes."""
        asked = self._clock()
        try:
            left_s = self._left_s()
        except StaleTokenError as error:
            return str(error)
        except StoreError as error:
            logger.warning("The lease could not be read: %s", error)
            self._lapsed_since = None
            return None
        if left_s > 0:
            self._runs_out, self._lapsed_since = asked + left_s, None
            return None
        if self._lapsed_since is None:
            self._lapsed_since = asked
        if self._clock() - self._lapsed_since <= self._late_s:
            return None
        return "The lease ran out and the supervisor does not renew it: it was stopped, or is gone."

    def overdue(self) -> str | None:
        """Why the trainer must end though the database does not answer; None while it may go on. Asks nobody."""
        if self._clock() - self._runs_out <= self._outage_s:
            return None
        return f"The database has not been reached since the lease ran out {self._outage_s:.0f} s ago."

    def guard(self, end: Callable[[str], None], every_s: float = HEARTBEAT_S) -> None:
        """From now on call `end` with the reason as soon as the trainer must end."""

        def look(look: Callable[[], str | None]) -> None:
            while (reason := look()) is None:
                time.sleep(every_s)
            end(reason)

        for look_at in (self.ask, self.overdue):  # two threads: the first may hang in the database
            threading.Thread(target=look, args=(look_at,), name=f"lease: {look_at.__name__}", daemon=True).start()


def end_this_process(reason: str) -> None:
    """End this process and all below it at once, whatever its other threads are at."""
    logger.error("%s", reason)
    for child in psutil.Process().children(recursive=True):
        try:
            child.kill()
        except psutil.Error:
            continue
    os._exit(TrainerExit.CUT_OFF)
