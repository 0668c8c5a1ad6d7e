from pathlib import Path

import numpy as np
import torch

from noisedash.datasets import indoor
from noisedash.datasets.imagecache import Square, open_images
from noisedash.detector.weights import build
from noisedash.evaluation.ap import evaluate
from noisedash.evaluation.predict import predict
from noisedash.settings import Settings
from noisedash.spec import EvaluationSpec, FromWeights
from noisedash.studies.quick import MICRO, PRETRAIN_DATASET, WEIGHTS
from noisedash.studies.recipes import RECIPES
from noisedash.weights import WeightsRegistry


def test_the_weights_that_quick_starts_from_are_at_hand_and_small(tmp_path: Path) -> None:
    record = WeightsRegistry(Settings(tmp_path, "")).find(RECIPES["quick"].weights or "")
    assert record.name == WEIGHTS
    assert record.detector == MICRO
    assert record.classes == indoor.CLASSES
    assert record.path.stat().st_size < 2_000_000
    assert "indoor-pretrain" in record.source
    assert "mAP@.50" in record.source
    assert FromWeights(sha256=record.sha256)
    assert RECIPES["indoor-pretrain"].dataset == PRETRAIN_DATASET


def test_they_find_indoor_objects_that_they_never_saw(tmp_path: Path) -> None:
    torch.set_num_threads(1)
    record = WeightsRegistry(Settings(tmp_path, "")).find(WEIGHTS)
    unseen = indoor.generate(tmp_path / "images", 60, seed=77)
    images = open_images(unseen, tmp_path / "cache", Square(MICRO.input_side))
    spec = EvaluationSpec(score_thresholds=(0.01,))
    (found,) = evaluate(unseen, predict(build(record.path), unseen, images, spec), spec)
    assert 0.5 < found.mean < 0.9
    assert np.count_nonzero([ap is not None and ap > 0.2 for ap in found.per_class]) == 7
