"""Predictions in original pixels, the same for every batch size, and a model that does not notice."""

from pathlib import Path

import numpy as np
import pytest
import torch

from noisedash.datasets.dataset import Boxes, Dataset, Images
from noisedash.detector.postprocess import postprocess
from noisedash.detector.ssd import SsdMobileNet
from noisedash.evaluation.predict import predict
from noisedash.spec import EvaluationSpec, SsdMobileNetV1

SPEC = EvaluationSpec(score_thresholds=(0.3, 0.5), max_detections=20)
SIZES_WH = ((96, 96), (200, 100), (50, 300), (640, 480), (10, 10))


@pytest.fixture(autouse=True)
def one_thread():
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


def made(count: int = len(SIZES_WH)) -> Dataset:
    boxes = Boxes(
        box_id=np.empty(0, np.uint64),
        image_index=np.empty(0, np.int64),
        class_id=np.empty(0, np.int64),
        xyxy=np.empty((0, 4)),
        crowd=np.empty(0, np.bool_),
        difficult=np.empty(0, np.bool_),
    )
    files = Images(
        file=tuple(f"{row}.jpg" for row in range(count)),
        width=np.array([width for width, _ in SIZES_WH[:count]], dtype=np.int64),
        height=np.array([height for _, height in SIZES_WH[:count]], dtype=np.int64),
        split=("test",) * count,
        sha256=("0" * 64,) * count,
    )
    return Dataset("made", Path("nowhere"), ("a", "b", "c"), files, boxes)


def pictures(side: int = 96) -> np.ndarray:
    return np.random.default_rng(0).integers(0, 256, (len(SIZES_WH), side, side, 3), dtype=np.uint8)


def network() -> SsdMobileNet:
    """A network whose scores differ: batch norms that have seen the pictures, and a bold class head."""
    detector = SsdMobileNetV1(
        input_side=96, depth_multiplier=0.25, first_stride=8, repeated_blocks=1, batch_norm_decay=0.1
    )
    model = SsdMobileNet(detector, classes=3, seed=1)
    with torch.no_grad():
        for head in model.class_heads:
            head.weight.mul_(3)
        pixels = torch.from_numpy(pictures()).permute(0, 3, 1, 2).float() / 127.5 - 1
        for _ in range(3):
            model(pixels)
    return model


def test_one_image_at_a_time_gives_the_same_in_pixels() -> None:
    model, data, images = network(), made(), pictures()
    found = predict(model, data, images, SPEC, batch_size=2)
    assert 20 < len(found) <= 20 * len(SIZES_WH)
    assert found.score.std() > 0.003
    model.eval()
    for row, (width, height) in enumerate(SIZES_WH):
        pixels = torch.from_numpy(images[row]).permute(2, 0, 1)[None].float() / 127.5 - 1
        with torch.no_grad():
            expected = postprocess(*model(pixels), model.anchors, SPEC)
        own = found.image_index == row
        np.testing.assert_allclose(found.score[own], expected.score.numpy(), atol=1e-5)
        np.testing.assert_array_equal(found.class_id[own], expected.class_id.numpy())
        scale = np.array([width, height, width, height])
        np.testing.assert_allclose(found.xyxy[own], expected.boxes_xyxy.numpy() * scale, atol=0.05)
        assert (found.xyxy[own] >= 0).all()
        assert (found.xyxy[own] <= scale).all()


def test_the_columns_have_the_records_types_and_the_lowest_threshold() -> None:
    roomy = EvaluationSpec(score_thresholds=(0.3, 0.5), max_detections=3000)
    found = predict(network(), made(), pictures(), SPEC)
    assert [getattr(found, name).dtype for name in ("image_index", "class_id", "score", "xyxy")] == [
        np.int64,
        np.int64,
        np.float32,
        np.float32,
    ]
    assert 0.3 <= predict(network(), made(), pictures(), roomy).score.min() < 0.5
    assert np.bincount(found.image_index).max() <= 20


def test_training_goes_on_as_if_nothing_had_been_evaluated() -> None:
    model = network()
    model.train()
    model.backbone.eval()
    modes = [module.training for module in model.modules()]
    state = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    torch.manual_seed(5)
    numpy_state = np.random.get_state()[1].copy()
    before = torch.get_rng_state()
    predict(model, made(), pictures(), SPEC)
    assert torch.equal(torch.get_rng_state(), before)
    assert (np.random.get_state()[1] == numpy_state).all()
    assert [module.training for module in model.modules()] == modes
    assert all(torch.equal(tensor, state[name]) for name, tensor in model.state_dict().items())
    assert torch.is_grad_enabled()


def test_modes_come_back_after_a_fault() -> None:
    model = network()
    model.train()

    class Torn:
        def __len__(self) -> int:
            return len(SIZES_WH)

        def __getitem__(self, row: int, /):
            raise OSError("torn")

    with pytest.raises(OSError, match="torn"):
        predict(model, made(), Torn(), SPEC)
    assert model.training
    assert model.backbone.training


def test_images_of_another_size_are_resized() -> None:
    model, data = network(), made()
    large = pictures(96).repeat(2, axis=1).repeat(2, axis=2)
    same = predict(model, data, pictures(96), SPEC)
    halved = predict(model, data, large, SPEC)
    np.testing.assert_allclose(halved.score, same.score, atol=1e-5)


def test_no_images_and_no_detections_give_empty_columns() -> None:
    model = network()
    assert len(predict(model, made(0), pictures()[:0], SPEC)) == 0
    nothing = predict(model, made(), pictures(), EvaluationSpec(score_thresholds=(0.99999,)))
    assert nothing.xyxy.shape == (0, 4)
