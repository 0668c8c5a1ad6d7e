"""Predictions survive the way to disk and back, whole or not at all."""

from pathlib import Path

import numpy as np
import pytest

from noisedash.errors import DataError, StorageError
from noisedash.evaluation.files import load_predictions, save_predictions
from noisedash.evaluation.records import Predictions


def made(count: int) -> Predictions:
    rng = np.random.default_rng(0)
    return Predictions(
        image_index=rng.integers(0, 9, count),
        class_id=rng.integers(0, 9, count),
        score=rng.random(count, dtype=np.float32),
        xyxy=rng.random((count, 4), dtype=np.float32),
    )


@pytest.mark.parametrize("count", [0, 1, 1000])
def test_there_and_back(tmp_path: Path, count: int) -> None:
    before, path = made(count), tmp_path / "run" / "predictions.npz"
    save_predictions(path, before)
    after = load_predictions(path)
    for name in ("image_index", "class_id", "score", "xyxy"):
        column = getattr(after, name)
        assert column.dtype == getattr(before, name).dtype
        np.testing.assert_array_equal(column, getattr(before, name))
    assert [file.name for file in path.parent.iterdir()] == ["predictions.npz"]


def test_a_failed_write_leaves_the_old_file_and_nothing_else(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "predictions.npz"
    save_predictions(path, made(3))

    def full_disk(file, **columns) -> None:
        file.write(b"half")
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(np, "savez_compressed", full_disk)
    with pytest.raises(StorageError, match=r"holds .*predictions\.npz is full"):
        save_predictions(path, made(5))
    assert len(load_predictions(path)) == 3
    assert [file.name for file in tmp_path.iterdir()] == ["predictions.npz"]


@pytest.mark.parametrize("damage", ["missing", "cut", "empty", "other"])
def test_a_file_that_is_no_file_of_predictions_is_named(tmp_path: Path, damage: str) -> None:
    path = tmp_path / "predictions.npz"
    if damage != "missing":
        save_predictions(path, made(50))
    if damage == "cut":
        path.write_bytes(path.read_bytes()[:200])
    if damage == "empty":
        path.write_bytes(b"")
    if damage == "other":
        np.savez(path, score=np.zeros(3))
    with pytest.raises(DataError, match=r"predictions\.npz does not hold predictions"):
        load_predictions(path)
