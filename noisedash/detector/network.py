"""What every detector is to the losses, the training loop and the evaluation. B images, S input side, A anchors."""

from typing import ClassVar

from torch import Tensor, nn

from noisedash.spec import DetectorSpec


class Detector(nn.Module):
    """A network of anchors with a sigmoid for each class and no background column.

    `forward` takes images (B, 3, S, S) float in [-1, 1] to logits (B, A, C) and to deltas (B, A, 4) in x, y, w, h as
    `detector.coder` has them. The same seed gives the same weights whatever the state of torch's generator, which is
    left as it was.
    """

    spec: DetectorSpec
    classes: int
    anchors: Tensor
    """(A, 4) xyxy, normalised to the image; a buffer that is no part of the weights."""
    class_head: ClassVar[str]
    """How the names of the tensors begin that know of classes."""

    def __init__(self, spec: DetectorSpec, classes: int) -> None:
        super().__init__()
        self.spec, self.classes = spec, classes
