import itertools

import numpy as np
import pytest

from noisedash.spec import Augmentation
from noisedash.training import augment as augmenting
from noisedash.training.augment import (
    Window,
    augment,
    covered_shares,
    crop_boxes,
    draw_flip,
    draw_window,
    flip_boxes,
    propose_window,
)
from noisedash.training.randomness import Purpose, generator_at

BOTH = Augmentation(horizontal_flip=True, random_crop=True)


def at(seed: int, step: int, position: int) -> np.random.Generator:
    return generator_at(seed, Purpose.AUGMENTATION, step, position)


def picture_of_box(width: int, height: int, box_px: tuple[int, int, int, int]) -> np.ndarray:
    pixels = np.zeros((height, width, 3), dtype=np.uint8)
    left, top, right, bottom = box_px
    pixels[top:bottom, left:right] = 255
    return pixels


def box_of_picture(pixels: np.ndarray) -> list[float]:
    side = len(pixels)
    rows, columns = np.nonzero(pixels[..., 0] > 127)
    return [columns.min() / side, rows.min() / side, (columns.max() + 1) / side, (rows.max() + 1) / side]


def test_flip_is_drawn_half_of_the_time() -> None:
    flips = [draw_flip(at(0, step, 0)) for step in range(2000)]
    assert 0.46 < np.mean(flips) < 0.54


def test_flip_twice_is_nothing() -> None:
    boxes = np.sort(np.random.default_rng(0).random((5, 2, 2)), axis=1).reshape(5, 4)
    np.testing.assert_allclose(flip_boxes(flip_boxes(boxes)), boxes)


def test_without_augmentation_the_picture_is_only_resized() -> None:
    pixels = picture_of_box(80, 40, (20, 10, 40, 30))
    still = Augmentation(horizontal_flip=False, random_crop=False)
    view, boxes, rows = augment(pixels, np.array([[0.25, 0.25, 0.5, 0.75]]), 96, still, at(0, 0, 0))
    assert view.shape == (96, 96, 3)
    assert rows.tolist() == [0]
    np.testing.assert_allclose(box_of_picture(view), boxes[0], atol=1 / 96)


@pytest.mark.parametrize("step", range(40))
def test_boxes_follow_the_pixels(step: int) -> None:
    pixels = picture_of_box(200, 120, (60, 30, 120, 80))
    unit = np.array([[60, 30, 120, 80]]) / [200, 120, 200, 120]
    view, boxes, rows = augment(pixels, unit, 160, BOTH, at(1, step, 0))
    assert view.shape == (160, 160, 3)
    if len(rows):
        np.testing.assert_allclose(box_of_picture(view), boxes[0], atol=1.5 / 160)
    else:
        assert (view > 127).mean() < 0.6


@pytest.mark.parametrize(
    ("width", "height", "possible"), [(300, 200, True), (40, 400, True), (500, 20, False), (7, 7, True)]
)
def test_proposed_windows_keep_area_shape_and_image(width: int, height: int, possible: bool) -> None:
    rng = np.random.default_rng(0)
    windows = []
    for ratio in np.repeat(np.linspace(0.5, 2.0, 40), 10):
        window = propose_window(width, height, float(ratio), rng)
        if window is None:
            continue
        across, down = window.right - window.left, window.bottom - window.top
        assert window.left >= 0
        assert window.top >= 0
        assert window.right <= width
        assert window.bottom <= height
        assert 0.1 * width * height <= across * down <= width * height
        assert abs(across - ratio * down) <= 0.5 + 1e-9
        windows.append(window)
    assert bool(windows) == possible


def test_window_heights_reach_from_the_smallest_to_the_largest() -> None:
    rng = np.random.default_rng(0)
    windows = [propose_window(300, 300, 1.0, rng) for _ in range(20_000)]
    heights = {window.bottom - window.top for window in windows if window}
    assert heights == set(range(95, 301))


def test_half_covered_box_is_kept_up_to_half() -> None:
    boxes = np.array([[0.0, 0.0, 10.0, 10.0], [20.0, 0.0, 30.0, 10.0], [5.0, 0.0, 25.0, 10.0]])
    window = Window(5, 0, 20, 10)
    assert covered_shares(boxes, window).tolist() == [0.5, 0.0, 0.75]
    kept = {overlap: crop_boxes(boxes, window, overlap)[1].tolist() for overlap in (0.0, 0.5, 0.7, 0.9)}
    assert kept == {0.0: [0, 2], 0.5: [0, 2], 0.7: [2], 0.9: []}


def test_cropped_boxes_are_clipped_to_the_window() -> None:
    boxes, _ = crop_boxes(np.array([[0.0, 2.0, 10.0, 20.0]]), Window(4, 4, 14, 12), 0.0)
    np.testing.assert_allclose(boxes, [[0.0, 0.0, 0.6, 1.0]])


def test_each_window_covers_enough_of_some_box() -> None:
    boxes = np.array([[10.0, 10.0, 60.0, 60.0], [150.0, 80.0, 190.0, 95.0]])
    overlaps = set()
    for step in range(300):
        window, min_overlap = draw_window(boxes, 200, 100, at(5, step, 0))
        overlaps.add(min_overlap)
        assert (covered_shares(boxes, window) >= min_overlap).any()
    assert overlaps == {0.0, 0.1, 0.3, 0.5, 0.7, 0.9, 1.0}


def test_original_is_kept_with_probability_015() -> None:
    boxes = np.array([[90.0, 90.0, 110.0, 110.0]])
    whole = [draw_window(boxes, 200, 200, at(9, step, 0))[0] == (0, 0, 200, 200) for step in range(2000)]
    assert 0.12 < np.mean(whole) < 0.19


def test_after_100_failed_attempts_the_whole_image_is_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(augmenting, "MIN_OVERLAPS", (1.0,))
    boxes = np.array([[0.0, 0.0, 200.0, 100.0]])
    attempts = []
    propose = augmenting.propose_window

    def counted(*arguments: float) -> Window | None:
        attempts.append(arguments)
        return propose(*arguments)

    monkeypatch.setattr(augmenting, "propose_window", counted)
    window, _ = next(
        drawn for drawn in (draw_window(boxes, 200, 100, at(0, step, 0)) for step in itertools.count()) if attempts
    )
    assert window == (0, 0, 200, 100)
    assert len(attempts) == 100
    assert crop_boxes(boxes, window, 1.0)[1].tolist() == [0]


def test_an_image_without_boxes_counts_as_one_box() -> None:
    none = np.zeros((0, 4))
    drawn = [draw_window(none, 100, 100, at(2, step, 0)) for step in range(200)]
    assert all((w.right - w.left) * (w.bottom - w.top) >= overlap * 10_000 for w, overlap in drawn)
    view, boxes, rows = augment(np.zeros((50, 60, 3), np.uint8), none, 96, BOTH, at(0, 0, 0))
    assert view.shape == (96, 96, 3)
    assert len(boxes) == len(rows) == 0


def test_a_box_smaller_than_a_pixel_is_no_reason_for_a_window() -> None:
    dot = np.array([[50.0, 50.0, 50.5, 50.5]])
    windows = {draw_window(dot, 100, 100, at(3, step, 0))[0] for step in range(30)}
    assert windows == {(0, 0, 100, 100)}
