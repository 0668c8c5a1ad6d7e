import contextlib
from pathlib import Path

import numpy as np
import pytest
import torch
from detector_toys import TINY, Weights, tensorflow_name, tensorflow_weights, write_tflite

from noisedash.detector.ssd import SsdMobileNet
from noisedash.detector.tflite_import import import_tflite
from noisedash.detector.weights import build
from noisedash.errors import WeightsError
from noisedash.weights import sha256_of

LABELS = ["background", "cat", "???", "dog", "horse"]


@pytest.fixture(scope="module")
def weights() -> Weights:
    return tensorflow_weights(SsdMobileNet(TINY, classes=3), outputs=len(LABELS))


@pytest.fixture
def labelmap(tmp_path: Path) -> Path:
    path = tmp_path / "labelmap.txt"
    path.write_text("\n".join(LABELS) + "\n")
    return path


@pytest.fixture
def file(tmp_path: Path, weights: Weights) -> Path:
    return write_tflite(tmp_path / "toy.tflite", weights)


def floats(weights: Weights, name: str) -> np.ndarray:
    values, scale, zero_point = weights[name]
    return (values.astype(float) - zero_point) * scale


def test_import_names_the_network_and_its_classes(file: Path, labelmap: Path, tmp_path: Path) -> None:
    info = import_tflite(file, labelmap, tmp_path / "out.safetensors", licence="Apache-2.0")
    assert info.classes == ("cat", "dog", "horse")
    assert info.detector.depth_multiplier == 0.25
    assert (info.detector.input_side, info.licence, info.batch_norm_folded) == (300, "Apache-2.0", True)


def test_each_convolution_comes_out_as_its_folded_self(
    file: Path, labelmap: Path, tmp_path: Path, weights: Weights
) -> None:
    import_tflite(file, labelmap, tmp_path / "out.safetensors")
    model = build(tmp_path / "out.safetensors")
    for name in ("backbone.stem", "backbone.blocks.6.depthwise", "backbone.blocks.13.pointwise", "extras.1.shrink"):
        module = model.get_submodule(name)
        tensorflow = floats(weights, f"{tensorflow_name(name)}/weights")
        bias = torch.from_numpy(floats(weights, f"{tensorflow_name(name)}/bias")).float()
        kernel = tensorflow[0].transpose(2, 0, 1)[:, None] if "depthwise" in name else tensorflow.transpose(0, 3, 1, 2)
        assert torch.allclose(module.conv.weight.double(), torch.from_numpy(kernel), atol=1e-6)
        folded = module.norm(torch.zeros(1, len(bias), 1, 1))[0, :, 0, 0]
        assert torch.allclose(folded, bias, atol=1e-6)
        one_more = module.norm(torch.ones(1, len(bias), 1, 1))[0, :, 0, 0]
        assert torch.allclose(one_more - folded, torch.ones_like(bias), atol=1e-5)


def test_background_and_unused_outputs_are_dropped_and_boxes_turned(
    file: Path, labelmap: Path, tmp_path: Path, weights: Weights
) -> None:
    import_tflite(file, labelmap, tmp_path / "out.safetensors")
    model = build(tmp_path / "out.safetensors")
    classes = floats(weights, "BoxPredictor_0/ClassPredictor/bias").reshape(3, 5)
    assert np.allclose(model.class_heads[0].bias.detach().numpy().reshape(3, 3), classes[:, [1, 3, 4]], atol=1e-6)
    boxes = floats(weights, "BoxPredictor_2/BoxEncodingPredictor/weights").reshape(6, 4, -1)
    found = model.box_heads[2].weight.detach().numpy().reshape(6, 4, -1)
    assert np.allclose(found, boxes[:, [1, 0, 3, 2]], atol=1e-6), "x, y, w, h out of y, x, h, w"


def test_the_same_file_gives_the_same_bytes(file: Path, labelmap: Path, tmp_path: Path) -> None:
    outs = [tmp_path / f"{number}.safetensors" for number in range(4)]
    for out in outs:
        import_tflite(file, labelmap, out)
    assert len({sha256_of(out) for out in outs}) == 1


