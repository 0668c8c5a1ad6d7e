"""SSD on MobileNetV1 with per-class sigmoid scores. B images, S input side, A anchors, C classes, D channels.

The network of the TensorFlow Object Detection API's `ssd_mobilenet_v1` (Liu et al. 2016; Howard et al. 2017): six
feature maps, two from the backbone and four from extra layers, and 1x1 heads. There is no background column.
"""

import math
from typing import ClassVar, cast

import torch
from torch import Tensor, nn

from noisedash.detector.anchors import anchor_shapes, anchors
from noisedash.detector.mobilenet import ConvBatchNorm, MobileNetV1, scaled_depth
from noisedash.detector.network import Detector
from noisedash.spec import SsdMobileNetV1

EXTRA_DEPTHS = (512, 256, 256, 128)
_BACKBONE_DEVIATION = 0.09
_DEVIATION = 0.03


class ExtraLayer(nn.Module):
    """A 1x1 convolution to half the depth, then a 3x3 one that halves the map."""

    def __init__(self, depth_in: int, nominal_depth: int, multiplier: float, decay: float) -> None:
        super().__init__()
        half, self.depth = scaled_depth(nominal_depth // 2, multiplier), scaled_depth(nominal_depth, multiplier)
        self.reduce = ConvBatchNorm(depth_in, half, 1, 1, decay)
        self.shrink = ConvBatchNorm(half, self.depth, 3, 2, decay)

    def forward(self, maps: Tensor) -> Tensor:
        """(B, D, H, W) to (B, D', ceil(H/2), ceil(W/2))."""
        shrunk: Tensor = self.shrink(self.reduce(maps))
        return shrunk


class SsdMobileNet(Detector):
    """The detector of a spec for so many classes, its weights drawn from a seed.

    Parameters are in channels_last, the faster layout; images may come in either.

    >>> model = SsdMobileNet(SsdMobileNetV1(input_side=96, depth_multiplier=0.25), classes=7)
    >>> logits, deltas = model(torch.zeros(2, 3, 96, 96))
    >>> tuple(logits.shape), tuple(deltas.shape)
    ((2, 204, 7), (2, 204, 4))
    """

    class_head: ClassVar[str] = "class_heads."
    spec: SsdMobileNetV1

    def __init__(self, spec: SsdMobileNetV1, classes: int, seed: int = 0) -> None:
        super().__init__(spec, classes)
        with torch.random.fork_rng(devices=[]):
            self._build()
        self._draw(torch.Generator().manual_seed(seed))
        self.register_buffer("anchors", anchors(spec), persistent=False)
        self.to(memory_format=torch.channels_last)

    def forward(self, images: Tensor) -> tuple[Tensor, Tensor]:
        """Images (B, 3, S, S) float in [-1, 1] to logits (B, A, C) and deltas (B, A, 4) in x, y, w, h."""
        maps = list(self.backbone(images))
        for extra in self.extras:
            maps.append(extra(maps[-1]))
        logits = [_per_anchor(head(layer), self.classes) for head, layer in zip(self.class_heads, maps, strict=True)]
        deltas = [_per_anchor(head(layer), 4) for head, layer in zip(self.box_heads, maps, strict=True)]
        return torch.cat(logits, dim=1), torch.cat(deltas, dim=1)

    def _build(self) -> None:
        spec, decay = self.spec, self.spec.batch_norm_decay
        self.backbone = MobileNetV1(spec, decay)
        depths = list(self.backbone.depths)
        self.extras = nn.ModuleList()
        for nominal in EXTRA_DEPTHS:
            extra = ExtraLayer(depths[-1], nominal, spec.depth_multiplier, decay)
            self.extras.append(extra)
            depths.append(extra.depth)
        per_cell = [len(shapes) for shapes in anchor_shapes()]
        self.class_heads = nn.ModuleList(
            nn.Conv2d(depth, count * self.classes, 1) for depth, count in zip(depths, per_cell, strict=True)
        )
        self.box_heads = nn.ModuleList(
            nn.Conv2d(depth, count * 4, 1) for depth, count in zip(depths, per_cell, strict=True)
        )

    @torch.no_grad()
    def _draw(self, generator: torch.Generator) -> None:
        """Truncated normal weights: deviation .09 in the backbone (slim's default), .03 elsewhere. Biases are zero."""
        for name, module in self.named_modules():
            if isinstance(module, nn.Conv2d):
                deviation = _BACKBONE_DEVIATION if name.startswith("backbone.") else _DEVIATION
                nn.init.trunc_normal_(
                    module.weight, std=deviation, a=-2 * deviation, b=2 * deviation, generator=generator
                )
                if module.bias is not None:
                    module.bias.zero_()
        prior = self.spec.class_prior
        for head in self.class_heads:
            cast(Tensor, head.bias).fill_(math.log(prior / (1 - prior)))


def _per_anchor(maps: Tensor, values: int) -> Tensor:
    """Head output (B, K * values, H, W) to (B, H * W * K, values)."""
    return maps.permute(0, 2, 3, 1).reshape(maps.shape[0], -1, values)
