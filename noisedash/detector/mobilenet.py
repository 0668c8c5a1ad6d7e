"""MobileNetV1 and the layers that it is built of. B images, D channels; maps are (B, D, height, width).

The network of TensorFlow's slim (`mobilenet_v1_base`), to the padding: Howard et al. 2017.
"""

from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from noisedash.spec import SsdMobileNetV1

BATCH_NORM_EPSILON = 0.001
MINIMUM_DEPTH = 16
REPEATED_DEPTH = 512
FIRST_REPEATED, LAST_REPEATED = 7, 11


def scaled_depth(depth: int, multiplier: float) -> int:
    """Channels of a layer of nominal `depth`: rounded down, 16 at least.

    >>> scaled_depth(512, 0.75), scaled_depth(32, 0.25)
    (384, 16)
    """
    return max(int(depth * multiplier), MINIMUM_DEPTH)


def same_padding(side: int, kernel: int, stride: int) -> tuple[int, int]:
    """Zeros before and after a side under TensorFlow's 'SAME': the odd one goes after.

    >>> same_padding(300, kernel=3, stride=2), same_padding(75, kernel=3, stride=2), same_padding(19, 3, 1)
    ((0, 1), (1, 1), (1, 1))
    """
    total = max((-(-side // stride) - 1) * stride + kernel - side, 0)
    return total // 2, total - total // 2


def relu6_(maps: Tensor) -> Tensor:
    """ReLU6 in place, any shape.

    torch's own in-place one computes into a copy on a CPU; a training step of the paper's network with this one takes
    6 % less time and 18 % less memory.

    >>> relu6_(torch.tensor([-1.0, 2.0, 7.0]))
    tensor([0., 2., 6.])
    """
    clamped: Tensor = _Relu6InPlace.apply(maps)
    return clamped


class _Relu6InPlace(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, maps: Tensor) -> Tensor:
        ctx.mark_dirty(maps)
        maps.clamp_(0, 6)
        ctx.save_for_backward(maps)
        return maps

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> Tensor:
        (clamped,) = ctx.saved_tensors
        passed: Tensor = torch.ops.aten.hardtanh_backward(gradient, clamped, 0.0, 6.0)
        return passed


class ConvBatchNorm(nn.Module):
    """Convolution with 'SAME' padding and no bias, batch norm, ReLU6: (B, D, H, W) to (B, D', ceil(H/s), ceil(W/s)).

    A map of a single value per channel (a batch of one image at 1x1) has no variance to learn from; it is normalised
    with the moving averages, in training too.
    """

    def __init__(self, depth_in: int, depth_out: int, kernel: int, stride: int, decay: float, groups: int = 1) -> None:
        super().__init__()
        self.conv = nn.Conv2d(depth_in, depth_out, kernel, stride, groups=groups, bias=False)
        self.norm = nn.BatchNorm2d(depth_out, eps=BATCH_NORM_EPSILON, momentum=1 - decay)
        self._kernel, self._stride = kernel, stride

    def forward(self, maps: Tensor) -> Tensor:
        """As the class says."""
        return relu6_(self._normalised(self._convolved(maps)))

    def _convolved(self, maps: Tensor) -> Tensor:
        top, bottom = same_padding(maps.shape[2], self._kernel, self._stride)
        left, right = same_padding(maps.shape[3], self._kernel, self._stride)
        padding = (top, left)
        if (top, left) != (bottom, right):
            maps, padding = functional.pad(maps, (left, right, top, bottom)), (0, 0)
        conv = self.conv
        return functional.conv2d(maps, conv.weight, None, conv.stride, padding, groups=conv.groups)

    def _normalised(self, maps: Tensor) -> Tensor:
        if maps.shape[0] * maps.shape[2] * maps.shape[3] > 1:
            normalised: Tensor = self.norm(maps)
            return normalised
        norm = self.norm
        return functional.batch_norm(maps, norm.running_mean, norm.running_var, norm.weight, norm.bias, eps=norm.eps)


class SeparableBlock(nn.Module):
    """A 3x3 depthwise and a 1x1 pointwise convolution, each with batch norm and ReLU6."""

    def __init__(self, depth_in: int, depth_out: int, stride: int, decay: float) -> None:
        super().__init__()
        self.depthwise = ConvBatchNorm(depth_in, depth_in, 3, stride, decay, groups=depth_in)
        self.pointwise = ConvBatchNorm(depth_in, depth_out, 1, 1, decay)

    def forward(self, maps: Tensor) -> Tensor:
        """(B, D, H, W) to (B, D', ceil(H/s), ceil(W/s))."""
        pointwise: Tensor = self.pointwise(self.depthwise(maps))
        return pointwise


def block_plan(spec: SsdMobileNetV1) -> Iterator[tuple[int, int, int]]:
    """(number, depth, stride) of each separable block, numbered 1 to 13 as in TensorFlow's names.

    `repeated_blocks` keeps the first so many of the five equal blocks 7 to 11. `first_stride` 8 leaves out the
    down-sampling of block 6: the latest before the first feature map, so that the large early maps, where the time
    goes, stay as small as they are.

    >>> micro = SsdMobileNetV1(input_side=96, depth_multiplier=0.25, first_stride=8, repeated_blocks=2)
    >>> list(block_plan(micro))[4:]
    [(5, 64, 1), (6, 128, 1), (7, 128, 1), (8, 128, 1), (12, 256, 2), (13, 256, 1)]
    """
    last_kept = FIRST_REPEATED + spec.repeated_blocks - 1
    plan = [(1, 64, 1), (2, 128, 2), (3, 128, 1), (4, 256, 2), (5, 256, 1), (6, 512, spec.first_stride // 8)]
    plan += [(number, REPEATED_DEPTH, 1) for number in range(FIRST_REPEATED, last_kept + 1)]
    plan += [(12, 1024, 2), (13, 1024, 1)]
    for number, depth, stride in plan:
        yield number, scaled_depth(depth, spec.depth_multiplier), stride


class MobileNetV1(nn.Module):
    """Images (B, 3, S, S) in [-1, 1] to the maps of the last repeated block and of block 13."""

    def __init__(self, spec: SsdMobileNetV1, decay: float) -> None:
        super().__init__()
        depth = scaled_depth(32, spec.depth_multiplier)
        self.stem = ConvBatchNorm(3, depth, 3, 2, decay)
        self.blocks = nn.ModuleDict()
        for number, depth_out, stride in block_plan(spec):
            self.blocks[str(number)] = SeparableBlock(depth, depth_out, stride, decay)
            depth = depth_out
        self.depths = (scaled_depth(REPEATED_DEPTH, spec.depth_multiplier), depth)

    def forward(self, images: Tensor) -> tuple[Tensor, Tensor]:
        """(B, 512 m, S/16, S/16) and (B, 1024 m, S/32, S/32) for depth multiplier m and stride 16."""
        maps = self.stem(images)
        middle = maps
        for number, block in self.blocks.items():
            maps = block(maps)
            if int(number) <= LAST_REPEATED:
                middle = maps
        return middle, maps
