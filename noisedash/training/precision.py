"""In which numbers a network computes while it trains."""

import torch
from torch import Tensor


def autocast_on_gpu(images: Tensor) -> torch.autocast:
    """bfloat16 where that is safe if the images are on a GPU; float32 throughout on a CPU."""
    return torch.autocast(images.device.type, dtype=torch.bfloat16, enabled=images.is_cuda)
