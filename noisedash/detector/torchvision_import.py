"""torchvision's pretrained weights as weights files of ours. A anchors in a cell, C classes of ours, K of torchvision.

A COCO detector comes with its heads. torchvision's SSDs end in a softmax over a background and the classes; the logit
of our sigmoid is the difference between the class's logit and the background's, so that a score is the probability of
the class against the background. torchvision's RetinaNet has sigmoids already. Columns that name no class are left out.
An ImageNet backbone comes without heads.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.error import URLError

import torch
from torch import Tensor, nn
from torchvision.models import MobileNet_V3_Large_Weights, ResNet50_Weights, VGG16_Weights, WeightsEnum
from torchvision.models.detection import (
    RetinaNet_ResNet50_FPN_Weights,
    SSD300_VGG16_Weights,
    SSDLite320_MobileNet_V3_Large_Weights,
)

from noisedash.detector.torchvision_networks import BUILDERS, is_class_output
from noisedash.detector.weights import write_tensors
from noisedash.errors import SpecError, WeightsError
from noisedash.spec import RetinaNetResNet50, Ssd300Vgg16, SsdLiteMobileNetV3, TorchvisionDetector
from noisedash.weights import WeightsInfo, sha256_of

PREFIX = "torchvision:"
_NO_CLASS = ("__background__", "N/A")
_BATCH_NORM_EPSILON = 1e-5


@dataclass(frozen=True)
class Pretrained:
    """A file of torchvision's and the network that it is for."""

    detector: TorchvisionDetector
    weights: WeightsEnum


PRETRAINED = {
    "ssd300_vgg16/coco": Pretrained(Ssd300Vgg16(), SSD300_VGG16_Weights.COCO_V1),
    "ssd300_vgg16/imagenet": Pretrained(Ssd300Vgg16(), VGG16_Weights.IMAGENET1K_FEATURES),
    "ssdlite320_mobilenet_v3_large/coco": Pretrained(
        SsdLiteMobileNetV3(), SSDLite320_MobileNet_V3_Large_Weights.COCO_V1
    ),
    "ssdlite320_mobilenet_v3_large/imagenet": Pretrained(
        SsdLiteMobileNetV3(), MobileNet_V3_Large_Weights.IMAGENET1K_V1
    ),
    "retinanet_resnet50_fpn/coco": Pretrained(RetinaNetResNet50(), RetinaNet_ResNet50_FPN_Weights.COCO_V1),
    "retinanet_resnet50_fpn/imagenet": Pretrained(RetinaNetResNet50(), ResNet50_Weights.IMAGENET1K_V1),
}


def import_torchvision(source: str, out: Path, licence: str = "") -> None:
    """Write torchvision's weights `torchvision:NETWORK/coco` or `torchvision:NETWORK/imagenet` as a weights file.

    The file is taken from torchvision's cache, or downloaded into it. Raises SpecError where there are no such weights,
    WeightsError where the file is not at hand and cannot be downloaded, or is damaged.
    """
    name = source.removeprefix(PREFIX)
    if name not in PRETRAINED:
        raise SpecError(f"torchvision has no weights '{name}' that fit here; there are: {', '.join(PRETRAINED)}.")
    pretrained = PRETRAINED[name]
    state = read_cached(pretrained.weights.url)
    if name.endswith("/coco"):
        tensors, classes = from_coco(pretrained.detector, state, pretrained.weights.meta["categories"])
    else:
        tensors, classes = from_imagenet(pretrained.detector, state), ()
    about = f"torchvision {pretrained.weights}"
    write_tensors(out, tensors, WeightsInfo(pretrained.detector, classes, about, licence, batch_norm_folded=False))


def read_cached(url: str) -> dict[str, Tensor]:
    """The tensors of a file in torchvision's cache, downloaded where it is not there. Raises WeightsError."""
    path = Path(torch.hub.get_dir()) / "checkpoints" / url.rsplit("/", 1)[-1]
    checksum = path.stem.rsplit("-", 1)[-1]
    if not path.exists():
        _download(url, path, checksum)
    if not sha256_of(path).startswith(checksum):
        raise WeightsError(f"{path} is damaged (its SHA-256 does not begin with {checksum}): delete it and try again.")
    tensors: dict[str, Tensor] = torch.load(path, map_location="cpu", weights_only=True)
    return tensors


