"""Missing labels as in the paper: exact counts, nesting, independence of order, determinism, fairness, speed."""

import time
from decimal import Decimal
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from noisedash.datasets.dataset import Boxes, Dataset, Images
from noisedash.noise.hitting import kept_count
from noisedash.noise.keys import box_keys
from noisedash.noise.recipe import Fate, apply_recipe, drop_order
from noisedash.noise_spec import MissingNoise, NoiseRecipe

RATES = st.one_of(st.integers(0, 1000).map(lambda thousandths: thousandths / 1000), st.floats(1e-6, 1))


def dataset(count: int, images: int = 7, crowd: tuple[int, ...] = (), first_id: int = 0) -> Dataset:
    """A dataset of `count` boxes with ids from `first_id`, spread over `images` images and three classes."""
    rows = np.arange(count)
    boxes = Boxes(
        box_id=(rows + first_id).astype(np.uint64),
        image_index=rows % images,
        class_id=rows % 3,
        xyxy=np.stack([rows, rows, rows + 10.0, rows + 5.0], axis=1).astype(np.float64),
        crowd=np.isin(rows, crowd),
        difficult=np.zeros(count, dtype=np.bool_),
    )
    files = Images(
        file=tuple(f"{row}.jpg" for row in range(images)),
        width=np.full(images, 100),
        height=np.full(images, 80),
        split=("train",) * images,
        sha256=("0" * 64,) * images,
    )
    return Dataset("made", Path("nowhere"), ("a", "b", "c"), files, boxes)


def missing(rate: float, seed: int = 0) -> NoiseRecipe:
    return NoiseRecipe(steps=(MissingNoise(rate=rate, seed=seed),))


def dropped_ids(data: Dataset, recipe: NoiseRecipe) -> set[int]:
    return set(apply_recipe(data, recipe).dropped.box_id.tolist())


@given(st.integers(0, 300), RATES, st.integers(0, 2**63 - 1))
def test_exactly_floor_of_n_times_one_minus_p_boxes_are_kept(count: int, rate: float, seed: int) -> None:
    noisy = apply_recipe(dataset(count), missing(rate, seed=seed))
    expected = int((count * (1 - Decimal(repr(rate)))).to_integral_value("ROUND_FLOOR"))
    assert len(noisy.boxes) == expected
    assert len(noisy.dropped) == count - expected
    assert np.count_nonzero(noisy.fate == Fate.KEPT) == expected


@pytest.mark.parametrize(("count", "rate", "kept"), [(10, 0.9, 1), (1000, 0.7, 300), (4500, 0.1, 4050), (3, 0.5, 1)])
def test_the_count_is_free_of_float_error(count: int, rate: float, kept: int) -> None:
    assert kept_count(count, rate) == kept
    assert kept_count(count, np.float64(rate)) == kept


@given(st.integers(0, 200), RATES, RATES, st.integers(0, 9))
def test_what_a_rate_drops_a_higher_rate_drops_too(count: int, first: float, second: float, seed: int) -> None:
    data, low, high = dataset(count), min(first, second), max(first, second)
    assert dropped_ids(data, missing(low, seed=seed)) <= dropped_ids(data, missing(high, seed=seed))


@given(st.integers(1, 120), RATES, st.randoms(use_true_random=False))
def test_the_order_of_boxes_and_images_changes_nothing(count: int, rate: float, random) -> None:
    data, recipe = dataset(count), missing(rate)
    box_rows, image_rows = list(range(count)), list(range(len(data.images)))
    random.shuffle(box_rows)
    random.shuffle(image_rows)
    shuffled = Dataset("made", data.root, data.classes, data.images, data.boxes.take(np.array(box_rows)))
    shuffled = shuffled.subset(np.array(image_rows))
    assert shuffled.images.file != data.images.file or image_rows == sorted(image_rows)
    assert dropped_ids(shuffled, recipe) == dropped_ids(data, recipe)


def test_the_noisy_boxes_are_the_kept_clean_ones_in_their_order() -> None:
    data = dataset(50)
    noisy = apply_recipe(data, missing(0.4))
    kept = noisy.fate == Fate.KEPT
    for name in ("box_id", "image_index", "class_id", "xyxy", "crowd", "difficult"):
        np.testing.assert_array_equal(getattr(noisy.boxes, name), getattr(data.boxes, name)[kept])
    assert noisy.clean is data


def test_no_steps_leave_the_labels_clean_and_no_boxes_are_fine() -> None:
    assert len(apply_recipe(dataset(9), NoiseRecipe()).dropped) == 0
    assert len(apply_recipe(dataset(0), missing(0.5)).boxes) == 0


def test_crowd_regions_are_neither_counted_nor_dropped() -> None:
    data = dataset(12, crowd=(0, 5))
    noisy = apply_recipe(data, missing(0.5))
    assert np.count_nonzero(noisy.fate == Fate.DROPPED) == 5
    assert noisy.boxes.crowd.sum() == 2
    assert apply_recipe(data, missing(1.0)).boxes.crowd.all()
    plain = Dataset("made", data.root, data.classes, data.images, data.boxes.take(~data.boxes.crowd))
    assert dropped_ids(plain, missing(0.5)) == dropped_ids(data, missing(0.5))
    step = MissingNoise(rate=0.5)
    order = drop_order(data, step)
    assert order[[0, 5]].tolist() == [10, 11]
    np.testing.assert_array_equal(order[~data.boxes.crowd], drop_order(plain, step))


def test_the_outcome_is_fixed_for_ever() -> None:
    assert sorted(dropped_ids(dataset(20), missing(0.3, seed=1))) == [3, 4, 8, 12, 14, 19]


def test_seeds_and_kinds_are_streams_of_their_own() -> None:
    ids = np.arange(20_000, dtype=np.uint64)
    streams = [box_keys(ids, "missing", 0), box_keys(ids, "missing", 1), box_keys(ids, "extra", 0)]
    for first in range(3):
        assert len(np.unique(streams[first])) == len(ids)
        for second in range(first):
            a, b = (streams[i].astype(np.float64) for i in (first, second))
            assert abs(np.corrcoef(a, b)[0, 1]) < 0.03


def test_boxes_of_every_place_are_dropped_equally_often() -> None:
    data, seeds = dataset(40), 600
    times = np.zeros(40)
    for seed in range(seeds):
        times += apply_recipe(data, missing(0.3, seed=seed)).fate == Fate.DROPPED
    expected, deviation = seeds * 0.3, np.sqrt(seeds * 0.3 * 0.7)
    assert np.abs(times - expected).max() < 4.5 * deviation


def test_a_million_boxes_take_well_under_a_second() -> None:
    data = dataset(1_000_000, images=10)
    apply_recipe(dataset(10), missing(0.5))
    started = time.process_time()
    noisy = apply_recipe(data, missing(0.5))
    assert time.process_time() - started < 1.0
    assert len(noisy.boxes) == 500_000
