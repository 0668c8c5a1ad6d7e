"""Weights files and where they are kept. Nothing here reads a tensor: a file's header says what it holds."""

import hashlib
import json
import re
import shutil
import struct
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

from noisedash.errors import NotFoundError, SpecError, WeightsError
from noisedash.files import file_written_aside
from noisedash.settings import Settings
from noisedash.spec import DetectorSpec, Frozen, detector_label, parse

FORMAT = "noisedash-weights-1"
BUILT_IN = Path(__file__).parent / "pretrained"
SUFFIX = ".safetensors"

_ENTRY = "noisedash"
_NAME = re.compile(r"[a-z0-9][a-z0-9._-]{0,63}")
_LONGEST_HEADER = 16 * 2**20


class _Network(Frozen):
    detector: DetectorSpec


@dataclass(frozen=True)
class WeightsInfo:
    """What a weights file says of itself."""

    detector: DetectorSpec
    classes: tuple[str, ...]
    source: str
    """Where the weights come from, for people."""
    licence: str
    batch_norm_folded: bool
    """True where batch norm was folded into the convolutions: it then holds no statistics to go on training from."""

    def to_metadata(self) -> dict[str, str]:
        """As the metadata of a safetensors file: one entry, for the writer puts several in a random order."""
        said = {
            "format": FORMAT,
            "detector": self.detector.model_dump(mode="json"),
            "classes": self.classes,
            "source": self.source,
            "licence": self.licence,
            "batch_norm_folded": self.batch_norm_folded,
        }
        return {_ENTRY: json.dumps(said, sort_keys=True, ensure_ascii=False)}


@dataclass(frozen=True)
class WeightsRecord:
    """A weights file at hand. `sha256` is of its bytes, and its identity in a RunSpec."""

    name: str
    sha256: str
    path: Path
    detector: DetectorSpec
    classes: tuple[str, ...]
    source: str
    licence: str


class WeightsRegistry:
    """The built-in weights and those in the home, by name and by checksum."""

    def __init__(self, settings: Settings, built_in: Path = BUILT_IN) -> None:
        self._home, self._built_in = settings.weights, built_in

    def list(self) -> Sequence[WeightsRecord]:
        """All weights that can be read, built-in ones first, by name. A home file hides none that is built in."""
        records: dict[str, WeightsRecord] = {}
        for path in self._paths():
            try:
                record = _record(path)
            except WeightsError:
                continue  # `problems` names it; one bad file must not hide the others
            records.setdefault(record.name, record)
        return [*records.values()]

    def problems(self) -> Sequence[str]:
        """A sentence for each file in the folders that is no weights file of ours."""
        problems = []
        for path in self._paths():
            try:
                read_info(path)
            except WeightsError as error:
                problems.append(str(error))
        return problems

    def find(self, name_or_sha256: str) -> WeightsRecord:
        """The weights of that name or checksum. Raises NotFoundError, which names those at hand."""
        records = self.list()
        for record in records:
            if name_or_sha256 in (record.name, record.sha256):
                return record
        at_hand = ", ".join(record.name for record in records) or "none"
        raise NotFoundError(f"There are no weights '{name_or_sha256}'; at hand: {at_hand}.")

    def add(self, file: Path, name: str) -> WeightsRecord:
        """Copy a weights file into the home under a name.

        The same file under the same name again changes nothing. Raises WeightsError where it is no weights file,
        SpecError where the name is ill-formed or other weights have it, StorageError where it cannot be written.
        """
        if not _NAME.fullmatch(name):
            raise SpecError(
                f"'{name}' cannot name weights: take lower-case letters, digits, '-', '_' and '.', 64 at most."
            )
        read_info(file)
        taken = next((record for record in self.list() if record.name == name), None)
        if taken is None:
            _copy(file, self._home / f"{name}{SUFFIX}")
            return self.find(name)
        if taken.sha256 != sha256_of(file):
            raise SpecError(f"There are other weights named '{name}' already; choose another name.")
        return taken

    def _paths(self) -> Sequence[Path]:
        return [*sorted(self._built_in.glob(f"*{SUFFIX}")), *sorted(self._home.glob(f"*{SUFFIX}"))]


def check_network(weights: str, of: DetectorSpec, detector: DetectorSpec) -> None:
    """Raises WeightsError where the weights of that name are of a network whose tensors the detector has not."""
    if detector_label(of) != detector_label(detector):
        raise WeightsError(
            f"The weights '{weights}' are of {detector_label(of)}, and the detector is {detector_label(detector)}; "
            "choose weights and detector of the same network."
        )


def read_info(path: Path) -> WeightsInfo:
    """What a weights file says of itself. Raises WeightsError where it is missing, torn or not NoiseDash's."""
    metadata = _read_metadata(path)
    try:
        said = json.loads(metadata[_ENTRY])
        if said["format"] != FORMAT:
            raise WeightsError(f"{path} is of another version ({said['format']}); import the network again.")
        detector = parse(_Network, {"detector": said["detector"]}, str(path)).detector
        classes = tuple(str(name) for name in said["classes"])
        return WeightsInfo(
            detector, classes, str(said["source"]), str(said["licence"]), bool(said["batch_norm_folded"])
        )
    except (KeyError, TypeError, json.JSONDecodeError, SpecError):
        raise WeightsError(f"{path} holds tensors, but no network that NoiseDash knows; import the network.") from None


def sha256_of(path: Path) -> str:
    """SHA-256 of a file's bytes, hexadecimal; kept until its size or time of change differ."""
    status = path.stat()
    return _sha256(path.resolve(), status.st_size, status.st_mtime_ns)


@lru_cache(maxsize=256)
def _sha256(path: Path, _size: int, _changed_ns: int) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _record(path: Path) -> WeightsRecord:
    info = read_info(path)
    name = path.name.removesuffix(SUFFIX)
    return WeightsRecord(name, sha256_of(path), path, info.detector, info.classes, info.source, info.licence)


def _read_metadata(path: Path) -> Mapping[str, str]:
    """The `__metadata__` of a safetensors file: 8 bytes of length, little-endian, then so much JSON, then tensors."""
    try:
        with path.open("rb") as file:
            (length,) = struct.unpack("<Q", file.read(8))
            header: Any = json.loads(file.read(length)) if length <= _LONGEST_HEADER else None
            ends = [end for tensor in _tensors(header) for end in tensor["data_offsets"]]
            whole = path.stat().st_size == 8 + length + max(ends, default=0)
    except OSError as error:
        raise WeightsError(f"The weights {path} cannot be read: {error.strerror}.") from None
    except (struct.error, ValueError, TypeError, KeyError, AttributeError):
        raise WeightsError(f"{path} is no safetensors file; import the network again.") from None
    if not whole:
        raise WeightsError(f"{path} is cut short or has grown; import the network again.")
    metadata: Mapping[str, str] = header.get("__metadata__") or {}
    return metadata


def _tensors(header: Any) -> Iterable[Mapping[str, Any]]:
    return [value for key, value in header.items() if key != "__metadata__"]


def _copy(source: Path, target: Path) -> None:
    with file_written_aside(target) as aside:
        shutil.copyfile(source, aside)
