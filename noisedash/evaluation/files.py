"""Predictions as one compressed .npz file."""

import os
from pathlib import Path
from zipfile import BadZipFile

import numpy as np

from noisedash.datasets.files import storage_error
from noisedash.errors import DataError
from noisedash.evaluation.records import Predictions


def save_predictions(path: Path, predictions: Predictions) -> None:
    """Write the predictions, aside and renamed, so that `path` is whole or not there. Raises StorageError."""
    aside = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with aside.open("wb") as file:
            np.savez_compressed(
                file,
                image_index=predictions.image_index.astype(np.int32),
                class_id=predictions.class_id.astype(np.int32),
                score=predictions.score,
                xyxy=predictions.xyxy,
            )
            file.flush()
            os.fsync(file.fileno())
        aside.replace(path)
    except OSError as error:
        aside.unlink(missing_ok=True)
        raise storage_error(error, path) from error


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
