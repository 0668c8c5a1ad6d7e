"""Who is hit: exact counts and nesting under every weighting, and that each does what it says."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from noise_toys import CLASSES, RATES, datasets, make, scattered, shuffled

from noisedash.boxes import box_area, pairwise_iou
from noisedash.datasets.dataset import Dataset
from noisedash.noise.hitting import box_weights, hit_count, hit_order, kept_count
from noisedash.noise.overlaps import hidden_share, iou_of_each, neighbours
from noisedash.noise.recipe import apply_recipe
from noisedash.noise_spec import (
    ByClass,
    ByCrowding,
    ByOcclusion,
    BySize,
    MissingNoise,
    NoiseRecipe,
    Uniform,
    Weighting,
    WholeImages,
)

WEIGHTINGS = st.one_of(
    st.just(Uniform()),
    st.just(WholeImages()),
    st.integers(-16, 16).map(lambda quarters: BySize(exponent=quarters / 4)),
    st.integers(-16, 16).map(lambda quarters: ByCrowding(exponent=quarters / 4)),
    st.floats(0.01, 100).map(lambda factor: ByOcclusion(factor=factor)),
    st.dictionaries(st.sampled_from(CLASSES), st.floats(0, 9)).map(lambda weights: ByClass(weights=weights)),
)


def dropped(data: Dataset, rate: float, weighting: Weighting, seed: int = 0) -> set[int]:
    step = MissingNoise(rate=rate, seed=seed, weighting=weighting)
    return set(apply_recipe(data, NoiseRecipe(steps=(step,))).dropped.box_id.tolist())


@given(datasets, RATES, WEIGHTINGS)
def test_any_weighting_hits_the_exact_number(data: Dataset, rate: float, weighting: Weighting) -> None:
    number = int((~data.boxes.crowd).sum())
    assert len(dropped(data, rate, weighting)) == number - kept_count(number, rate) == hit_count(number, rate)


@given(datasets, RATES, RATES, WEIGHTINGS)
def test_any_weighting_is_nested_in_the_rate(data: Dataset, one: float, other: float, weighting: Weighting) -> None:
    assert dropped(data, min(one, other), weighting) <= dropped(data, max(one, other), weighting)


@given(datasets, RATES, WEIGHTINGS, st.integers(0, 9))
def test_no_weighting_depends_on_the_order_of_rows(data: Dataset, rate: float, weighting: Weighting, seed: int) -> None:
    assert dropped(shuffled(data, seed), rate, weighting, seed) == dropped(data, rate, weighting, seed)


def test_equal_weights_are_the_uniform_draw() -> None:
    data = scattered(500)
    rows = np.arange(500)
    uniform = hit_order(data, MissingNoise(rate=0.5), rows)
    for weighting in (BySize(exponent=0), ByOcclusion(factor=1), ByClass(weights={}, other=3)):
        np.testing.assert_array_equal(hit_order(data, MissingNoise(rate=0.5, weighting=weighting), rows), uniform)


def test_the_first_to_go_is_drawn_in_proportion_to_the_weights() -> None:
    """And so is the second among those left: the race of Efraimidis and Spirakis."""
    weights = {"cat": 1.0, "dog": 2.0, "fox": 3.0, "owl": 0.0}
    box = np.array([[10.0, 10.0, 20.0, 20.0]] * 4)
    data, draws = make(box, np.zeros(4, dtype=int)), 6000
    firsts, seconds = np.zeros(4), np.zeros(4)
    for seed in range(draws):
        step = MissingNoise(rate=0.5, seed=seed, weighting=ByClass(weights=weights))
        order = hit_order(data, step, np.arange(4))
        assert order[3] == 3
        firsts[order[0]] += 1
        seconds[order[1]] += order[0] == 2
    np.testing.assert_allclose(firsts / draws, [1 / 6, 2 / 6, 3 / 6, 0], atol=0.025)
    np.testing.assert_allclose(seconds / firsts[2], [1 / 3, 2 / 3, 0, 0], atol=0.03)


def test_boxes_of_weight_zero_go_when_no_other_is_left() -> None:
    data = scattered(100)
    only_cats = ByClass(weights={"cat": 1}, other=0)
    cats = set(data.boxes.box_id[data.boxes.class_id == 0].tolist())
    assert dropped(data, len(cats) / 100, only_cats) == cats
    assert dropped(data, 0.9, only_cats) > cats


def test_the_least_weight_there_is_goes_after_all_others_and_before_weight_zero() -> None:
    data = scattered(100)
    tiny = ByClass(weights={"cat": 5e-324, "dog": 0}, other=1)
    step = MissingNoise(rate=0.5, weighting=tiny)
    order = data.boxes.class_id[hit_order(data, step, np.arange(100))]
    cats, dogs = (order == 0).sum(), (order == 1).sum()
    assert cats > 0
    assert dogs > 0
    assert (order[100 - dogs :] == 1).all()
    assert (order[100 - dogs - cats : 100 - dogs] == 0).all()


@pytest.mark.parametrize(("exponent", "smaller"), [(-1, True), (1, False)])
def test_by_size_prefers_what_it_says(exponent: float, smaller: bool) -> None:
    data = scattered(2000)
    gone = np.isin(data.boxes.box_id, list(dropped(data, 0.3, BySize(exponent=exponent))))
    area = box_area(data.boxes.xyxy)
    assert (np.median(area[gone]) < np.median(area[~gone])) == smaller


def test_whole_images_lose_all_their_boxes_but_the_last_one_in_part() -> None:
    data = scattered(200, images=20)
    gone = np.isin(data.boxes.box_id, list(dropped(data, 0.4, WholeImages())))
    share = np.array([gone[rows].mean() for rows in data.boxes_of_image if len(rows)])
    assert gone.sum() == 80
    assert ((share > 0) & (share < 1)).sum() <= 1
    assert (share == 1).sum() > 4
    other = np.isin(data.boxes.box_id, list(dropped(data, 0.4, WholeImages(), seed=1)))
    assert (other != gone).any()


@given(datasets)
def test_crowding_and_hiding_are_what_a_loop_counts(data: Dataset) -> None:
    boxes = data.boxes
    near, hidden = np.zeros(len(boxes)), np.zeros(len(boxes))
    for own in range(len(boxes)):
        left, top, right, bottom = boxes.xyxy[own]
        for other in range(len(boxes)):
            if other == own or boxes.crowd[other] or boxes.image_index[own] != boxes.image_index[other]:
                continue
            a, b, c, d = boxes.xyxy[other]
            apart_x, apart_y = abs(left + right - a - c) / 2, abs(top + bottom - b - d) / 2
            near[own] += apart_x < right - left + c - a and apart_y < bottom - top + d - b
            shared = max(min(right, c) - max(left, a), 0) * max(min(bottom, d) - max(top, b), 0)
            hidden[own] = max(hidden[own], shared / ((right - left) * (bottom - top)))
    np.testing.assert_array_equal(neighbours(data), near)
    np.testing.assert_allclose(hidden_share(data), hidden, atol=1e-9)
    factor = box_weights(data, ByOcclusion(factor=3))
    expected = 1 + 2 * np.where(boxes.truncated | boxes.difficult, 1, hidden)
    np.testing.assert_allclose(factor, expected, atol=1e-9)
    np.testing.assert_allclose(box_weights(data, ByCrowding(exponent=-0.5)), (1 + near) ** -0.5)


@given(datasets, st.integers(-16, 16))
def test_sizes_weigh_as_the_power_of_the_side(data: Dataset, quarters: int) -> None:
    side = np.sqrt(np.maximum(box_area(data.boxes.xyxy), 1 / 64**2))
    np.testing.assert_allclose(box_weights(data, BySize(exponent=quarters / 4)), side ** (quarters / 4), rtol=1e-12)


def test_iou_row_by_row_is_the_diagonal_of_all_pairs() -> None:
    first, second = scattered(50, seed=1).boxes.xyxy, scattered(50, seed=2, largest=150).boxes.xyxy
    np.testing.assert_allclose(iou_of_each(first, second), np.diag(pairwise_iou(first, second)), atol=1e-12)
