"""torchvision's detectors under our interface, against torchvision's own forward pass."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn
from torch.utils.flop_counter import FlopCounterMode
from torchvision.models.detection import retinanet_resnet50_fpn, ssd300_vgg16, ssdlite320_mobilenet_v3_large
from torchvision.models.detection.image_list import ImageList
from torchvision.ops.boxes import box_convert

from noisedash.detector.build import build_detector
from noisedash.detector.coder import decode, encode
from noisedash.detector.losses import detection_loss
from noisedash.detector.matching import match
from noisedash.detector.network import Detector
from noisedash.detector.torchvision_networks import TorchvisionNetwork, is_class_output
from noisedash.detector.weights import build, initialise, save_weights
from noisedash.errors import WeightsError
from noisedash.settings import Settings
from noisedash.spec import (
    CrossEntropy,
    DetectorSpec,
    Focal,
    FromWeights,
    RetinaNetResNet50,
    Ssd300Vgg16,
    SsdLiteMobileNetV3,
    SsdMobileNetV1,
)
from noisedash.studies.cost import multiply_adds
from noisedash.weights import WeightsRegistry

CLASSES = 3
LITE = SsdLiteMobileNetV3(input_side=128)
RETINA = RetinaNetResNet50(input_side=128)
THEIRS: dict[DetectorSpec, Callable[..., nn.Module]] = {
    Ssd300Vgg16(): ssd300_vgg16,
    LITE: ssdlite320_mobilenet_v3_large,
    RETINA: retinanet_resnet50_fpn,
}


def theirs_with_the_weights_of(ours: TorchvisionNetwork) -> Any:
    """torchvision's own model with the same tensors, in evaluation mode."""
    model: Any = THEIRS[ours.spec](weights=None, weights_backbone=None, num_classes=CLASSES)
    named = {name: value for name, value in ours.state_dict().items() if name.startswith(("backbone.", "head."))}
    model.load_state_dict(named)
    return model.eval()


