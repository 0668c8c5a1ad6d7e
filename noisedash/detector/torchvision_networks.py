"""torchvision's one-stage detectors as `Detector`s. B images, S input side, A anchors, C classes.

Backbone, heads and anchors are torchvision's own; its losses, its matching and its post-processing are left out, so
that every network is trained and evaluated by the very same code. torchvision's SSDs have a softmax over the classes
and a background; here each class has a sigmoid.
"""

import math
from collections.abc import Callable, Iterator
from typing import Any, ClassVar, cast

import torch
from torch import Tensor, nn
from torchvision.models.detection import retinanet_resnet50_fpn, ssd300_vgg16, ssdlite320_mobilenet_v3_large
from torchvision.models.detection.image_list import ImageList

from noisedash.detector.coder import CENTRE_SCALE, SIZE_SCALE
from noisedash.detector.network import Detector
from noisedash.spec import RetinaNetResNet50, TorchvisionDetector

BUILDERS: dict[str, Callable[..., nn.Module]] = {
    "ssd300_vgg16": ssd300_vgg16,
    "ssdlite320_mobilenet_v3_large": ssdlite320_mobilenet_v3_large,
    "retinanet_resnet50_fpn": retinanet_resnet50_fpn,
}


class TorchvisionNetwork(Detector):
    """A detector of torchvision for so many classes, drawn from a seed by torchvision's own rules.

    The class head starts at `spec.class_prior`. Parameters are in channels_last.

    >>> from noisedash.spec import SsdLiteMobileNetV3
    >>> model = TorchvisionNetwork(SsdLiteMobileNetV3(input_side=96), classes=7).eval()
    >>> logits, deltas = model(torch.zeros(1, 3, 96, 96))
    >>> tuple(logits.shape), tuple(deltas.shape), tuple(model.anchors.shape)
    ((1, 312, 7), (1, 312, 4), (312, 4))
    """

    class_head: ClassVar[str] = "head.classification_head."
    spec: TorchvisionDetector
    _mean: Tensor
    _deviation: Tensor
    _delta_scale: Tensor

    def __init__(self, spec: TorchvisionDetector, classes: int, seed: int = 0) -> None:
        super().__init__(spec, classes)
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            theirs = cast(Any, BUILDERS[spec.kind](weights=None, weights_backbone=None, num_classes=classes))
        self.backbone: nn.Module = theirs.backbone
        self.head: nn.Module = theirs.head
        self._start_at_prior()
        # torchvision takes pixels in [0, 1]; ours are in [-1, 1]: (x + 1) / 2.
        mean, deviation = torch.tensor(theirs.transform.image_mean), torch.tensor(theirs.transform.image_std)
        self.register_buffer("_mean", (2 * mean - 1).reshape(3, 1, 1), persistent=False)
        self.register_buffer("_deviation", (2 * deviation).reshape(3, 1, 1), persistent=False)
        self.register_buffer("_delta_scale", _delta_scale(spec), persistent=False)
        self.register_buffer("anchors", self._anchors(theirs.anchor_generator), persistent=False)
        self.to(memory_format=torch.channels_last)
        self.train()

    def forward(self, images: Tensor) -> tuple[Tensor, Tensor]:
        """Images (B, 3, S, S) float in [-1, 1] to logits (B, A, C) and deltas (B, A, 4) in x, y, w, h."""
        maps = list(self.backbone((images - self._mean) / self._deviation).values())
        outputs = self.head(maps)
        return outputs["cls_logits"], outputs["bbox_regression"] * self._delta_scale

    def train(self, mode: bool = True) -> "TorchvisionNetwork":
        """As of any module, save that frozen batch norms stay in evaluation mode."""
        super().train(mode)
        if getattr(self.spec, "frozen_batch_norm", False):
            for norm in _batch_norms(self.backbone):
                norm.eval().requires_grad_(False)
        return self

    def _anchors(self, generator: nn.Module) -> Tensor:
        side = self.spec.input_side
        image = torch.zeros(1, 3, side, side)
        with torch.no_grad(), torch.random.fork_rng(devices=[]):
            maps = list(self.backbone.eval()(image).values())
        boxes_px: Tensor = generator(ImageList(image, [(side, side)]), maps)[0]
        return boxes_px / side

    @torch.no_grad()
    def _start_at_prior(self) -> None:
        prior = self.spec.class_prior
        for name, parameter in self.head.named_parameters():
            if is_class_output(f"head.{name}") and name.endswith(".bias"):
                parameter.fill_(math.log(prior / (1 - prior)))


def is_class_output(name: str) -> bool:
    """Whether a tensor belongs to a convolution that puts logits out: its rows are anchors times classes.

    >>> is_class_output("head.classification_head.cls_logits.bias")
    True
    >>> is_class_output("head.classification_head.module_list.0.1.weight")
    True
    >>> is_class_output("head.classification_head.module_list.0.0.1.running_mean")
    False
    """
    if not name.startswith(TorchvisionNetwork.class_head):
        return False
    layer = name.removeprefix(TorchvisionNetwork.class_head).split(".")[:-1]
    return layer == ["cls_logits"] or (layer[0] == "module_list" and layer[2:] in ([], ["1"]))


def _delta_scale(spec: TorchvisionDetector) -> Tensor:
    """What makes torchvision's deltas ours: its SSDs use our scales, its RetinaNet none."""
    if isinstance(spec, RetinaNetResNet50):
        return torch.tensor([CENTRE_SCALE, CENTRE_SCALE, SIZE_SCALE, SIZE_SCALE])
    return torch.ones(4)


def _batch_norms(module: nn.Module) -> Iterator[nn.BatchNorm2d]:
    return (part for part in module.modules() if isinstance(part, nn.BatchNorm2d))
