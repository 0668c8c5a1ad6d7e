"""SSD MobileNetV1 out of a TensorFlow Lite file, as the TensorFlow detection zoo publishes it.

Such a file holds the convolutions with batch norm folded in. Their names are those of the TensorFlow Object Detection
API, whose class head has a background output and whose boxes go y, x, h, w.
"""

import math
import re
from collections.abc import Mapping, Sequence
from pathlib import Path

import torch
from torch import Tensor

from noisedash.detector.anchors import anchor_shapes
from noisedash.detector.mobilenet import BATCH_NORM_EPSILON
from noisedash.detector.ssd import SsdMobileNet
from noisedash.detector.tflite_reader import Convolution, read_convolutions
from noisedash.detector.weights import write_tensors
from noisedash.errors import WeightsError
from noisedash.spec import DEPTH_MULTIPLIERS, SsdMobileNetV1
from noisedash.weights import WeightsInfo

UNUSED = "???"
"""What a label map names an id without a class."""

_BACKBONE = re.compile(r"MobilenetV1/Conv2d_(\d+)(?:_(depthwise|pointwise))?/")
_EXTRA = re.compile(r"Conv2d_13_pointwise_([12])_Conv2d_([2-5])_\dx\d")
_HEAD = re.compile(r"BoxPredictor_([0-5])/(Box|Class)(?:Encoding)?Predictor/")
_XYWH_OF_YXHW = (1, 0, 3, 2)


def import_tflite(tflite_path: Path, labelmap_path: Path, out_path: Path, licence: str = "") -> WeightsInfo:
    """Write the network of a TensorFlow Lite file as a weights file and say what it is.

    The label map has a line for each output of the class head, the first for the background; lines of '???' are ids
    without a class. Background and unused outputs are dropped. Raises WeightsError where a file is missing, is no
    TensorFlow Lite model or is of another network, and where the label map does not fit; StorageError in writing.
    """
    convolutions = {_own_name(name): value for name, value in read_convolutions(tflite_path).items()}
    labels = _read_labels(labelmap_path)
    spec = SsdMobileNetV1(depth_multiplier=_depth_multiplier(convolutions, tflite_path))
    kept = [place for place, label in enumerate(labels) if place > 0 and label != UNUSED]
    tensors: dict[str, Tensor] = {}
    for name, convolution in convolutions.items():
        if name.startswith("class_heads."):
            outputs = len(anchor_shapes()[int(name.rsplit(".", 1)[1])]) * len(labels)
            if len(convolution.bias) != outputs:
                raise WeightsError(
                    f"{labelmap_path} has {len(labels)} lines, but the network in {tflite_path} has another number of "
                    "outputs for each anchor; give its own label map."
                )
            tensors |= _head(name, convolution, len(labels), kept)
        elif name.startswith("box_heads."):
            tensors |= _head(name, convolution, 4, _XYWH_OF_YXHW)
        else:
            tensors |= _with_identity_norm(name, convolution)
    _check(tensors, SsdMobileNet(spec, len(kept)), tflite_path)
    classes = tuple(labels[place] for place in kept)
    info = WeightsInfo(spec, classes, f"{tflite_path.name} (TensorFlow Lite)", licence, batch_norm_folded=True)
    write_tensors(out_path, tensors, info)
    return info


def _own_name(name: str) -> str:
    """The module of SsdMobileNet that a TensorFlow tensor belongs to; the name itself where there is none.

    >>> _own_name("FeatureExtractor/MobilenetV1/MobilenetV1/Conv2d_3_depthwise/weights_quant")
    'backbone.blocks.3.depthwise'
    >>> _own_name("FeatureExtractor/MobilenetV1/Conv2d_13_pointwise_1_Conv2d_2_1x1_192/weights_quant")
    'extras.0.reduce'
    >>> _own_name("BoxPredictor_4/BoxEncodingPredictor/weights_quant")
    'box_heads.4'
    """
    if extra := _EXTRA.search(name):
        return f"extras.{int(extra[2]) - 2}.{'reduce' if extra[1] == '1' else 'shrink'}"
    if head := _HEAD.search(name):
        return f"{head[2].lower()}_heads.{head[1]}"
    if block := _BACKBONE.search(name):
        return f"backbone.blocks.{block[1]}.{block[2]}" if block[2] else "backbone.stem"
    return name


def _with_identity_norm(name: str, convolution: Convolution) -> dict[str, Tensor]:
    """The convolution, and a batch norm that does nothing but add the folded bias."""
    ones, zeros = torch.ones_like(convolution.bias), torch.zeros_like(convolution.bias)
    return {
        f"{name}.conv.weight": convolution.weight,
        f"{name}.norm.weight": ones * math.sqrt(1 + BATCH_NORM_EPSILON),
        f"{name}.norm.bias": convolution.bias,
        f"{name}.norm.running_mean": zeros,
        f"{name}.norm.running_var": ones,
        f"{name}.norm.num_batches_tracked": torch.tensor(0),
    }


def _head(name: str, convolution: Convolution, values: int, kept: Sequence[int]) -> dict[str, Tensor]:
    """Of the `values` outputs of each anchor those `kept`, in that order."""
    weight, bias = convolution.weight, convolution.bias
    return {
        f"{name}.weight": weight.view(-1, values, *weight.shape[1:])[:, kept].flatten(0, 1),
        f"{name}.bias": bias.view(-1, values)[:, kept].flatten(),
    }


def _depth_multiplier(convolutions: Mapping[str, Convolution], path: Path) -> float:
    last = convolutions.get("backbone.blocks.13.pointwise")
    multiplier = len(last.bias) / 1024 if last else 0.0
    if multiplier not in DEPTH_MULTIPLIERS:
        raise _another_network(path, "block 13 of MobileNetV1 is missing or of an unknown depth")
    return multiplier


def _check(tensors: Mapping[str, Tensor], model: SsdMobileNet, path: Path) -> None:
    own = model.state_dict()
    for name, value in own.items():
        if name not in tensors or tensors[name].shape != value.shape:
            raise _another_network(path, f"'{name}' is missing or of another shape")
    for name in tensors:
        if name not in own:
            raise _another_network(path, f"'{name}' has no place in it")


def _another_network(path: Path, difference: str) -> WeightsError:
    return WeightsError(f"{path} is of another network than SSD MobileNetV1 with six feature maps: {difference}.")


def _read_labels(path: Path) -> list[str]:
    try:
        labels = [line.strip() for line in path.read_text(encoding="utf-8").splitlines()]
    except OSError as error:
        raise WeightsError(f"The label map {path} cannot be read: {error.strerror}.") from None
    except UnicodeDecodeError:
        raise WeightsError(f"The label map {path} is no text; give one class name a line.") from None
    if len(labels) < 2 or "" in labels:
        raise WeightsError(f"The label map {path} needs a class name on each line, the first for the background.")
    return labels
