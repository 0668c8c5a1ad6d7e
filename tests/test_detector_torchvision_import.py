"""torchvision's pretrained files, made here with random tensors, against the networks of torchvision that read them."""

import hashlib
from pathlib import Path
from typing import Any
from urllib.error import URLError

import pytest
import torch
from torch import Tensor, nn
from torchvision.models import mobilenet_v3_large, resnet50, vgg16
from torchvision.models.detection import retinanet_resnet50_fpn, ssdlite320_mobilenet_v3_large
from torchvision.ops import FrozenBatchNorm2d
from typer.testing import CliRunner

from noisedash.cli.app import app
from noisedash.detector.build import build_detector
from noisedash.detector.torchvision_import import (
    PRETRAINED,
    from_coco,
    from_imagenet,
    import_torchvision,
    read_cached,
)
from noisedash.errors import SpecError, WeightsError
from noisedash.spec import RetinaNetResNet50, Ssd300Vgg16, SsdLiteMobileNetV3, TorchvisionDetector

CATEGORIES = ["__background__", "person", "N/A", "dog"]
LITE = SsdLiteMobileNetV3(input_side=128)
RETINA = RetinaNetResNet50(input_side=128)


def shaken(model: nn.Module) -> nn.Module:
    """The model with batch norm statistics that are not those of a new one, and logits that differ."""
    generator = torch.Generator().manual_seed(0)
    for name, value in model.state_dict().items():
        if name.endswith(("running_mean", "running_var", "cls_logits.weight", ".bias")):
            value.copy_(torch.rand(value.shape, generator=generator) * 0.1 + 0.5)
    return model.eval()


def images(side: int) -> Tensor:
    return torch.rand(1, 3, side, side, generator=torch.Generator().manual_seed(1))


def their_logits(model: Any, zero_to_one: Tensor) -> Tensor:
    normalised = model.transform.normalize(zero_to_one[0])[None]
    logits: Tensor = model.head(list(model.backbone(normalised).values()))["cls_logits"]
    return logits


def our_logits(spec: TorchvisionDetector, tensors: dict[str, Tensor], classes: int, zero_to_one: Tensor) -> Tensor:
    model = build_detector(spec, classes)
    model.load_state_dict(tensors)
    logits: Tensor = model.eval()(zero_to_one * 2 - 1)[0]
    return logits


@torch.no_grad()
def test_a_softmax_becomes_the_probability_against_the_background() -> None:
    theirs = shaken(ssdlite320_mobilenet_v3_large(weights=None, weights_backbone=None, num_classes=4))
    tensors, classes = from_coco(LITE, theirs.state_dict(), CATEGORIES)
    assert classes == ("person", "dog")
    probability = their_logits(theirs, images(128)).softmax(-1)
    score = our_logits(LITE, tensors, 2, images(128)).sigmoid()
    expected = probability[..., [1, 3]] / (probability[..., [1, 3]] + probability[..., :1])
    torch.testing.assert_close(score, expected, rtol=1e-3, atol=1e-4)


@torch.no_grad()
def test_retinanets_sigmoids_stay_what_they_are_with_its_batch_norm_that_adds_nothing() -> None:
    theirs: Any = retinanet_resnet50_fpn(weights=None, weights_backbone=None, num_classes=4)
    shaken(theirs)
    for norm in [part for part in theirs.modules() if isinstance(part, nn.BatchNorm2d)]:
        norm.eps = 0.0
        norm.running_mean.zero_()
        norm.running_var.fill_(1e-4)  # so small that an epsilon would be seen
        norm.weight.fill_(1e-2)
    saved = {name: value for name, value in theirs.state_dict().items() if not name.endswith("num_batches_tracked")}
    tensors, classes = from_coco(RETINA, saved, CATEGORIES)
    assert classes == ("person", "dog")
    expected = their_logits(theirs, images(128))[..., [1, 3]]
    found = our_logits(RETINA, tensors, 2, images(128))
    assert expected.std() > 0
    torch.testing.assert_close(found, expected, rtol=1e-3, atol=1e-3)


