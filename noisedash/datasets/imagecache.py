"""Decoded images, memory-mapped, so that training never decodes a file twice. K different pictures.

A cache is a folder SIZE-KEY with data.bin (all pixels, uint8 RGB, one picture after the other), index.npz (hash,
place, shape and checksum of each) and, since both are written aside and renamed, is wholly there or not at all.
Pictures are known by the hash of their files, so sets share them, whatever their names.
"""

import hashlib
import os
import shutil
import zipfile
import zlib
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from noisedash.datasets.dataset import Dataset, IntArray
from noisedash.datasets.decode import Progress, RgbImage, damaged_image, decode, read_image_file
from noisedash.errors import DataError, StorageError
from noisedash.files import exclusive, remove_asides, written_aside

FORMAT = 1
DATA, INDEX = "data.bin", "index.npz"
SPARE_BYTES = 64 << 20
"""Disk space that building a cache leaves free."""


@dataclass(frozen=True)
class Square:
    """Every image `side` x `side` pixels; the aspect ratio is not kept."""

    side: int

    @property
    def label(self) -> str:
        """Part of the cache's name."""
        return f"square{self.side}"


@dataclass(frozen=True)
class LongestSide:
    """The longer side at most `pixels`, the aspect ratio kept; never enlarged."""

    pixels: int

    @property
    def label(self) -> str:
        """Part of the cache's name."""
        return f"longest{self.pixels}"


Size = Square | LongestSide


def resized_wh(size: Size, width: int, height: int) -> tuple[int, int]:
    """Width and height in the cache of an image of this width and height.

    >>> resized_wh(Square(96), 400, 3), resized_wh(LongestSide(100), 400, 3), resized_wh(LongestSide(100), 40, 30)
    ((96, 96), (100, 1), (40, 30))
    """
    if isinstance(size, Square):
        return size.side, size.side
    scale = min(1.0, size.pixels / max(width, height))
    return max(1, round(width * scale)), max(1, round(height * scale))


@dataclass(frozen=True, eq=False)
class _Index:
    """What index.npz holds, (K,) each."""

    sha256: NDArray[np.bytes_]
    start: IntArray
    """First byte in data.bin."""
    shape: IntArray
    """(K, 2) height and width."""
    crc32: NDArray[np.uint32]

    @property
    def data_bytes(self) -> int:
        return int((self.shape.prod(axis=1) * 3).sum())


class DecodedImages:
    """The decoded images of a dataset, by its rows. Views of the map: read-only, to be copied before changing."""

    def __init__(self, folder: Path, index: _Index, sha256: Sequence[str]):
        self._folder = folder
        self._index = index
        place = {key: number for number, key in enumerate(index.sha256.astype(np.str_).tolist())}
        self._place = [place[key] for key in sha256]
        self._data = np.memmap(folder / DATA, dtype=np.uint8, mode="r")
        self._checked = np.zeros(len(index.start), dtype=bool)

    def __len__(self) -> int:
        return len(self._place)

    def __getitem__(self, row: int) -> RgbImage:
        """The image (H, W, 3), uint8 RGB. Its checksum is held against it once. Raises StorageError if it differs."""
        place = self._place[row]
        height, width = self._index.shape[place].tolist()
        start = int(self._index.start[place])
        pixels = self._data[start : start + height * width * 3]
        if not self._checked[place]:
            if zlib.crc32(pixels.data) != self._index.crc32[place]:
                raise StorageError(
                    f"The decoded images in {self._folder} are damaged: remove that folder, then start again."
                )
            self._checked[place] = True
        return np.asarray(pixels).reshape(height, width, 3)

    def __iter__(self) -> Iterator[RgbImage]:
        return (self[row] for row in range(len(self)))


def open_images(dataset: Dataset, folder: Path, size: Size, progress: Progress | None = None) -> DecodedImages:
    """The dataset's images, decoded and resized (bilinear) to `size`, from a cache below `folder`.

    A cache is built where none holds all of them; a second process that wants the same waits for the first. A torn
    one is built anew. Raises DataError where a file is gone or is not the one registered, StorageError where the
    disk is full.
    """
    keys = sorted(set(dataset.images.sha256))
    name = f"{size.label}-{hashlib.sha256(f'{FORMAT} {keys}'.encode()).hexdigest()[:24]}"
    found = _find(folder, name, size, keys)
    if found is None:
        with exclusive(folder / f".{name}.lock"):
            found = _find(folder, name, size, keys)
            if found is None:
                remove_asides(folder / name)
                shutil.rmtree(folder / name, ignore_errors=True)
                _build(dataset, folder / name, size, progress)
                found = folder / name, _read_index(folder / name)
    cache, index = found
    assert index is not None, f"{cache} was just built"
    return DecodedImages(cache, index, dataset.images.sha256)


