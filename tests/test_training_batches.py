import threading
from dataclasses import replace

import numpy as np
import pytest
import torch
from training_toys import toy_dataset, toy_pixels, toy_training_set

from noisedash.datasets.dataset import Dataset
from noisedash.errors import DataError
from noisedash.noise.recipe import apply_recipe
from noisedash.noise_spec import ExtraNoise, InaccurateNoise, NoiseRecipe, WrongClassNoise
from noisedash.spec import Augmentation, TrainingSpec
from noisedash.training.batches import Batch, Batches, in_order

STILL = TrainingSpec(batch_size=5, augmentation=Augmentation(horizontal_flip=False, random_crop=False))
MOVING = TrainingSpec(batch_size=5)


def batches_of(clean: Dataset, training: TrainingSpec, side: int = 96) -> Batches:
    return Batches(apply_recipe(clean, NoiseRecipe()), toy_pixels(clean), training, side)


def assert_same(first: Batch, second: Batch) -> None:
    for name in ("images", "boxes", "labels", "valid"):
        assert torch.equal(getattr(first, name), getattr(second, name)), name


def test_an_epoch_shows_every_image_once_and_batches_run_over_its_end() -> None:
    batches = batches_of(toy_dataset(12), STILL)
    rows = np.concatenate([batches.rows_at(step) for step in range(12)])
    for epoch in range(5):
        assert sorted(rows[epoch * 12 : epoch * 12 + 12]) == list(range(12))
    assert rows[:12].tolist() != rows[12:24].tolist()


def test_a_batch_larger_than_the_training_set_repeats_it() -> None:
    batches = batches_of(toy_dataset(3), STILL)

    rows = np.concatenate([batches.rows_at(step) for step in range(3)])
    assert np.bincount(rows).tolist() == [5, 5, 5]


def test_a_batch_depends_on_the_step_alone() -> None:
    clean = toy_dataset(12)
    batches = batches_of(clean, MOVING)
    forwards = [batches.batch_at(step) for step in range(6)]
    other = batches_of(clean, MOVING)
    for step in reversed(range(6)):
        assert_same(other.batch_at(step), forwards[step])


def test_seeds_differ() -> None:
    clean = toy_dataset(12)
    rows = [batches_of(clean, TrainingSpec(batch_size=12, seed=seed)).rows_at(0).tolist() for seed in (0, 1)]
    assert rows[0] != rows[1]


def test_batch_holds_the_images_and_boxes_of_its_rows() -> None:
    clean = toy_dataset(12)
    pixels = toy_pixels(clean)
    batches = batches_of(clean, STILL)
    batch = batches.batch_at(1)
    assert batch.images.shape == (5, 3, 96, 96)
    assert batch.images.dtype == torch.float32
    assert batch.images.is_contiguous(memory_format=torch.channels_last)
    assert batch.boxes.shape == (*batch.valid.shape, 4)
    assert batch.labels.dtype == torch.int64
    for position, row in enumerate(batches.rows_at(1)):
        expected = pixels[row].transpose(2, 0, 1) * (2.0 / 255) - 1
        np.testing.assert_allclose(batch.images[position].numpy(), expected, atol=1e-6)
        own = clean.boxes_of_image[row]
        valid = batch.valid[position]
        assert valid.tolist() == [place < len(own) for place in range(len(valid))]
        labels = batch.labels[position, valid].tolist()
        found = {(*box, label) for box, label in zip(batch.boxes[position, valid].tolist(), labels, strict=True)}
        wanted = {(*np.float32(clean.boxes.xyxy[box] / 96).tolist(), int(clean.boxes.class_id[box])) for box in own}
        assert found == wanted


def test_white_is_one_and_black_is_minus_one() -> None:
    clean = toy_dataset(2)
    black_and_white = [np.zeros((96, 96, 3), np.uint8), np.full((96, 96, 3), 255, np.uint8)]
    batches = Batches(apply_recipe(clean, NoiseRecipe()), black_and_white, STILL, 96)
    values = batches.batch_at(0).images.unique()
    torch.testing.assert_close(values[[0, -1]], torch.tensor([-1.0, 1.0]))


