"""What a run tells while it trains: mean losses, speed and time left, about once a second."""

import math
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from noisedash.detector.losses import LossParts
from noisedash.errors import DivergedError
from noisedash.records import MetricRecord, Progress

REPORT_EVERY_S = 1.0
SPEED_MEMORY_S = 30.0
"""The time left is taken from the speed of about the last so many seconds."""
_NAMES = ("classification loss", "localization loss", "total loss")


class LossWatch:
    """The losses of the steps, fetched from the device `look_every` steps at once: each fetch waits for the device."""

    def __init__(self, look_every: int) -> None:
        self._look_every = look_every
        self._unseen: list[tuple[int, float, Tensor]] = []
        self._sum: NDArray[np.float64] = np.zeros(3)
        self._count = 0

    def add(self, step: int, learning_rate: float, parts: LossParts) -> None:
        """Take the losses of a step. Raises DivergedError as `look` does."""
        losses = torch.stack([parts.classification, parts.localization, parts.total.detach()])
        self._unseen.append((step, learning_rate, losses))
        if len(self._unseen) >= self._look_every:
            self.look()

    def look(self) -> None:
        """Fetch what was not seen. Raises DivergedError naming the first step with a loss that is not finite."""
        if not self._unseen:
            return
        values = torch.stack([losses for _, _, losses in self._unseen]).cpu().double().numpy()
        for (step, learning_rate, _), row in zip(self._unseen, values, strict=True):
            for name, value in zip(_NAMES, row.tolist(), strict=True):
                if not math.isfinite(value):
                    raise DivergedError(diverged(f"the {name} was {value}", step, learning_rate))
        self._sum += values.sum(axis=0)
        self._count += len(values)
        self._unseen.clear()

    def take_means(self) -> tuple[float, float, float]:
        """Mean total, classification and localisation loss since the last call; at least one step was added."""
        self.look()
        classification, localization, total = (self._sum / self._count).tolist()
        self._sum, self._count = np.zeros(3), 0
        return total, classification, localization


def diverged(what: str, step: int, learning_rate: float) -> str:
    """The sentence of a DivergedError."""
    return (
        f"Training diverged: {what} at step {step} (learning rate {learning_rate:g}); "
        "lower the learning rate, warm up longer or clip the gradient."
    )


class Reporter:
    """Calls `report` after the first step, then each second, and at the end. Times are of `clock`, in seconds."""

    def __init__(
        self,
        report: Callable[[Progress, MetricRecord | None], None],
        clock: Callable[[], float],
        first: int,
        steps: int,
        batch_size: int,
    ) -> None:
        self._report = report
        self._clock = clock
        self._steps = steps
        self._batch_size = batch_size
        self._step = first
        self._since = clock()
        self._reported = -math.inf
        self._recent_steps = self._recent_s = 0.0
        report(Progress("training", first, steps), None)

    def is_due(self) -> bool:
        """Whether it is time to report."""
        return self._clock() - self._reported >= REPORT_EVERY_S

    def training(self, step: int, learning_rate: float, means: tuple[float, float, float]) -> None:
        """Report that `step` steps are done, with the mean losses since the last report."""
        steps, seconds = step - self._step, self._clock() - self._since
        images_per_s = steps * self._batch_size / max(seconds, 1e-9)
        progress = Progress("training", step, self._steps, *means, images_per_s, self._eta_s(step, steps, seconds))
        self._step, self._since = step, self._clock()
        self._reported = self._since
        self._report(progress, MetricRecord(step, *means, learning_rate, images_per_s))

    @contextmanager
    def evaluating(self, step: int) -> Iterator[None]:
        """Report an evaluation, whose time counts neither for the speed nor for the time left."""
        self._report(Progress("evaluating", step, self._steps), None)
        begun = self._clock()
        yield
        self._since += self._clock() - begun

    def _eta_s(self, step: int, steps: int, seconds: float) -> float:
        fading = math.exp(-seconds / SPEED_MEMORY_S)
        self._recent_steps = self._recent_steps * fading + steps
        self._recent_s = self._recent_s * fading + seconds
        return (self._steps - step) * self._recent_s / self._recent_steps