def _find(folder: Path, name: str, size: Size, keys: list[str]) -> tuple[Path, _Index | None] | None:
    """The whole cache of that name, else any of that size which holds all the pictures."""
    others = sorted(path for path in folder.glob(f"{size.label}-*") if path.name != name)
    wanted = np.array(keys, dtype="S64")
    for cache in (folder / name, *others):
        index = _read_index(cache)
        if index is not None and np.isin(wanted, index.sha256, assume_unique=True).all():
            return cache, index
    return None


def _read_index(cache: Path) -> _Index | None:
    """The index of a whole cache; None where it is not there, or torn."""
    try:
        with (cache / INDEX).open("rb") as handle, np.load(handle, allow_pickle=False) as columns:
            index = _Index(columns["sha256"], columns["start"], columns["shape"], columns["crc32"])
        whole = (cache / DATA).stat().st_size == index.data_bytes
    except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile):
        return None
    return index if whole else None


def hashes_of_cache(cache: Path) -> set[str] | None:
    """The SHA-256 of the files whose pictures a cache holds; None where it is no whole cache."""
    index = _read_index(cache)
    return None if index is None else set(index.sha256.astype(np.str_).tolist())


def _build(dataset: Dataset, cache: Path, size: Size, progress: Progress | None) -> None:
    """Decode every different picture of the dataset into the new folder `cache`, whose parent is there."""
    first_row = {key: row for row, key in reversed(list(enumerate(dataset.images.sha256)))}
    rows = sorted(first_row.values())
    size_wh = [resized_wh(size, int(dataset.images.width[row]), int(dataset.images.height[row])) for row in rows]
    _check_space(cache.parent, sum(width * height * 3 for width, height in size_wh))
    shape = np.array([(height, width) for width, height in size_wh], dtype=np.int64).reshape(-1, 2)
    lengths = shape.prod(axis=1) * 3
    crc32 = []
    with written_aside(cache) as aside:
        with (aside / DATA).open("wb") as data:
            for pixels in _decoded(dataset, rows, size_wh):
                data.write(pixels.data)
                crc32.append(zlib.crc32(pixels.data))
                if progress is not None:
                    progress(len(crc32), len(rows))
            data.flush()
            os.fsync(data.fileno())
        with (aside / INDEX).open("wb") as index:
            np.savez(
                index,
                sha256=np.array([dataset.images.sha256[row] for row in rows], dtype="S64"),
                start=np.cumsum(lengths) - lengths,
                shape=shape,
                crc32=np.array(crc32, dtype=np.uint32),
            )
            index.flush()
            os.fsync(index.fileno())


def _decoded(dataset: Dataset, rows: list[int], size_wh: list[tuple[int, int]]) -> Iterator[RgbImage]:
    """The resized pictures in order, decoded by one thread a core, a few at a time so that memory stays small."""
    threads = os.cpu_count() or 1
    with ThreadPoolExecutor(threads) as pool:
        for first in range(0, len(rows), 8 * threads):
            some = slice(first, first + 8 * threads)
            yield from pool.map(partial(_decode_resized, dataset), rows[some], size_wh[some])


def _decode_resized(dataset: Dataset, row: int, size_wh: tuple[int, int]) -> RgbImage:
    path = dataset.image_path(row)
    data = read_image_file(path)
    if hashlib.sha256(data).hexdigest() != dataset.images.sha256[row]:
        raise DataError(
            f"The image {path} has changed since dataset {dataset.name!r} was registered: put the old file back, or "
            "remove the dataset and add it again."
        )
    pixels = decode(data)
    if pixels is None:
        raise damaged_image(path)
    if pixels.shape[1::-1] == size_wh:
        return np.ascontiguousarray(pixels)
    return np.asarray(cv2.resize(pixels, size_wh, interpolation=cv2.INTER_LINEAR), dtype=np.uint8)


def _check_space(folder: Path, needed: int) -> None:
    free = shutil.disk_usage(folder).free
    if free < needed + SPARE_BYTES:
        raise StorageError(
            f"The decoded images need {needed / 1e6:,.0f} MB in {folder}, but only {free / 1e6:,.0f} MB are free: "
            "free some of the disk, then try again."
        )
