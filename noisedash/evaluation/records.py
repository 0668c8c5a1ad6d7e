"""What evaluation takes and gives. C classes, D detections."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True, eq=False)
class Predictions:
    """D detections over the images of a Dataset, as columns."""

    image_index: NDArray[np.int64]
    class_id: NDArray[np.int64]
    score: NDArray[np.float32]
    xyxy: NDArray[np.float32]
    """(D, 4) pixels of the original image."""

    def __len__(self) -> int:
        return len(self.score)

    def above(self, score_threshold: float) -> "Predictions":
        """The detections whose score is at least the threshold."""
        kept = self.score >= score_threshold
        return Predictions(self.image_index[kept], self.class_id[kept], self.score[kept], self.xyxy[kept])


@dataclass(frozen=True)
class ApRecord:
    """Average precision at one score threshold; a class without a clean box has None and is left out of the mean."""

    score_threshold: float
    mean: float
    per_class: tuple[float | None, ...]
