"""The convolutions of a TensorFlow Lite file, as floats. O outputs, I inputs, k kernel side."""

import struct
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import tflite
import torch
from numpy.typing import NDArray
from torch import Tensor

from noisedash.errors import WeightsError

_IDENTIFIER = b"TFL3"
_CONVOLUTIONS = (tflite.BuiltinOperator.CONV_2D, tflite.BuiltinOperator.DEPTHWISE_CONV_2D)
_DTYPES: dict[int, str] = {
    tflite.TensorType.FLOAT32: "<f4",
    tflite.TensorType.FLOAT16: "<f2",
    tflite.TensorType.INT32: "<i4",
    tflite.TensorType.UINT8: "u1",
    tflite.TensorType.INT8: "i1",
}
_BROKEN = (struct.error, IndexError, KeyError, ValueError, TypeError, AttributeError, OverflowError, MemoryError)
"""What the reader raises, by where it stumbles, on bytes that are no model."""


@dataclass(frozen=True, eq=False)
class Convolution:
    """One convolution with whatever was folded into it."""

    weight: Tensor
    """(O, I, k, k) float32 as torch has it; (O, 1, k, k) for a depthwise one."""
    bias: Tensor
    """(O,) float32."""


def read_convolutions(path: Path) -> dict[str, Convolution]:
    """All convolutions of the file's first graph by the names of their weights.

    Integers are turned into (value - zero point) * scale, per tensor or per channel. Raises WeightsError where the
    file cannot be read or is no TensorFlow Lite model.
    """
    try:
        content = path.read_bytes()
    except OSError as error:
        raise WeightsError(f"The TensorFlow Lite file {path} cannot be read: {error.strerror}.") from None
    if content[4:8] != _IDENTIFIER:
        raise WeightsError(f"{path} is no TensorFlow Lite file; give the .tflite file of an SSD MobileNetV1.")
    try:
        return dict(_convolutions(tflite.Model.GetRootAs(content, 0)))
    except _BROKEN:
        raise WeightsError(f"{path} is a damaged TensorFlow Lite file; fetch it again.") from None


def _convolutions(model: Any) -> Iterator[tuple[str, Convolution]]:
    graph = model.Subgraphs(0)
    for number in range(graph.OperatorsLength()):
        operator = graph.Operators(number)
        code = model.OperatorCodes(operator.OpcodeIndex())
        kind = max(code.BuiltinCode(), code.DeprecatedBuiltinCode())
        if kind not in _CONVOLUTIONS:
            continue
        weights, biases = graph.Tensors(operator.Inputs(1)), graph.Tensors(operator.Inputs(2))
        outputs_first = (3, 0, 1, 2) if kind == tflite.BuiltinOperator.DEPTHWISE_CONV_2D else (0, 3, 1, 2)
        weight, bias = _values(model, weights).transpose(outputs_first), _values(model, biases)
        if bias.shape != weight.shape[:1] or not (np.isfinite(weight).all() and np.isfinite(bias).all()):
            raise ValueError("a bias for each output, all finite")
        yield weights.Name().decode(), Convolution(torch.from_numpy(weight.copy()), torch.from_numpy(bias))


@np.errstate(over="ignore", invalid="ignore")
def _values(model: Any, tensor: Any) -> NDArray[np.float32]:
    raw = model.Buffers(tensor.Buffer()).DataAsNumpy().tobytes()
    values = np.frombuffer(raw, dtype=_DTYPES[tensor.Type()]).reshape(tensor.ShapeAsNumpy())
    quantization = tensor.Quantization()
    if quantization is None or quantization.ScaleLength() == 0:
        return values.astype(np.float32)
    along = [1] * values.ndim
    along[quantization.QuantizedDimension()] = -1
    scale = quantization.ScaleAsNumpy().astype(np.float64).reshape(along)
    zero_point = quantization.ZeroPointAsNumpy().astype(np.float64).reshape(along)
    restored: NDArray[np.float64] = (values - zero_point) * scale
    return restored.astype(np.float32)