def from_coco(
    detector: TorchvisionDetector, state: Mapping[str, Tensor], categories: list[str]
) -> tuple[dict[str, Tensor], tuple[str, ...]]:
    """Tensors and class names of ours, of a detector of torchvision's for K = len(categories) columns."""
    theirs = BUILDERS[detector.kind](weights=None, weights_backbone=None, num_classes=len(categories))
    _load(theirs, state)
    columns = [column for column, name in enumerate(categories) if name not in _NO_CLASS]
    softmax = not isinstance(detector, RetinaNetResNet50)
    tensors = {
        name: _class_rows(value, len(categories), columns, softmax) if is_class_output(name) else value
        for name, value in theirs.state_dict().items()
    }
    if isinstance(detector, RetinaNetResNet50):
        tensors |= _without_epsilon(tensors)
    return tensors, tuple(categories[column] for column in columns)


def from_imagenet(detector: TorchvisionDetector, state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The backbone's tensors under our names; the classifier is left out.

    torchvision's SSDLite has a tail of half the width where it starts without ImageNet, and so has ours: tensors of the
    last three blocks do not fit it and are drawn from the seed.
    """
    renamed = {_in_detector(detector, name): value for name, value in state.items()}
    return {name: value for name, value in renamed.items() if name}


def _class_rows(value: Tensor, columns: int, kept: list[int], softmax: bool) -> Tensor:
    """(A * K, ...) rows of an output layer to (A * C, ...)."""
    rows = value.reshape(-1, columns, *value.shape[1:])
    if softmax:
        rows = rows - rows[:, :1]
    return rows[:, kept].flatten(0, 1)


def _without_epsilon(tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Variances such that a batch norm that adds epsilon does what torchvision's COCO RetinaNet does without it."""
    return {name: value - _BATCH_NORM_EPSILON for name, value in tensors.items() if name.endswith(".running_var")}


_VGG_LAYER = re.compile(r"features\.(\d+)\.(.+)")
_VGG_FOURTH_POOL = 23
_MOBILENET_LAYER = re.compile(r"features\.(\d+)\.(?:block\.(\d+)\.)?(.+)")
_MOBILENET_C4 = 13


def _in_detector(detector: TorchvisionDetector, name: str) -> str:
    """A backbone's tensor by its name in the detector, '' where the detector has no use for it."""
    if isinstance(detector, RetinaNetResNet50):
        return "" if name.startswith("fc.") else f"backbone.body.{name}"
    if isinstance(detector, Ssd300Vgg16):
        match = _VGG_LAYER.fullmatch(name)
        return _in_ssd300(int(match[1]), match[2]) if match else ""
    match = _MOBILENET_LAYER.fullmatch(name)
    return _in_ssdlite(int(match[1]), match[2], match[3]) if match else ""


def _in_ssd300(layer: int, rest: str) -> str:
    if layer < _VGG_FOURTH_POOL:
        return f"backbone.features.{layer}.{rest}"
    return f"backbone.extra.0.{layer - _VGG_FOURTH_POOL}.{rest}"


def _in_ssdlite(layer: int, block: str | None, rest: str) -> str:
    """torchvision cuts the backbone within block C4, behind its expansion: the first map is read there."""
    part = f"block.{block}.{rest}" if block is not None else rest
    if layer < _MOBILENET_C4:
        return f"backbone.features.0.{layer}.{part}"
    if layer == _MOBILENET_C4:
        assert block is not None
        return f"backbone.features.0.{layer}.{rest}" if block == "0" else f"backbone.features.1.0.{block}.{rest}"
    return f"backbone.features.1.{layer - _MOBILENET_C4}.{part}"


def _load(theirs: nn.Module, state: Mapping[str, Tensor]) -> None:
    """Load into torchvision's own network, which knows older names; only counters of batches may be missing."""
    try:
        result: Any = theirs.load_state_dict(state, strict=False)
    except RuntimeError as error:
        raise WeightsError(f"The file holds another network than torchvision's ({error}).") from None
    missing = [name for name in result.missing_keys if not name.endswith(".num_batches_tracked")]
    if missing or result.unexpected_keys:
        first = [*missing, *result.unexpected_keys][0]
        raise WeightsError(f"The file holds another network than torchvision's (first difference: {first}).")


def _download(url: str, path: Path, checksum: str) -> None:
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        torch.hub.download_url_to_file(url, str(path), checksum, progress=False)
    except (URLError, OSError, RuntimeError) as error:
        raise WeightsError(
            f"The weights {path.name} are not at hand and cannot be downloaded ({error}): on a machine that can, fetch "
            f"{url}, put the file into {path.parent}, and import it again."
        ) from None