@torch.no_grad()
@pytest.mark.parametrize(
    ("spec", "backbone", "unused"),
    [
        (Ssd300Vgg16(), vgg16, "classifier."),
        (LITE, mobilenet_v3_large, "classifier."),
        (RETINA, resnet50, "fc."),
    ],
    ids=["vgg16", "mobilenet_v3_large", "resnet50"],
)
def test_a_backbone_gets_every_tensor_that_its_detector_has(
    spec: TorchvisionDetector, backbone: Any, unused: str
) -> None:
    """The detector's own tensors are drawn by the same rule, so those that a backbone brings are told by identity."""
    state = backbone(weights=None).state_dict()
    numbered = {name: torch.full_like(value, number) for number, (name, value) in enumerate(state.items())}
    tensors = from_imagenet(spec, numbered)
    assert len(tensors) == sum(not name.startswith(unused) for name in state)
    own = build_detector(spec, 2).state_dict()
    known = [name for name in tensors if name in own]
    assert known == list(tensors), "each goes to a tensor that the detector has"
    same_shape = [name for name in known if own[name].shape == tensors[name].shape]
    lost = [name for name in known if name not in same_shape]
    assert not lost or spec is LITE
    assert all(name.startswith(("backbone.features.0.13.", "backbone.features.1.")) for name in lost), "its tail"
    of_backbone = [name for name in own if name.startswith("backbone.") and not _is_extra(spec, name)]
    assert [name for name in of_backbone if name not in tensors] == []
    assert [int(tensors[name].flatten()[0]) for name in of_backbone if name in tensors] == sorted(
        int(value.flatten()[0]) for value in tensors.values()
    ), "in the order of the backbone"


def _is_extra(spec: TorchvisionDetector, name: str) -> bool:
    """What a detector adds to its backbone. SSD300 keeps the last convolutions of VGG among its extra layers."""
    of_vgg = ("backbone.extra.0.1.", "backbone.extra.0.3.", "backbone.extra.0.5.")
    added = name.startswith(("backbone.fpn.", "backbone.scale_weight", "backbone.extra."))
    return added and not (isinstance(spec, Ssd300Vgg16) and name.startswith(of_vgg))


@torch.no_grad()
def test_the_vgg_backbone_computes_what_vgg_computes() -> None:
    vgg = vgg16(weights=None).eval()
    model = build_detector(Ssd300Vgg16(), 2).eval()
    model.load_state_dict(from_imagenet(Ssd300Vgg16(), vgg.state_dict()), strict=False)
    pixels = images(64)
    torch.testing.assert_close(model.get_submodule("backbone.features")(pixels), vgg.features[:23](pixels))


class TestFiles:
    @pytest.fixture(autouse=True)
    def own_cache(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
        monkeypatch.setattr(torch.hub, "get_dir", lambda: str(tmp_path / "hub"))
        (tmp_path / "hub" / "checkpoints").mkdir(parents=True)
        return tmp_path / "hub" / "checkpoints"

    def test_a_file_in_the_cache_is_read_and_its_checksum_checked(self, own_cache: Path) -> None:
        torch.save({"a": torch.ones(2)}, own_cache / "new.pth")
        content = (own_cache / "new.pth").read_bytes()
        name = f"toy-{hashlib.sha256(content).hexdigest()[:8]}.pth"
        (own_cache / name).write_bytes(content)
        assert read_cached(f"https://nowhere.invalid/{name}")["a"].tolist() == [1, 1]
        (own_cache / "toy-00000000.pth").write_bytes(content)
        with pytest.raises(WeightsError, match=r"toy-00000000\.pth is damaged"):
            read_cached("https://nowhere.invalid/toy-00000000.pth")

    def test_no_network_is_said_in_one_sentence(self, own_cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        def offline(*_: object, **__: object) -> None:
            raise URLError("no network")

        monkeypatch.setattr(torch.hub, "download_url_to_file", offline)
        result = CliRunner().invoke(app, ["weights", "import", "torchvision:ssd300_vgg16/coco"])
        assert isinstance(result.exception, WeightsError)
        assert "cannot be downloaded" in str(result.exception)
        assert str(own_cache) in str(result.exception)
        assert list(own_cache.iterdir()) == []

    def test_unknown_weights_are_refused_with_those_there_are(self, tmp_path: Path) -> None:
        with pytest.raises(SpecError, match=r"no weights 'yolo/coco'.*ssd300_vgg16/coco"):
            import_torchvision("torchvision:yolo/coco", tmp_path / "out.safetensors")

    def test_another_network_in_the_file_is_named(self) -> None:
        with pytest.raises(WeightsError, match="another network than torchvision's"):
            from_coco(LITE, {"a": torch.ones(1)}, CATEGORIES)


def test_torchvisions_list_has_the_eighty_classes_of_coco() -> None:
    for name, pretrained in PRETRAINED.items():
        if name.endswith("/coco"):
            kept = [category for category in pretrained.weights.meta["categories"] if category[0] not in "_N"]
            assert len(kept) == 80


def test_frozen_batch_norm_of_torchvision_keeps_no_counter() -> None:
    """Why counters may be missing in a file."""
    assert "num_batches_tracked" not in FrozenBatchNorm2d(3).state_dict()