@pytest.mark.parametrize("spec", THEIRS, ids=lambda spec: spec.kind)
def test_logits_boxes_and_anchors_are_those_of_torchvision(spec: DetectorSpec) -> None:
    ours = build_detector(spec, CLASSES, seed=3).eval()
    assert isinstance(ours, TorchvisionNetwork)
    theirs, side = theirs_with_the_weights_of(ours), spec.input_side
    zero_to_one = torch.rand(1, 3, side, side, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        logits, deltas = ours(zero_to_one * 2 - 1)
        normalised = theirs.transform.normalize(zero_to_one[0])[None]
        maps = list(theirs.backbone(normalised).values())
        outputs = theirs.head(maps)
        anchors_px = theirs.anchor_generator(ImageList(normalised, [(side, side)]), maps)[0]
        coder = theirs.box_coder if hasattr(theirs, "box_coder") else theirs.head.regression_head.box_coder
        boxes_px = coder.decode_single(outputs["bbox_regression"][0], anchors_px)
    torch.testing.assert_close(logits, outputs["cls_logits"], rtol=1e-3, atol=5e-4)
    torch.testing.assert_close(ours.anchors * side, anchors_px)
    torch.testing.assert_close(decode(deltas[0], ours.anchors) * side, boxes_px, rtol=1e-3, atol=0.05)


@pytest.mark.parametrize("spec", [LITE, RETINA], ids=lambda spec: spec.kind)
class TestNetwork:
    def test_the_seed_decides_the_weights_and_the_generator_is_left_alone(self, spec: DetectorSpec) -> None:
        torch.manual_seed(1)
        before = torch.get_rng_state()
        first, same, other = (build_detector(spec, CLASSES, seed) for seed in (5, 5, 6))
        assert torch.equal(torch.get_rng_state(), before)
        assert all(map(torch.equal, first.state_dict().values(), same.state_dict().values()))
        assert not all(map(torch.equal, first.state_dict().values(), other.state_dict().values()))

    def test_the_class_head_starts_at_the_prior(self, spec: DetectorSpec) -> None:
        model = build_detector(spec.model_copy(update={"class_prior": 0.2}), CLASSES)
        biases = [
            value for name, value in model.state_dict().items() if is_class_output(name) and name.endswith("bias")
        ]
        assert biases
        assert all(torch.allclose(bias.sigmoid(), torch.tensor(0.2)) for bias in biases)

    @pytest.mark.parametrize("loss", [CrossEntropy(), Focal(gamma=5)], ids=["ce", "focal"])
    def test_a_small_step_down_our_losses_gradient_lowers_them(
        self, spec: DetectorSpec, loss: CrossEntropy | Focal
    ) -> None:
        model = build_detector(spec, CLASSES, seed=0)
        images = torch.rand(2, 3, 128, 128, generator=torch.Generator().manual_seed(0)) * 2 - 1
        boxes = torch.tensor([[[0.1, 0.1, 0.5, 0.6]], [[0.4, 0.3, 0.9, 0.8]]])
        targets = match(model.anchors, boxes, torch.tensor([[0], [2]]), torch.ones(2, 1, dtype=torch.bool))

        def total() -> torch.Tensor:
            return detection_loss(*model(images), targets, model.anchors, loss).total

        before = total()
        torch.autograd.backward(before)
        gradients = [parameter.grad for parameter in model.parameters() if parameter.grad is not None]
        assert len(gradients) == len(list(model.parameters()))
        length = torch.linalg.vector_norm(torch.stack([gradient.norm() for gradient in gradients]))
        with torch.no_grad():
            for parameter in model.parameters():
                assert parameter.grad is not None
                parameter -= 1e-3 * parameter.grad / length
            assert total() < before

    def test_frozen_batch_norm_neither_moves_nor_learns(self, spec: DetectorSpec) -> None:
        model = build_detector(spec.model_copy(update={"frozen_batch_norm": True}), CLASSES)
        norms = [part for part in model.backbone.modules() if isinstance(part, nn.BatchNorm2d)]
        assert norms
        model.eval()
        model.train()
        before = [value.clone() for norm in norms for value in norm.state_dict().values()]
        model(torch.rand(2, 3, 128, 128))
        assert all(map(torch.equal, before, [value for norm in norms for value in norm.state_dict().values()]))
        assert not any(parameter.requires_grad for norm in norms for parameter in norm.parameters())

    def test_weights_are_kept_and_the_class_head_follows_the_classes(self, spec: DetectorSpec, tmp_path: Path) -> None:
        source = build_detector(spec, CLASSES, seed=1)
        save_weights(tmp_path / "w.safetensors", source, ("a", "b", "c"), "a test", "MIT")
        again = build(tmp_path / "w.safetensors")
        assert all(map(torch.equal, source.state_dict().values(), again.state_dict().values()))
        registry = WeightsRegistry(Settings(tmp_path / "home", "sqlite://"))
        record = registry.add(tmp_path / "w.safetensors", "toy")
        assert record.detector == spec
        taken = initialise(build_detector(spec, 3), FromWeights(sha256=record.sha256), ("a", "b", "c"), registry)
        assert (taken.class_head_taken, taken.fresh) == (True, ())
        other = initialise(build_detector(spec, 2), FromWeights(sha256=record.sha256), ("a", "b"), registry)
        assert not other.class_head_taken
        assert all(name.startswith("head.classification_head.") for name in other.fresh)
        with pytest.raises(WeightsError, match=f"'toy' are of {spec.kind}, and the detector is ssd_mobilenet_v1 x 1;"):
            initialise(build_detector(SsdMobileNetV1(), 3), FromWeights(sha256=record.sha256), ("a",), registry)


def test_retinanets_deltas_are_in_the_coders_units() -> None:
    """A box that is encoded by us and decoded by torchvision's coder of scale one comes back."""
    model = build_detector(RETINA, CLASSES)
    anchors = model.anchors[:50]
    boxes = box_convert(torch.rand(50, 4) * 0.3 + 0.3, "cxcywh", "xyxy")
    unit_deltas = encode(boxes, anchors) / model.get_buffer("_delta_scale")
    coder: Any = retinanet_resnet50_fpn(weights=None, weights_backbone=None).head.regression_head.box_coder
    torch.testing.assert_close(coder.decode_single(unit_deltas, anchors), boxes, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("spec", [*THEIRS, SsdMobileNetV1()], ids=lambda spec: spec.kind)
def test_multiply_adds_are_counted(spec: DetectorSpec) -> None:
    model: Detector = build_detector(spec, 20).eval()
    with torch.no_grad(), FlopCounterMode(display=False) as counter:
        model(torch.zeros(1, 3, spec.input_side, spec.input_side))
    assert multiply_adds(spec) == pytest.approx(counter.get_total_flops() / 2, rel=0.15)
