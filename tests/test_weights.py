import json
import struct
import subprocess
import sys
from pathlib import Path

import pytest

from noisedash.errors import NotFoundError, SpecError, StorageError, WeightsError
from noisedash.settings import Settings
from noisedash.spec import SsdMobileNetV1
from noisedash.weights import WeightsInfo, WeightsRegistry, read_info, sha256_of

INFO = WeightsInfo(
    SsdMobileNetV1(depth_multiplier=0.25), ("exit sign", "Stühle"), "a test", "MIT", batch_norm_folded=True
)


def write(path: Path, content: bytes = b"\0" * 8, info: WeightsInfo | None = INFO) -> Path:
    """A safetensors file of one tensor of these bytes, by the format's own description."""
    header = {
        "a": {"dtype": "U8", "shape": [len(content)], "data_offsets": [0, len(content)]},
        **({"__metadata__": info.to_metadata()} if info else {}),
    }
    text = json.dumps(header).encode()
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(struct.pack("<Q", len(text)) + text + content)
    return path


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    return Settings(tmp_path / "home", "sqlite://")


@pytest.fixture
def registry(settings: Settings, tmp_path: Path) -> WeightsRegistry:
    return WeightsRegistry(settings, built_in=tmp_path / "built-in")


def test_what_a_file_says_of_itself_comes_back(tmp_path: Path) -> None:
    assert read_info(write(tmp_path / "a.safetensors")) == INFO


def test_an_empty_home_has_none(registry: WeightsRegistry) -> None:
    assert registry.list() == []
    with pytest.raises(NotFoundError, match=r"'coco'.*at hand: none"):
        registry.find("coco")


def test_added_weights_are_found_by_name_and_checksum(registry: WeightsRegistry, tmp_path: Path) -> None:
    file = write(tmp_path / "a.safetensors")
    record = registry.add(file, "mine-1")
    assert record.path == tmp_path / "home" / "weights" / "mine-1.safetensors"
    assert (record.name, record.classes, record.source, record.licence) == ("mine-1", INFO.classes, "a test", "MIT")
    assert registry.find("mine-1") == registry.find(sha256_of(file)) == record
    assert [path.name for path in record.path.parent.iterdir()] == ["mine-1.safetensors"], "nothing is left aside"


def test_built_in_weights_come_first_and_are_not_hidden(registry: WeightsRegistry, tmp_path: Path) -> None:
    write(tmp_path / "built-in" / "quick.safetensors")
    write(tmp_path / "home" / "weights" / "quick.safetensors", b"\1")
    write(tmp_path / "home" / "weights" / "another.safetensors")
    assert [record.name for record in registry.list()] == ["quick", "another"]
    assert registry.find("quick").path.parent.name == "built-in"


def test_the_checksum_follows_the_bytes(tmp_path: Path) -> None:
    file = write(tmp_path / "a.safetensors")
    first = sha256_of(file)
    write(file, b"\2" * 9)
    assert sha256_of(file) != first


def test_the_same_weights_may_be_added_again_and_others_not(registry: WeightsRegistry, tmp_path: Path) -> None:
    file = write(tmp_path / "a.safetensors")
    assert registry.add(file, "mine") == registry.add(file, "mine")
    with pytest.raises(SpecError, match="other weights named 'mine'"):
        registry.add(write(tmp_path / "b.safetensors", b"\3"), "mine")


@pytest.mark.parametrize("name", ["", "../up", "Über", "a b", ".hidden", "x" * 65])
def test_names_are_checked(registry: WeightsRegistry, tmp_path: Path, name: str) -> None:
    with pytest.raises(SpecError, match="cannot name weights"):
        registry.add(write(tmp_path / "a.safetensors"), name)


def test_a_home_that_cannot_be_written(registry: WeightsRegistry, tmp_path: Path) -> None:
    (tmp_path / "home").write_text("a file where the folder should be")
    with pytest.raises(StorageError, match="cannot be written"):
        registry.add(write(tmp_path / "a.safetensors"), "mine")


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "no safetensors file"),
        (b"12345", "no safetensors file"),
        (b"\xff" * 64, "no safetensors file"),
        (struct.pack("<Q", 4) + b"nul]", "no safetensors file"),
        (struct.pack("<Q", 2) + b"[]", "no safetensors file"),
        (struct.pack("<Q", 7) + b'{"a":1}', "no safetensors file"),
        (struct.pack("<Q", 2) + b"{}", "no network that NoiseDash knows"),
        (b"PK\x03\x04 a pickled checkpoint", "no safetensors file"),
    ],
)
def test_files_that_are_no_weights(tmp_path: Path, content: bytes, message: str) -> None:
    file = tmp_path / "bad.safetensors"
    file.write_bytes(content)
    with pytest.raises(WeightsError, match=message) as caught:
        read_info(file)
    assert str(file) in str(caught.value)


def test_torn_foreign_missing_and_newer_files(tmp_path: Path) -> None:
    torn = write(tmp_path / "torn.safetensors")
    torn.write_bytes(torn.read_bytes()[:-1])
    with pytest.raises(WeightsError, match="cut short"):
        read_info(torn)
    with pytest.raises(WeightsError, match="no network that NoiseDash knows"):
        read_info(write(tmp_path / "foreign.safetensors", info=None))
    with pytest.raises(WeightsError, match="cannot be read: No such file"):
        read_info(tmp_path / "missing.safetensors")
    newer = write(tmp_path / "newer.safetensors")
    newer.write_bytes(newer.read_bytes().replace(b"noisedash-weights-1", b"noisedash-weights-9"))
    with pytest.raises(WeightsError, match="another version"):
        read_info(newer)
    unknown = write(tmp_path / "unknown.safetensors")
    unknown.write_bytes(unknown.read_bytes().replace(b"ssd_mobilenet_v1", b"ssd_mobilenet_v9"))
    with pytest.raises(WeightsError, match="no network that NoiseDash knows"):
        read_info(unknown)


def test_one_bad_file_hides_no_other_and_is_named(registry: WeightsRegistry, tmp_path: Path) -> None:
    folder = tmp_path / "home" / "weights"
    write(folder / "good.safetensors")
    (folder / "bad.safetensors").write_bytes(b"nothing")
    assert [record.name for record in registry.list()] == ["good"]
    assert len(registry.problems()) == 1
    assert "bad.safetensors" in registry.problems()[0]


def test_reading_weights_never_imports_torch() -> None:
    code = "import sys, noisedash.weights; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
