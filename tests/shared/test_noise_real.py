"""Noise on real annotations: the paper's counts, nesting, and sets that come back from disk as training saw them."""

from pathlib import Path

import numpy as np
import pytest

from noisedash.datasets.dataset import Dataset
from noisedash.datasets.registry import DatasetRegistry
from noisedash.noise.export import export
from noisedash.noise.recipe import apply_recipe, kept_count
from noisedash.settings import current_settings
from noisedash.spec import NoiseRecipe
from noisedash.studies.grid import missing

SHARED = Path(__file__).resolve().parents[3] / "shared"
RATES = (0.0, 0.1, 0.2, 0.3, 0.4, 0.5)


def registered(folder: str) -> Dataset:
    registry = DatasetRegistry(current_settings())
    registry.add(SHARED / "data" / folder, "real", skip_bad=True)
    return registry.get("real")


@pytest.mark.parametrize("folder", ["bccd-voc", "coco-free-json"])
def test_each_rate_keeps_exactly_its_share_and_drops_what_the_lower_ones_drop(folder: str) -> None:
    clean = registered(folder)
    countable = int((~clean.boxes.crowd).sum())
    assert countable > 300
    before: set[int] = set()
    for rate in RATES:
        noisy = apply_recipe(clean, missing(rate))
        dropped = set(noisy.dropped.box_id.tolist())
        assert len(dropped) == countable - kept_count(countable, rate)
        assert before <= dropped
        assert not noisy.dropped.crowd.any()
        before = dropped


def test_what_goes_missing_is_like_what_stays() -> None:
    """Over many draws each class loses its share: labels go missing uniformly, whatever they are."""
    clean = registered("bccd-voc")
    counts = np.bincount(clean.boxes.class_id)
    lost = sum(np.bincount(apply_recipe(clean, missing(0.5, seed)).dropped.class_id) for seed in range(40))
    np.testing.assert_allclose(lost / counts / 40, 0.5, atol=0.02)


@pytest.mark.parametrize("folder", ["bccd-voc", "coco-free-json"])
@pytest.mark.parametrize("format_name", ["voc", "coco"])
def test_an_exported_noisy_set_can_be_registered_and_holds_the_kept_boxes(
    folder: str, format_name: str, tmp_path: Path
) -> None:
    clean = registered(folder)
    noisy = apply_recipe(clean, NoiseRecipe(steps=missing(0.3, seed=1).steps))
    export(noisy, format_name, tmp_path / "noisy", images="link")
    registry = DatasetRegistry(current_settings())
    registry.add(tmp_path / "noisy", "noisy")
    back = registry.get("noisy")
    assert len(back.images) == len(clean.images)
    kept = np.sort(noisy.boxes.xyxy.ravel())
    np.testing.assert_allclose(np.sort(back.boxes.xyxy.ravel()), kept, atol=1e-6)
    assert back.boxes.crowd.sum() == clean.boxes.crowd.sum()
