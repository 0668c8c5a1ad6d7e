"""Predictions as one compressed .npz file."""

from pathlib import Path
from zipfile import BadZipFile

import numpy as np

from noisedash.errors import DataError
from noisedash.evaluation.records import Predictions
from noisedash.files import file_written_aside


def save_predictions(path: Path, predictions: Predictions) -> None:
    """Write the predictions, aside and renamed, so that `path` is whole or not there. Raises StorageError."""
    with file_written_aside(path) as aside, aside.open("wb") as file:
        np.savez_compressed(
            file,
            image_index=predictions.image_index.astype(np.int32),
            class_id=predictions.class_id.astype(np.int32),
            score=predictions.score,
            xyxy=predictions.xyxy,
        )


def load_predictions(path: Path) -> Predictions:
    """The predictions of a file of `save_predictions`. Raises DataError where it is missing or damaged."""
    try:
        with path.open("rb") as file, np.load(file, allow_pickle=False) as columns:
            return Predictions(
                image_index=columns["image_index"].astype(np.int64),
                class_id=columns["class_id"].astype(np.int64),
                score=columns["score"],
                xyxy=columns["xyxy"],
            )
    except (OSError, EOFError, KeyError, ValueError, BadZipFile) as error:
        raise DataError(f"{path} does not hold predictions that can be read: evaluate the run again.") from error
