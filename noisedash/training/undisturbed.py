"""Looking at a model while it trains, without a trace."""

from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import nn


@contextmanager
def undisturbed(model: nn.Module) -> Iterator[None]:
    """Put back the modes of the model's modules, its buffers and torch's random state, whatever happens inside."""
    modes = [(module, module.training) for module in model.modules()]
    buffers = [(buffer, buffer.clone()) for buffer in model.buffers()]
    devices = {param.device for param in model.parameters() if param.is_cuda}
    try:
        with torch.random.fork_rng(devices=devices):
            yield
    finally:
        for module, training in modes:
            module.training = training
        for buffer, before in buffers:
            with torch.no_grad():
                buffer.copy_(before)
