from pathlib import Path

import pytest
import torch
from detector_toys import TINY, randomised

from noisedash.detector.ssd import SsdMobileNet
from noisedash.detector.weights import build, initialise, load_weights, save_weights
from noisedash.errors import NotFoundError, StorageError, WeightsError
from noisedash.settings import Settings
from noisedash.spec import FromScratch, FromWeights, SsdMobileNetV1
from noisedash.weights import WeightsRecord, WeightsRegistry, read_info, sha256_of

CLASSES = ("cat", "dog", "horse")


@pytest.fixture
def registry(tmp_path: Path) -> WeightsRegistry:
    return WeightsRegistry(Settings(tmp_path / "home", "sqlite://"))


@pytest.fixture
def source() -> SsdMobileNet:
    return randomised(SsdMobileNet(TINY, len(CLASSES)))


@pytest.fixture
def record(source: SsdMobileNet, registry: WeightsRegistry, tmp_path: Path) -> WeightsRecord:
    save_weights(tmp_path / "w.safetensors", source, CLASSES, "a test", "MIT")
    return registry.add(tmp_path / "w.safetensors", "toy")


def same(first: torch.nn.Module, second: torch.nn.Module, part: str) -> bool:
    one, other = first.state_dict(), second.state_dict()
    return all(torch.equal(one[name], other[name]) for name in one if name.startswith(part) and name in other)


def test_saved_weights_are_the_network(source: SsdMobileNet, record: WeightsRecord) -> None:
    model = build(record.path)
    assert same(source, model, "")
    assert not model.training
    assert (record.detector, record.classes, record.source, record.licence) == (TINY, CLASSES, "a test", "MIT")


def test_equal_weights_give_equal_files(source: SsdMobileNet, tmp_path: Path) -> None:
    files = [tmp_path / "deep" / f"{number}.safetensors" for number in range(4)]
    for file in files:
        save_weights(file, source, CLASSES, "a test", "MIT")
    assert len({sha256_of(file) for file in files}) == 1
    assert len(list(files[0].parent.iterdir())) == 4, "nothing is left aside"
    assert not read_info(files[0]).batch_norm_folded


def test_from_scratch_leaves_the_seeds_weights(registry: WeightsRegistry) -> None:
    model, untouched = SsdMobileNet(TINY, 3, seed=4), SsdMobileNet(TINY, 3, seed=4)
    loaded = initialise(model, FromScratch(), CLASSES, registry)
    assert same(model, untouched, "")
    assert loaded.taken == ()
    assert str(loaded) == "All weights are drawn from the seed."


def test_equal_classes_take_everything(source: SsdMobileNet, record: WeightsRecord, registry: WeightsRegistry) -> None:
    model = SsdMobileNet(TINY, 3)
    loaded = initialise(model, FromWeights(sha256=record.sha256), CLASSES, registry)
    assert same(model, source, "")
    assert loaded.fresh == ()
    assert not loaded.batch_norm_folded
    assert "class head is taken" in str(loaded)


@pytest.mark.parametrize(
    ("classes", "reset"),
    [(CLASSES, True), (("dog", "cat", "horse"), False), (("cat", "dog"), False), (("a", "b", "c"), False)],
)
def test_the_class_head_stays_the_seeds(
    classes: tuple[str, ...],
    reset: bool,
    source: SsdMobileNet,
    record: WeightsRecord,
    registry: WeightsRegistry,
) -> None:
    model, untouched = SsdMobileNet(TINY, len(classes), seed=3), SsdMobileNet(TINY, len(classes), seed=3)
    initial = FromWeights(sha256=record.sha256, reset_class_head=reset)
    loaded = initialise(model, initial, classes, registry)
    assert same(model, untouched, "class_heads.")
    assert same(model, source, "backbone.")
    assert same(model, source, "extras.")
    assert same(model, source, "box_heads.")
    assert {name.split(".")[0] for name in loaded.fresh} == {"class_heads"}
    assert "class head is new" in str(loaded)


def test_a_network_with_fewer_blocks_and_another_input_takes_what_it_has(
    source: SsdMobileNet, record: WeightsRecord, registry: WeightsRegistry
) -> None:
    micro = SsdMobileNetV1(input_side=128, depth_multiplier=0.25, first_stride=8, repeated_blocks=2)
    model = SsdMobileNet(micro, 3)
    loaded = initialise(model, FromWeights(sha256=record.sha256), CLASSES, registry)
    assert same(model, source, "")
    assert loaded.fresh == ()


def test_a_network_with_more_blocks_starts_those_afresh(registry: WeightsRegistry, tmp_path: Path) -> None:
    fewer = SsdMobileNetV1(input_side=96, depth_multiplier=0.25, repeated_blocks=3)
    save_weights(tmp_path / "w.safetensors", SsdMobileNet(fewer, 3), CLASSES, "", "")
    record = registry.add(tmp_path / "w.safetensors", "fewer")
    loaded = initialise(SsdMobileNet(TINY, 3), FromWeights(sha256=record.sha256), CLASSES, registry)
    assert {name.split(".")[2] for name in loaded.fresh} == {"10", "11"}


def test_weights_of_another_depth_are_refused(record: WeightsRecord, registry: WeightsRegistry) -> None:
    model = SsdMobileNet(SsdMobileNetV1(input_side=96, depth_multiplier=0.5), 3)
    with pytest.raises(WeightsError, match=r"'toy' are of ssd_mobilenet_v1 x 0\.25, .* is ssd_mobilenet_v1 x 0\.5;"):
        initialise(model, FromWeights(sha256=record.sha256), CLASSES, registry)


def test_weights_that_are_not_at_hand(registry: WeightsRegistry) -> None:
    with pytest.raises(NotFoundError):
        initialise(SsdMobileNet(TINY, 3), FromWeights(sha256="0" * 64), CLASSES, registry)


def test_a_file_that_is_not_the_network_it_names(source: SsdMobileNet, tmp_path: Path) -> None:
    file = tmp_path / "w.safetensors"
    save_weights(file, source, CLASSES, "a test", "MIT")
    file.write_bytes(file.read_bytes().replace(b"box_heads.0.bias", b"box_heads.9.bias"))
    with pytest.raises(WeightsError, match=r"does not hold the network.*box_heads\.0\.bias"):
        build(file)


def test_a_folder_that_cannot_be_written(source: SsdMobileNet, tmp_path: Path) -> None:
    (tmp_path / "taken").write_text("a file where the folder should be")
    with pytest.raises(StorageError, match="cannot be written"):
        save_weights(tmp_path / "taken" / "w.safetensors", source, CLASSES, "a test", "MIT")


def test_a_header_that_lies_about_its_tensors(source: SsdMobileNet, tmp_path: Path) -> None:
    file = tmp_path / "w.safetensors"
    save_weights(file, source, CLASSES, "a test", "MIT")
    file.write_bytes(file.read_bytes().replace(b'"dtype":"F32"', b'"dtype":"F99"', 1))
    with pytest.raises(WeightsError, match="cannot be read"):
        load_weights(file)
