"""Image files to pixels. One way of decoding for checks, cache and thumbnails: what one accepts, all accept.

EXIF orientation is ignored everywhere, because annotations are of the raw pixels.
"""

import hashlib
import os
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from noisedash.errors import DataError

cv2.utils.logging.setLogLevel(cv2.utils.logging.LOG_LEVEL_SILENT)

Progress = Callable[[int, int], None]
"""Called with (images done, images in all)."""

RgbImage = NDArray[np.uint8]


@dataclass(frozen=True)
class Scanned:
    """What one look at an image file tells; `fault` is '' for a good one, else a sentence without the file's name."""

    width: int = 0
    height: int = 0
    sha256: str = ""
    fault: str = ""


def decode(data: bytes, flags: int = cv2.IMREAD_COLOR_RGB) -> RgbImage | None:
    """The pixels (H, W, 3), RGB unless flags say otherwise; None where the bytes are no whole image."""
    try:
        pixels = cv2.imdecode(np.frombuffer(data, dtype=np.uint8), flags | cv2.IMREAD_IGNORE_ORIENTATION)
    except cv2.error:
        return None
    return None if pixels is None else np.asarray(pixels, dtype=np.uint8)


def read_image_file(path: Path) -> bytes:
    """The bytes of a registered image. Raises DataError where it is gone or unreadable."""
    try:
        return path.read_bytes()
    except OSError as error:
        raise DataError(
            f"The image {path} cannot be read ({error.strerror}), though it is part of a registered dataset: "
            "put it back, or remove the dataset and add it again."
        ) from None


def damaged_image(path: Path) -> DataError:
    """The error for a registered image that does not decode any more."""
    return DataError(
        f"The image {path} is damaged or breaks off: put the whole file back, or remove the dataset and add it again."
    )


def scan(path: Path) -> Scanned:
    """Size and hash of an image file, which is decoded once to prove that it is whole."""
    try:
        data = path.read_bytes()
    except FileNotFoundError:
        return Scanned(fault="is missing.")
    except OSError as error:
        return Scanned(fault=f"cannot be read ({error.strerror}).")
    if not data:
        return Scanned(fault="is empty.")
    pixels = decode(data)
    if pixels is None:
        return Scanned(fault="is not a whole image: it is truncated, damaged or of a kind that cannot be decoded.")
    return Scanned(pixels.shape[1], pixels.shape[0], hashlib.sha256(data).hexdigest())


def scan_all(paths: Sequence[Path], progress: Progress | None = None) -> list[Scanned]:
    """`scan` of every file, in order, by one thread a core."""
    scanned = []
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        for result in pool.map(scan, paths):
            scanned.append(result)
            if progress is not None:
                progress(len(scanned), len(paths))
    return scanned
