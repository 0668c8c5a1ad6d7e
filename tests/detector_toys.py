"""Small detectors and TensorFlow Lite files of them, made by the tests themselves."""

from pathlib import Path

import flatbuffers
import numpy as np
import tflite
import torch
from numpy.typing import NDArray
from torch import nn

from noisedash.detector.ssd import SsdMobileNet
from noisedash.spec import SsdMobileNetV1

TINY = SsdMobileNetV1(input_side=96, depth_multiplier=0.25)
Weights = dict[str, tuple[NDArray[np.generic], float, int]]
"""By TensorFlow name: integers as the file has them, scale and zero point."""


def randomised(model: SsdMobileNet, seed: int = 0) -> SsdMobileNet:
    """The model with all its parameters and statistics drawn anew, for tests that must tell tensors apart."""
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for value in model.state_dict().values():
            if value.is_floating_point():
                value.copy_(torch.rand(value.shape, generator=generator) + 0.5)
    return model


def tensorflow_weights(model: SsdMobileNet, outputs: int, seed: int = 0) -> Weights:
    """Random quantised weights and biases of the model's convolutions under TensorFlow's names and in its layout.

    The class heads have `outputs` for each anchor, whatever the model's classes.
    """
    generator = np.random.default_rng(seed)
    weights: Weights = {}
    for name, module in model.named_modules():
        if isinstance(module, nn.Conv2d):
            depth, inputs, kernel, _ = module.weight.shape
            if name.startswith("class_heads."):
                depth = depth // model.classes * outputs
            depthwise = module.groups > 1
            shape = (1, kernel, kernel, depth) if depthwise else (depth, kernel, kernel, inputs)
            values = generator.integers(0, 256, shape, dtype=np.uint8)
            weights[f"{tensorflow_name(name)}/weights"] = (values, 0.01, 120)
            weights[f"{tensorflow_name(name)}/bias"] = (generator.integers(-999, 999, depth, dtype=np.int32), 1e-3, 0)
    return weights


def tensorflow_name(name: str) -> str:
    """The TensorFlow Object Detection API's name of a convolution of ours."""
    part = name.removesuffix(".conv").split(".")
    if part[0] == "class_heads":
        return f"BoxPredictor_{part[1]}/ClassPredictor"
    if part[0] == "box_heads":
        return f"BoxPredictor_{part[1]}/BoxEncodingPredictor"
    if part[0] == "extras":
        place = int(part[1]) + 2
        kind = f"1_Conv2d_{place}_1x1_64" if part[2] == "reduce" else f"2_Conv2d_{place}_3x3_s2_128"
        return f"FeatureExtractor/MobilenetV1/Conv2d_13_pointwise_{kind}"
    block = "Conv2d_0" if part[1] == "stem" else f"Conv2d_{part[2]}_{part[3]}"
    return f"FeatureExtractor/MobilenetV1/MobilenetV1/{block}"


def write_tflite(path: Path, weights: Weights) -> Path:
    """A TensorFlow Lite file whose only graph has a convolution for each pair of weights and bias."""
    builder = flatbuffers.Builder(1024)
    buffers, tensors, operators = [_buffer(builder, b"")], [], []
    names = [name.removesuffix("/weights") for name in weights if name.endswith("/weights")]
    for number, name in enumerate(names):
        for kind in ("weights", "bias"):
            values, scale, zero_point = weights[f"{name}/{kind}"]
            buffers.append(_buffer(builder, values.tobytes()))
            tensors.append(_tensor(builder, f"{name}/{kind}", values, len(buffers) - 1, scale, zero_point))
        inputs = builder.CreateNumpyVector(np.array([0, 2 * number, 2 * number + 1], dtype=np.int32))
        tflite.OperatorStart(builder)
        tflite.OperatorAddOpcodeIndex(builder, int("depthwise" in name))
        tflite.OperatorAddInputs(builder, inputs)
        operators.append(tflite.OperatorEnd(builder))
    tensor_list, operator_list = _vector(builder, tensors), _vector(builder, operators)
    tflite.SubGraphStart(builder)
    tflite.SubGraphAddTensors(builder, tensor_list)
    tflite.SubGraphAddOperators(builder, operator_list)
    graphs = _vector(builder, [tflite.SubGraphEnd(builder)])
    kinds = (tflite.BuiltinOperator.CONV_2D, tflite.BuiltinOperator.DEPTHWISE_CONV_2D)
    codes = _vector(builder, [_operator_code(builder, kind) for kind in kinds])
    buffer_list = _vector(builder, buffers)
    tflite.ModelStart(builder)
    tflite.ModelAddVersion(builder, 3)
    tflite.ModelAddOperatorCodes(builder, codes)
    tflite.ModelAddSubgraphs(builder, graphs)
    tflite.ModelAddBuffers(builder, buffer_list)
    builder.Finish(tflite.ModelEnd(builder), file_identifier=b"TFL3")
    path.write_bytes(bytes(builder.Output()))
    return path


def _buffer(builder: flatbuffers.Builder, content: bytes) -> int:
    data = builder.CreateByteVector(content)
    tflite.BufferStart(builder)
    tflite.BufferAddData(builder, data)
    return int(tflite.BufferEnd(builder))


def _tensor(
    builder: flatbuffers.Builder, name: str, values: NDArray[np.generic], buffer: int, scale: float, zero_point: int
) -> int:
    text = builder.CreateString(name)
    shape = builder.CreateNumpyVector(np.array(values.shape, dtype=np.int32))
    scales = builder.CreateNumpyVector(np.array([scale], dtype=np.float32))
    zero_points = builder.CreateNumpyVector(np.array([zero_point], dtype=np.int64))
    tflite.QuantizationParametersStart(builder)
    tflite.QuantizationParametersAddScale(builder, scales)
    tflite.QuantizationParametersAddZeroPoint(builder, zero_points)
    quantization = tflite.QuantizationParametersEnd(builder)
    tflite.TensorStart(builder)
    tflite.TensorAddShape(builder, shape)
    tflite.TensorAddType(
        builder, {"uint8": tflite.TensorType.UINT8, "int32": tflite.TensorType.INT32}[values.dtype.name]
    )
    tflite.TensorAddBuffer(builder, buffer)
    tflite.TensorAddName(builder, text)
    tflite.TensorAddQuantization(builder, quantization)
    return int(tflite.TensorEnd(builder))


def _operator_code(builder: flatbuffers.Builder, kind: int) -> int:
    tflite.OperatorCodeStart(builder)
    tflite.OperatorCodeAddDeprecatedBuiltinCode(builder, kind)
    tflite.OperatorCodeAddBuiltinCode(builder, kind)
    return int(tflite.OperatorCodeEnd(builder))


def _vector(builder: flatbuffers.Builder, offsets: list[int]) -> int:
    builder.StartVector(4, len(offsets), 4)
    for offset in reversed(offsets):
        builder.PrependUOffsetTRelative(offset)
    return int(builder.EndVector())
