"""The network of a spec."""

from noisedash.detector.network import Detector
from noisedash.detector.ssd import SsdMobileNet
from noisedash.detector.torchvision_networks import TorchvisionNetwork
from noisedash.spec import DetectorSpec, SsdMobileNetV1


def build_detector(spec: DetectorSpec, classes: int, seed: int = 0) -> Detector:
    """A fresh network for so many classes, its weights drawn from the seed.

    >>> build_detector(SsdMobileNetV1(input_side=96, depth_multiplier=0.25), classes=7).class_head
    'class_heads.'
    """
    if isinstance(spec, SsdMobileNetV1):
        return SsdMobileNet(spec, classes, seed)
    return TorchvisionNetwork(spec, classes, seed)