def test_a_batch_without_boxes_has_one_padded_place() -> None:
    data = toy_training_set(rate=1.0)
    batch = Batches(data, toy_pixels(data.clean), MOVING, 96).batch_at(0)
    assert batch.valid.shape == (5, 1)
    assert not batch.valid.any()


def test_noise_takes_boxes_and_changes_nothing_else() -> None:
    clean, noisy = toy_training_set(0.0), toy_training_set(0.5)
    still = STILL.model_copy(update={"batch_size": 12})
    first, second = (Batches(data, toy_pixels(data.clean), still, 96).batch_at(0) for data in (clean, noisy))
    assert torch.equal(first.images, second.images)
    assert first.valid.sum() == 18
    assert second.valid.sum() == 9


def test_crowds_and_boxes_without_area_are_not_trained_on() -> None:
    clean = toy_dataset(8)
    crowd = np.zeros(len(clean.boxes), dtype=np.bool_)
    crowd[[0, 3]] = True
    xyxy = clean.boxes.xyxy.copy()
    xyxy[1] = [200, 10, 240, 50]
    marked = Dataset(clean.name, clean.root, clean.classes, clean.images, replace(clean.boxes, crowd=crowd, xyxy=xyxy))
    batches = Batches(
        apply_recipe(marked, NoiseRecipe()), toy_pixels(clean), STILL.model_copy(update={"batch_size": 8}), 96
    )
    assert batches.batch_at(0).valid.sum() == len(clean.boxes) - 3


def test_row_order_of_images_and_boxes_does_not_matter() -> None:
    clean = toy_dataset(12)
    shuffled = clean.subset(np.random.default_rng(1).permutation(12))
    order = np.random.default_rng(2).permutation(len(clean.boxes))
    shuffled = Dataset(clean.name, clean.root, clean.classes, shuffled.images, shuffled.boxes.take(order))
    assert shuffled.content_hash == clean.content_hash
    for step in range(4):
        assert_same(batches_of(clean, MOVING).batch_at(step), batches_of(shuffled, MOVING).batch_at(step))


def test_images_of_another_size_are_resized() -> None:
    batch = batches_of(toy_dataset(4, side=200), MOVING, side=128).batch_at(0)
    assert batch.images.shape == (5, 3, 128, 128)


def test_no_image_is_refused() -> None:
    with pytest.raises(DataError, match="training set of 'toy' has no image"):
        batches_of(toy_dataset(12).subset(np.array([], dtype=np.int64)), STILL)


@pytest.mark.parametrize("ahead", [False, True])
def test_in_order_gives_the_steps_one_after_another(ahead: bool) -> None:
    batches = batches_of(toy_dataset(12), MOVING)
    given = list(in_order(batches.batch_at, 2, 6, ahead=ahead))
    assert len(given) == 4
    for step, batch in zip(range(2, 6), given, strict=True):
        assert_same(batch, batches.batch_at(step))


def test_a_failure_ahead_reaches_the_caller_and_leaves_no_thread() -> None:
    def broken_at_two(step: int) -> int:
        if step == 2:
            raise DataError("image 2 is gone")
        return step

    steps = in_order(broken_at_two, 0, 5, ahead=True)
    assert [next(steps), next(steps)] == [0, 1]
    with pytest.raises(DataError, match="image 2 is gone"):
        next(steps)
    assert not [thread for thread in threading.enumerate() if thread.name.startswith("batches")]


def test_training_sees_moved_relabelled_and_invented_boxes() -> None:
    clean = toy_dataset(8, 96)
    kinds = (InaccurateNoise(rate=0.5), WrongClassNoise(rate=0.5), ExtraNoise(rate=0.5))
    noisy = apply_recipe(clean, NoiseRecipe(steps=kinds))
    batch = Batches(noisy, toy_pixels(clean), STILL.model_copy(update={"batch_size": 8}), 96).batch_at(0)
    seen = sorted(zip(batch.labels[batch.valid].tolist(), batch.boxes[batch.valid].tolist(), strict=True))
    boxes = sorted(zip(noisy.boxes.class_id.tolist(), (noisy.boxes.xyxy / 96).tolist(), strict=True))
    assert [label for label, _ in seen] == [label for label, _ in boxes]
    np.testing.assert_allclose([box for _, box in seen], [box for _, box in boxes], atol=1e-6)
