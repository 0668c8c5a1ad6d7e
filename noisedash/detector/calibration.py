"""Batch norm for weights that came without it. B images, S input side, D channels.

Where batch norm was folded into the convolutions, the importer can only put in one that changes nothing: mean 0,
variance 1. That holds in evaluation; but in training batch norm divides by the batch's own deviation, and the network
forgets what it knew at the first step (measured with the COCO weights: AP@.50 .40 in evaluation, .04 with the batch's
statistics). So the statistics are measured once, on images like those that it shall be trained on, and scale and offset
set such that the network stays what it was (.39 with the batch's statistics).
"""

import torch
from torch import Tensor, nn

from noisedash.detector.network import Detector


@torch.no_grad()
def calibrate_batch_norm(model: Detector, images: Tensor) -> None:
    """Set each batch norm to the mean and variance of its input over images (B, 3, S, S), keeping its output.

    What the network computes in evaluation stays the same up to rounding. 32 images or more make it useful: the last
    maps have only one value per image and channel.
    """
    was_training = model.training
    norms = [module for module in model.modules() if isinstance(module, nn.BatchNorm2d)]
    hooks = [norm.register_forward_pre_hook(_calibrate) for norm in norms]
    model.eval()(images)
    for hook in hooks:
        hook.remove()
    model.train(was_training)


def _calibrate(norm: nn.Module, inputs: tuple[Tensor, ...]) -> None:
    assert isinstance(norm, nn.BatchNorm2d)
    assert norm.running_mean is not None
    assert norm.running_var is not None
    maps = inputs[0]
    scale = norm.weight / (norm.running_var + norm.eps).sqrt()
    offset = norm.bias - norm.running_mean * scale
    mean = maps.mean(dim=(0, 2, 3))
    variance = maps.var(dim=(0, 2, 3), correction=0)
    norm.running_mean.copy_(mean)
    norm.running_var.copy_(variance)
    norm.weight.copy_(scale * (variance + norm.eps).sqrt())
    norm.bias.copy_(offset + mean * scale)