def test_missing_files(file: Path, labelmap: Path, tmp_path: Path) -> None:
    with pytest.raises(WeightsError, match=r"label map .*nowhere\.txt cannot be read: No such file"):
        import_tflite(file, tmp_path / "nowhere.txt", tmp_path / "out.safetensors")
    with pytest.raises(WeightsError, match=r"file .*nowhere\.tflite cannot be read: No such file"):
        import_tflite(tmp_path / "nowhere.tflite", labelmap, tmp_path / "out.safetensors")


def test_files_of_other_kinds(file: Path, labelmap: Path, tmp_path: Path) -> None:
    with pytest.raises(WeightsError, match="is no TensorFlow Lite file"):
        import_tflite(labelmap, labelmap, tmp_path / "out.safetensors")
    with pytest.raises(WeightsError, match="is no text"):
        import_tflite(file, file, tmp_path / "out.safetensors")


@pytest.mark.parametrize("share", [0.0001, 0.01, 0.5, 0.9, 0.99])
def test_a_file_cut_short(file: Path, labelmap: Path, tmp_path: Path, share: float) -> None:
    content = file.read_bytes()
    file.write_bytes(content[: max(9, int(share * len(content)))])
    with pytest.raises(WeightsError, match="damaged TensorFlow Lite file"):
        import_tflite(file, labelmap, tmp_path / "out.safetensors")
    assert not (tmp_path / "out.safetensors").exists()


@pytest.mark.parametrize("places", [1, 100, 2000])
def test_damaged_bytes_end_in_a_sentence_or_in_other_weights(
    file: Path, labelmap: Path, tmp_path: Path, places: int
) -> None:
    content = np.frombuffer(file.read_bytes(), dtype=np.uint8)
    generator = np.random.default_rng(0)
    for _ in range(10):
        damaged = content.copy()
        where = generator.integers(8, len(content), places)
        damaged[where] = generator.integers(0, 256, places)
        file.write_bytes(damaged.tobytes())
        with contextlib.suppress(WeightsError):
            import_tflite(file, labelmap, tmp_path / "out.safetensors")


@pytest.mark.parametrize("text", ["", "???\n", "???\ncat\n\ndog\n"])
def test_label_maps_without_classes(file: Path, labelmap: Path, tmp_path: Path, text: str) -> None:
    labelmap.write_text(text)
    with pytest.raises(WeightsError, match="needs a class name on each line"):
        import_tflite(file, labelmap, tmp_path / "out.safetensors")


@pytest.mark.parametrize("labels", [LABELS[:-1], [*LABELS, "cow"]])
def test_a_label_map_of_another_network(file: Path, labelmap: Path, tmp_path: Path, labels: list[str]) -> None:
    labelmap.write_text("\n".join(labels))
    with pytest.raises(WeightsError, match=f"has {len(labels)} lines"):
        import_tflite(file, labelmap, tmp_path / "out.safetensors")


def test_other_networks(labelmap: Path, tmp_path: Path, weights: Weights) -> None:
    def without(*parts: str) -> Weights:
        return {name: value for name, value in weights.items() if not any(part in name for part in parts)}

    another = write_tflite(tmp_path / "no-block.tflite", without("Conv2d_13_pointwise/"))
    with pytest.raises(WeightsError, match=r"another network.*block 13"):
        import_tflite(another, labelmap, tmp_path / "out.safetensors")
    another = write_tflite(tmp_path / "no-extra.tflite", without("Conv2d_13_pointwise_2_Conv2d_4"))
    with pytest.raises(WeightsError, match=r"another network.*extras\.2\.shrink"):
        import_tflite(another, labelmap, tmp_path / "out.safetensors")
    more = weights | {f"Fpn/{kind}": weights[f"BoxPredictor_0/ClassPredictor/{kind}"] for kind in ("weights", "bias")}
    with pytest.raises(WeightsError, match=r"another network.*Fpn"):
        import_tflite(write_tflite(tmp_path / "more.tflite", more), labelmap, tmp_path / "out.safetensors")
