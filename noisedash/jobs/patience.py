"""Waiting for a database or a storage that is away."""

import logging
import time
from collections.abc import Callable
from typing import TypeVar

from noisedash.errors import StoreError

T = TypeVar("T")

INSIST_S = 600.0
"""How long what must not be lost is offered again: results that the database or the storage does not take."""
AGAIN_S = 2.0

logger = logging.getLogger(__name__)


def insist(
    call: Callable[[], T],
    within_s: float = INSIST_S,
    sleep: Callable[[float], None] = time.sleep,
    clock: Callable[[], float] = time.monotonic,
) -> T:
    """Call, and again while that raises StoreError, which it does itself once `within_s` seconds have passed."""
    deadline = clock() + within_s
    while True:
        try:
            return call()
        except StoreError as error:
            if clock() > deadline:
                raise
            logger.warning("%s Trying again.", error)
            sleep(AGAIN_S)
