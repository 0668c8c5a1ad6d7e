"""Resampling against evaluating half of the images, and how often its intervals cover, by simulation."""

import numpy as np
import pytest
from evaluation_toys import random_case

from noisedash.datasets.dataset import Dataset
from noisedash.evaluation.matching import CocoRules, MatchTable, match
from noisedash.evaluation.precision import average_precisions, mean_over_classes
from noisedash.evaluation.records import Predictions
from noisedash.evaluation.resampling import ApDraws, halves, resample


def subset(data: Dataset, found: Predictions, rows: np.ndarray) -> tuple[Dataset, Predictions]:
    """The dataset of some images, and the detections on them."""
    place = np.full(len(data.images), -1)
    place[rows] = np.arange(len(rows))
    kept = place[found.image_index] >= 0
    columns = found.class_id[kept], found.score[kept], found.xyxy[kept]
    return data.subset(rows), Predictions(place[found.image_index[kept]], *columns)


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("interpolation", ["coco101", "voc", "voc07"])
def test_a_resample_is_evaluating_half_of_the_images(seed: int, interpolation) -> None:
    data, found = random_case(seed)
    rules = CocoRules((0.5, 0.75))
    draws = resample(match(data, found, rules), 70, seed, interpolation, min_score=0.2)
    chosen = halves(len(data.images), 70, seed)
    for number in (0, 1, 49, 50, 69):
        half = subset(data, found.above(0.2), np.flatnonzero(chosen[:, number]))
        expected = average_precisions(match(*half, rules), interpolation).mean(axis=0)
        np.testing.assert_allclose(draws.of_class_draws[number], expected, atol=1e-12)
        np.testing.assert_allclose(draws.mean_draws[number], mean_over_classes(expected), atol=1e-12)


@pytest.mark.parametrize("images", [40, 41])
def test_halves_are_halves_and_the_same_again(images: int) -> None:
    chosen = halves(images, 300, 1)
    assert (chosen.sum(axis=0) == 20).all()
    assert set(chosen.ravel().tolist()) == {0, 1}
    assert 0.3 < chosen.mean(axis=1).min() < chosen.mean(axis=1).max() < 0.7
    np.testing.assert_array_equal(chosen, halves(images, 300, 1))
    assert (chosen != halves(images, 300, 2)).any()


def test_a_single_image_has_no_interval() -> None:
    draws = resample(match(*random_case(3, images=1), CocoRules()), 10)
    assert np.isnan([*draws.interval(), draws.standard_error]).all()


def test_the_interval_is_normal_and_drawn_out_by_the_bias() -> None:
    """Draws .6 on the average of a value .5: their rise of .1 stands for a bias of .1 / (2^(2/3) - 1) = .170."""
    draws = ApDraws(np.array([0.5, np.nan]), 0.5, np.array([[0.5, np.nan], [0.7, np.nan]]), np.array([0.5, 0.7]))
    reach = 0.1 * 2**0.5
    assert draws.standard_error == pytest.approx(reach)
    assert draws.interval() == pytest.approx((0.5 - 0.170241 - 1.959964 * reach, 0.5 + 1.959964 * reach), abs=1e-6)
    low, high = draws.class_intervals(0.5)
    assert (low[0], high[0]) == pytest.approx((0.5 - 0.170241 - 0.67449 * reach, 0.5 + 0.67449 * reach), abs=1e-6)
    assert np.isnan([low[1], high[1]]).all()
    falling = ApDraws(draws.of_class, 0.7, draws.of_class_draws, draws.mean_draws)
    assert falling.interval(0.5) == pytest.approx((0.7 - 0.67449 * reach, 0.7 + 0.170241 + 0.67449 * reach), abs=1e-6)


def test_an_interval_stays_where_ap_can_be() -> None:
    sure = ApDraws(np.array([1.0]), 1.0, np.array([[1.0], [0.2]]), np.array([1.0, 0.2]))
    assert sure.interval()[1] == 1.0
    assert sure.interval()[0] == 0.0
    assert sure.minus(ApDraws(np.zeros(1), 0.0, np.zeros((2, 1)), np.zeros(2))).interval()[0] < 0


def test_a_difference_is_taken_resample_by_resample() -> None:
    data, found = random_case(4)
    first = resample(match(data, found, CocoRules()), 50)
    second = resample(match(data, found.above(0.6), CocoRules()), 50)
    difference = first.minus(second)
    np.testing.assert_array_equal(difference.mean_draws, first.mean_draws - second.mean_draws)
    assert difference.standard_error < np.hypot(first.standard_error, second.standard_error)
    assert first.minus(first).p_value() == 1
    assert difference.minus(first).least == -1


def world(rng: np.random.Generator, images: int, blur: float = 1.0) -> MatchTable:
    """Two classes; some images are easier than others, which ties the scores on them together."""
    ease = rng.normal(0, 0.7, images)
    boxes = rng.poisson(0.8, images * 2)
    cell = np.repeat(np.arange(images * 2), boxes)
    strays = np.repeat(np.arange(images * 2), rng.poisson(0.8, images * 2))
    found = cell[rng.random(len(cell)) < 0.85 - 0.1 * (cell % 2)]
    score = np.concatenate(
        [
            1 + ease[found // 2] + blur * rng.normal(0, 1, len(found)),
            0.5 * ease[strays // 2] - 0.7 + blur * rng.normal(0, 1.2, len(strays)),
        ]
    ).astype(np.float32)
    where = np.concatenate([found, strays])
    right = np.arange(len(where)) < len(found)
    order = np.lexsort((-score, where % 2))
    return MatchTable(
        ious=(0.5,),
        images=images,
        classes=2,
        row=order,
        image_index=where[order] // 2,
        class_id=where[order] % 2,
        score=score[order],
        outcome=right[order].astype(np.int8)[None],
        box=np.zeros((1, len(order)), np.int64),
        counted=np.ones(len(cell), np.bool_),
        box_image=cell // 2,
        box_class=cell % 2,
    )


def test_intervals_cover_in_1000_simulated_test_sets() -> None:
    rng = np.random.default_rng(7)
    true = np.mean([average_precisions(world(rng, 50_000))[0] for _ in range(6)], axis=0)
    hits = np.zeros((1000, 3), dtype=bool)
    for study in range(1000):
        draws = resample(world(rng, 250), 100, seed=study)
        low, high = draws.interval()
        class_low, class_high = draws.class_intervals()
        hits[study] = [low <= true.mean() <= high, *((class_low <= true) & (true <= class_high))]
    coverage = hits.mean(axis=0)
    assert (coverage >= 0.93).all(), coverage
    assert (coverage <= 0.97).all(), coverage
