"""How much work a network is, counted from its spec, without torch: for estimates before anything was measured."""

from collections.abc import Iterator
from dataclasses import dataclass

from noisedash.spec import DetectorSpec, SsdMobileNetV1

_CLASSES = 20
"""The heads' share hardly matters, so it is counted for so many classes."""


@dataclass(frozen=True)
class Convolution:
    """A convolution to (depth_out, side, side); `per_output` multiply-adds make one output value."""

    depth_out: int
    side: int
    per_output: int


_BILLIONS_AT_SIDE = {
    "ssd300_vgg16": (31.32, 300),
    "ssdlite320_mobilenet_v3_large": (0.44, 320),
    "retinanet_resnet50_fpn": (53.97, 512),
}
"""Of torchvision's networks, as torch.utils.flop_counter counts them at a side, for `_CLASSES` classes."""


def multiply_adds(spec: DetectorSpec) -> int:
    """Multiply-adds of the convolutions in one forward pass of one image.

    >>> round(multiply_adds(SsdMobileNetV1()) / 1e9, 2)
    1.15
    """
    if not isinstance(spec, SsdMobileNetV1):
        billions, side = _BILLIONS_AT_SIDE[spec.kind]
        return round(billions * 1e9 * (spec.input_side / side) ** 2)
    return sum(layer.depth_out * layer.side**2 * layer.per_output for layer in _convolutions(spec))


def _convolutions(spec: SsdMobileNetV1) -> Iterator[Convolution]:
    """Backbone, extra layers and heads, as `detector.mobilenet` and `detector.ssd` build them."""
    side, depth = _half(spec.input_side), _depth(32, spec)
    yield Convolution(depth, side, 3 * 9)
    maps = []
    for nominal, stride, last in _blocks(spec):
        side = _half(side) if stride == 2 else side
        yield Convolution(depth, side, 9)
        yield Convolution(_depth(nominal, spec), side, depth)
        depth = _depth(nominal, spec)
        maps += [(side, depth)] if last else []
    for nominal in (512, 256, 256, 128):
        half = _depth(nominal // 2, spec)
        yield Convolution(half, side, depth)
        side, depth = _half(side), _depth(nominal, spec)
        yield Convolution(depth, side, half * 9)
        maps.append((side, depth))
    for number, (map_side, map_depth) in enumerate(maps):
        anchors = 3 if number == 0 else 6
        yield Convolution(anchors * (_CLASSES + 4), map_side, map_depth)


def _blocks(spec: SsdMobileNetV1) -> Iterator[tuple[int, int, bool]]:
    """Nominal depth and stride of each separable block, and whether a head reads it."""
    early = ((64, 1), (128, 2), (128, 1), (256, 2), (256, 1), (512, spec.first_stride // 8))
    yield from ((nominal, stride, False) for nominal, stride in early)
    yield from ((512, 1, number == spec.repeated_blocks) for number in range(1, spec.repeated_blocks + 1))
    yield from ((1024, 2, False), (1024, 1, True))


def _depth(nominal: int, spec: SsdMobileNetV1) -> int:
    return max(int(nominal * spec.depth_multiplier), 16)


def _half(side: int) -> int:
    return -(-side // 2)
