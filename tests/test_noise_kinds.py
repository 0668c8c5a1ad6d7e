"""Inaccurate, wrong and extra boxes: geometry, classes, exact counts, nesting, and every box's history."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from noise_toys import CLASSES, RATES, datasets, make, scattered, shuffled

from noisedash.boxes import pairwise_iou
from noisedash.datasets.dataset import Dataset
from noisedash.errors import DataError
from noisedash.noise.bench import RECIPES as BENCHED
from noisedash.noise.bench import bench_noise
from noisedash.noise.hitting import hit_count
from noisedash.noise.recipe import INVENTED, Fate, NoisyDataset, apply_recipe
from noisedash.noise.report import emptied_images, hits, relabellings
from noisedash.noise_spec import (
    ByClass,
    BySize,
    ExtraNoise,
    InaccurateNoise,
    MissingNoise,
    NoiseRecipe,
    WholeImages,
    WrongClassNoise,
)

SPREADS = st.floats(0, 0.5)
RECIPES = st.builds(
    lambda missing, inaccurate, wrong, extra, seed: NoiseRecipe(
        steps=(
            ExtraNoise(rate=extra, seed=seed),
            MissingNoise(rate=missing, seed=seed),
            WrongClassNoise(rate=wrong, seed=seed),
            InaccurateNoise(rate=inaccurate, seed=seed),
        )
    ),
    RATES, RATES, RATES, RATES, st.integers(0, 2**63 - 1),
)  # fmt: skip


def told(noisy: NoisyDataset) -> dict[int, tuple]:
    """Image file, class and corners of every noisy box, by id."""
    files, boxes = noisy.clean.images.file, noisy.boxes
    columns = zip(boxes.box_id.tolist(), boxes.image_index, boxes.class_id, boxes.xyxy.tolist(), strict=True)
    return {box_id: (files[image], int(class_id), *corners) for box_id, image, class_id, corners in columns}


def with_step(data: Dataset, *steps) -> NoisyDataset:
    return apply_recipe(data, NoiseRecipe(steps=steps))


# All kinds together


@given(datasets, RECIPES)
def test_each_kind_hits_its_exact_number(data: Dataset, recipe: NoiseRecipe) -> None:
    noisy = apply_recipe(data, recipe)
    missing, inaccurate, wrong, extra = recipe.steps
    number = int((~data.boxes.crowd).sum())
    left = number - hit_count(number, missing.rate)
    assert len(noisy.dropped) == number - left
    assert np.count_nonzero(noisy.fate & Fate.MOVED) == hit_count(left, inaccurate.rate)
    assert np.count_nonzero(noisy.fate & Fate.RELABELLED) == hit_count(left, wrong.rate)
    assert len(noisy.invented) == hit_count(number, extra.rate)


@given(datasets, RECIPES)
def test_every_box_has_its_history(data: Dataset, recipe: NoiseRecipe) -> None:
    noisy = apply_recipe(data, recipe)
    crowd = data.boxes.crowd
    assert (noisy.fate[crowd] == Fate.KEPT).all()
    assert len(np.unique(noisy.boxes.box_id)) == len(noisy.boxes)
    for row, fate in enumerate(noisy.fate.tolist()):
        after = noisy.row_after[row]
        if fate == Fate.DROPPED:
            assert after == -1
            continue
        assert noisy.origin[after] == row
        same_class = noisy.boxes.class_id[after] == data.boxes.class_id[row]
        same_place = (noisy.boxes.xyxy[after] == data.boxes.xyxy[row]).all()
        assert same_class == (not fate & Fate.RELABELLED)
        assert same_place or fate & Fate.MOVED
        assert noisy.boxes.image_index[after] == data.boxes.image_index[row]
        assert noisy.boxes.box_id[after] == data.boxes.box_id[row]
    invented = noisy.origin == INVENTED
    assert not np.isin(noisy.boxes.box_id[invented], data.boxes.box_id).any()
    assert not noisy.boxes.crowd[invented].any()
    iou = np.diag(pairwise_iou(data.boxes.xyxy[noisy.origin[~invented]], noisy.boxes.xyxy[~invented]))
    np.testing.assert_allclose(noisy.iou[~invented], iou, atol=1e-9)
    assert (noisy.iou[invented] == 0).all()


@given(datasets, RECIPES, st.integers(0, 9))
def test_the_order_of_rows_changes_nothing(data: Dataset, recipe: NoiseRecipe, seed: int) -> None:
    assert told(apply_recipe(shuffled(data, seed), recipe)) == told(apply_recipe(data, recipe))


def test_a_kind_hits_the_same_boxes_alone_and_beside_others() -> None:
    data = scattered(300)
    steps = (InaccurateNoise(rate=0.2), WrongClassNoise(rate=0.3), ExtraNoise(rate=0.1))
    together = with_step(data, *steps)
    for step, flag in zip(steps[:2], (Fate.MOVED, Fate.RELABELLED), strict=True):
        np.testing.assert_array_equal(with_step(data, step).fate & flag, together.fate & flag)
    np.testing.assert_array_equal(with_step(data, steps[2]).invented.xyxy, together.invented.xyxy)


def test_the_same_data_and_recipe_make_the_same_bytes_on_every_machine() -> None:
    """Pinned: if this changes, noisy sets of before cannot be made again."""
    recipe = NoiseRecipe(
        steps=(
            MissingNoise(rate=0.3, seed=1, weighting=BySize(exponent=-1.25)),
            InaccurateNoise(rate=0.4, seed=2, weighting=WholeImages()),
            WrongClassNoise(rate=0.2, seed=3, confusion={"cat": {"dog": 3, "owl": 0.1}}),
            ExtraNoise(rate=0.5, seed=4, weighting=ByClass(weights={"fox": 7})),
        )
    )
    data = scattered(400, seed=5, crowds=3)
    assert data.content_hash == "1a857c7ab954ad86246192bb016315ac6ec97bd67783e90a0bf175d1aefff1e5"
    assert apply_recipe(data, recipe).content_hash == "e056db1df5316dc7b065c431af9fd14f9fb30b37da10e250a1090e7ffb8a36b6"


# Inaccurate boxes


@given(datasets, SPREADS, SPREADS, st.integers(0, 2**63 - 1))
def test_boxes_that_are_off_stay_inside_and_have_an_area(data: Dataset, centre: float, size: float, seed: int) -> None:
    boxes = with_step(data, InaccurateNoise(rate=1, seed=seed, centre=centre, size=size)).boxes
    limit = np.stack([data.images.width, data.images.height], axis=1)[boxes.image_index]
    can = ~boxes.crowd
    assert (boxes.xyxy[can, :2] >= 0).all()
    assert (boxes.xyxy[can, 2:] <= limit[can]).all()
    assert (boxes.xyxy[can, 2:] - boxes.xyxy[can, :2] >= 1 / 64).all()
    assert (boxes.xyxy[can] * 64 == np.rint(boxes.xyxy[can] * 64)).all()


def test_what_is_drawn_badly_has_no_outline_any_more() -> None:
    data = scattered(40)
    outlined = replace(data, boxes=replace(data.boxes, outline_area=np.arange(40.0)))
    noisy = with_step(outlined, InaccurateNoise(rate=0.5))
    moved = noisy.fate[noisy.origin] & Fate.MOVED > 0
    assert np.isnan(noisy.boxes.outline_area[moved]).all()
    np.testing.assert_array_equal(noisy.boxes.outline_area[~moved], noisy.origin[~moved])
    assert np.isnan(with_step(outlined, ExtraNoise(rate=0.2)).invented.outline_area).all()


@given(st.integers(0, 2**63 - 1), SPREADS, SPREADS)
def test_centre_and_size_are_off_by_what_is_said_at_most(seed: int, centre: float, size: float) -> None:
    box = np.array([[80.0, 60.0, 120.0, 80.0]])
    noisy = with_step(make(box, np.zeros(1, int)), InaccurateNoise(rate=1, seed=seed, centre=centre, size=size))
    left, top, right, bottom = noisy.boxes.xyxy[0]
    rounding = 1 / 64
    assert abs((left + right) / 2 - 100) <= 40 * centre + rounding
    assert abs((top + bottom) / 2 - 70) <= 20 * centre + rounding
    assert abs((right - left) - 40) <= 40 * size + rounding
    assert abs((bottom - top) - 20) <= 20 * size + rounding


def test_centre_and_size_are_off_evenly_and_independently() -> None:
    count = 20_000
    corner = np.stack([np.full(count, 80.0), np.full(count, 60.0)], axis=1)
    data = make(np.concatenate([corner, corner + np.array([40.0, 20.0])], axis=1), np.arange(count) % 50)
    xyxy = with_step(data, InaccurateNoise(rate=1, centre=0.3, size=0.4)).boxes.xyxy
    sides = xyxy[:, 2:] - xyxy[:, :2]
    off = np.concatenate([((xyxy[:, :2] + xyxy[:, 2:]) / 2 - [100, 70]) / [40, 20], sides / [40, 20] - 1], axis=1)
    for column, spread in zip(off.T, (0.3, 0.3, 0.4, 0.4), strict=True):
        shares = np.histogram(column, 10, (-spread, spread))[0] / count
        np.testing.assert_allclose(shares, 0.1, atol=0.012)
    assert np.abs(np.corrcoef(off.T) - np.eye(4)).max() < 0.03


@given(datasets, RATES, RATES)
def test_what_is_moved_at_a_rate_is_moved_alike_at_each_higher_one(data: Dataset, one: float, other: float) -> None:
    low, high = (with_step(data, InaccurateNoise(rate=rate)) for rate in sorted((one, other)))
    moved = np.flatnonzero(low.fate & Fate.MOVED)
    assert (high.fate[moved] & Fate.MOVED > 0).all()
    np.testing.assert_array_equal(low.boxes.xyxy[moved], high.boxes.xyxy[moved])


# Wrong classes


def test_wrong_classes_are_any_other_alike() -> None:
    data = scattered(30_000, images=50)
    noisy = with_step(data, WrongClassNoise(rate=1))
    pairs = np.zeros((4, 4))
    np.add.at(pairs, (data.boxes.class_id, noisy.boxes.class_id), 1)
    shares = pairs / pairs.sum(axis=1, keepdims=True)
    np.testing.assert_allclose(shares, (1 - np.eye(4)) / 3, atol=0.02)
    assert sum(number for _, _, number in relabellings(noisy)) == 30_000


def test_wrong_classes_follow_the_matrix_that_is_given() -> None:
    data = scattered(30_000, images=50)
    confusion = {"cat": {"dog": 3, "fox": 1, "owl": 0}, "owl": {"cat": 0.2}}
    counted = relabellings(with_step(data, WrongClassNoise(rate=1, confusion=confusion)))
    number = {(own, wrong): count for own, wrong, count in counted}
    cats = number["cat", "dog"] + number["cat", "fox"]
    assert ("cat", "owl") not in number
    assert number["cat", "dog"] / cats == pytest.approx(0.75, abs=0.02)
    assert {wrong for own, wrong in number if own == "owl"} == {"cat"}
    assert {wrong for own, wrong in number if own == "fox"} == {"cat", "dog", "owl"}


@given(datasets, RATES, RATES)
def test_what_is_relabelled_at_a_rate_is_relabelled_alike_at_each_higher_one(
    data: Dataset, one: float, other: float
) -> None:
    low, high = (with_step(data, WrongClassNoise(rate=rate)) for rate in sorted((one, other)))
    wrong = np.flatnonzero(low.fate & Fate.RELABELLED)
    np.testing.assert_array_equal(low.boxes.class_id[wrong], high.boxes.class_id[wrong])


@pytest.mark.parametrize(
    ("step", "message"),
    [
        (WrongClassNoise(rate=0.1, confusion={"cat": {"yak": 1}}), r"names 'yak', which is no class .* it has 'cat'"),
        (WrongClassNoise(rate=0.1, confusion={"gnu": {"cat": 1}}), r"names 'gnu'"),
        (MissingNoise(rate=0.1, weighting=ByClass(weights={"yak": 1, "gnu": 2})), r"names 'gnu', 'yak'"),
    ],
)
def test_classes_that_are_not_there_are_named(step, message: str) -> None:
    with pytest.raises(DataError, match=message):
        with_step(scattered(9), step)


def test_an_only_class_cannot_be_mistaken() -> None:
    data = scattered(9)
    lone = Dataset(data.name, data.root, ("cat",), data.images, data.boxes.take(data.boxes.class_id == 0))
    with pytest.raises(DataError, match="need two classes at least, and there is only cat"):
        with_step(lone, WrongClassNoise(rate=0.5))
    assert len(with_step(lone, WrongClassNoise(rate=0)).boxes) == len(lone.boxes)


# Extra boxes


@given(datasets, RATES, st.floats(0.01, 0.9), st.integers(0, 2**63 - 1))
def test_extra_boxes_lie_inside_and_on_no_real_box(data: Dataset, rate: float, max_iou: float, seed: int) -> None:
    noisy = with_step(data, MissingNoise(rate=0.5), ExtraNoise(rate=rate, seed=seed, max_iou=max_iou))
    extra = noisy.invented
    limit = np.stack([data.images.width, data.images.height], axis=1)[extra.image_index]
    assert (extra.xyxy[:, :2] >= 0).all()
    assert (extra.xyxy[:, 2:] <= limit).all()
    assert (extra.xyxy[:, 2:] > extra.xyxy[:, :2]).all()
    for image, corners in zip(extra.image_index, extra.xyxy, strict=True):
        real = data.boxes.xyxy[data.boxes.image_index == image]
        assert pairwise_iou(corners[None], real).max(initial=0) <= max_iou + 1e-12


@given(datasets, RATES, RATES)
def test_extra_boxes_of_a_rate_are_the_first_of_each_higher_one(data: Dataset, one: float, other: float) -> None:
    low, high = (with_step(data, ExtraNoise(rate=rate)).invented for rate in sorted((one, other)))
    for name in ("box_id", "image_index", "class_id", "xyxy"):
        np.testing.assert_array_equal(getattr(low, name), getattr(high, name)[: len(low)])


def test_extra_boxes_have_the_sizes_and_classes_of_the_data() -> None:
    data = scattered(4000, images=400, largest=40)
    extra = with_step(data, ExtraNoise(rate=1)).invented
    shapes = {(int(c), *np.rint(np.maximum((b - a) * 64, 1))) for c, a, b in zip(
        data.boxes.class_id, data.boxes.xyxy[:, :2], data.boxes.xyxy[:, 2:], strict=True
    )}  # fmt: skip
    assert {
        (int(c), *np.rint((box[2:] - box[:2]) * 64)) for c, box in zip(extra.class_id, extra.xyxy, strict=True)
    } <= shapes
    np.testing.assert_allclose(np.bincount(extra.class_id), np.bincount(data.boxes.class_id), rtol=0.05)
    per_image = np.bincount(extra.image_index, minlength=400)
    assert abs(per_image.mean() - 10) < 1e-9
    assert 8 < per_image.var() < 12.5
    centre = (extra.xyxy[:, :2] + extra.xyxy[:, 2:]) / 2
    np.testing.assert_allclose(centre.mean(axis=0), [100, 75], atol=3)


def test_extra_boxes_can_be_like_some_boxes_more_than_like_others() -> None:
    data = scattered(1000, images=50, largest=40)
    foxes = with_step(data, ExtraNoise(rate=0.1, weighting=ByClass(weights={"fox": 1}, other=0))).invented
    assert set(foxes.class_id.tolist()) == {CLASSES.index("fox")}


def test_images_without_a_box_get_extra_ones_too() -> None:
    data = make(np.tile([[0.0, 0.0, 30.0, 30.0]], (40, 1)), np.zeros(40, int), images=2)
    assert set(with_step(data, ExtraNoise(rate=1)).invented.image_index.tolist()) == {0, 1}


def test_a_lap_is_not_enough_where_some_boxes_fit_nowhere() -> None:
    whole, small = [0.0, 0.0, 200.0, 150.0], [5.0, 5.0, 15.0, 15.0]
    data = make(np.array([whole, small, whole, small]), np.array([0, 0, 1, 1]))
    extra = with_step(data, ExtraNoise(rate=1, max_iou=0.05)).invented
    assert len(extra) == 4
    np.testing.assert_allclose(extra.xyxy[:, 2] - extra.xyxy[:, 0], 10)


def test_where_nothing_fits_the_sentence_says_so() -> None:
    data = make(np.array([[0.0, 0.0, 200.0, 150.0]] * 3), np.arange(3))
    with pytest.raises(DataError, match=r"Only 0 of 2 extra boxes find a place .* above 0\.1: lower the rate"):
        with_step(data, ExtraNoise(rate=0.5))


# The report


@given(datasets, RECIPES)
def test_the_report_adds_up(data: Dataset, recipe: NoiseRecipe) -> None:
    noisy = apply_recipe(data, recipe)
    rows = hits(noisy)
    assert [row.kind for row in rows[:: 1 + len(CLASSES) + 3]] == ["missing", "inaccurate", "wrong_class", "extra"]
    countable = int((~data.boxes.crowd).sum())
    could = {row.kind: row.boxes for row in rows if row.group == "all"}
    assert could["missing"] == could["extra"] == countable
    assert could["inaccurate"] == could["wrong_class"] == countable - len(noisy.dropped)
    for kind in could:
        (everything,) = (row for row in rows if row.kind == kind and row.group == "all")
        for group in ("class", "size"):
            of_group = [row for row in rows if row.kind == kind and row.group == group]
            assert sum(row.hit for row in of_group) == everything.hit
            assert sum(row.boxes for row in of_group) == everything.boxes
            iou = [row.hit * row.mean_iou for row in of_group if row.mean_iou is not None]
            if everything.mean_iou is not None:
                assert sum(iou) / everything.hit == pytest.approx(everything.mean_iou)


def test_the_report_counts_what_a_person_would_count() -> None:
    sides = np.array([[10.0, 10.0], [31.0, 33.0], [32.0, 32.0], [95.0, 96.0], [96.0, 96.0], [120.0, 100.0]])
    data = make(np.concatenate([np.zeros((6, 2)), sides], axis=1), np.arange(6), class_id=np.array([0, 0, 0, 1, 1, 2]))
    noisy = with_step(data, MissingNoise(rate=0.5, weighting=ByClass(weights={"cat": 1}, other=0)))
    found = {(row.group, row.name): (row.hit, row.boxes) for row in hits(noisy)}
    assert found == {
        ("all", ""): (3, 6),
        ("class", "cat"): (3, 3),
        ("class", "dog"): (0, 2),
        ("class", "fox"): (0, 1),
        ("class", "owl"): (0, 0),
        ("size", "small"): (2, 2),
        ("size", "medium"): (1, 2),
        ("size", "large"): (0, 2),
    }
    assert emptied_images(noisy) == 3
    assert [row.share for row in hits(noisy) if row.name in ("cat", "owl")] == [1.0, None]


def test_the_benchmark_damages_in_every_way_and_in_no_time() -> None:
    """An accidental loop over boxes or pairs would show; what a million boxes take is in benchmarks/README.md."""
    rows = list(bench_noise(boxes=20_000, repeats=1))
    assert [row["noise"] for row in rows] == list(BENCHED)
    assert max(row["ours_s"] for row in rows) < 10
