"""From a seed to a folder of pictures and their dataset; several processes draw."""

import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from threading import Event, Lock

import numpy as np

from noisedash.datasets.dataset import Boxes, Dataset, Images, IntArray, stable_box_ids
from noisedash.datasets.indoor.finish import IMAGE_WH
from noisedash.datasets.indoor.placing import LABELLED
from noisedash.errors import SpecError, StorageError
from noisedash.files import storage_error

CLASSES = tuple(LABELLED)
MOST_IMAGES = 1_000_000
_MOST_WORKERS = 8
_SOURCE_ROOT = Path(__file__).resolve().parents[3]
_IMAGES_WORTH_A_WORKER = 40

Progress = Callable[[int, int], None]
"""Told how many images are done, of how many."""


@dataclass(frozen=True)
class DrawnImage:
    """One line of what a drawing process says."""

    index: int
    sha256: str
    labels: tuple[str, ...]
    boxes: tuple[tuple[float, float, float, float], ...]
    """(M, 4) left, top, right, bottom in pixels of the image."""


def generate(
    folder: Path,
    images: int,
    seed: int,
    test_fraction: float = 0.2,
    workers: int | None = None,
    progress: Progress | None = None,
) -> Dataset:
    """Draw that many images into `folder` (made where missing) and give the dataset with its split 'train' and 'test'.

    The same number, seed and fraction give the same bytes on the same machine, whatever the number of `workers`
    (processes; by default one a core); the first images of a larger set are those of a smaller one. About two objects
    an image. Raises SpecError for a size, seed or fraction that makes no sense, and StorageError where an image cannot
    be written.
    """
    _check(images, seed, test_fraction)
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise storage_error(error, folder) from error
    count = min(workers or os.cpu_count() or 1, _MOST_WORKERS, max(images // _IMAGES_WORTH_A_WORKER, 1))
    drawn = _drawn(folder, images, seed, count, progress or _nothing)
    return _dataset(folder, drawn, _splits(images, seed, test_fraction))


def file_name(index: int) -> str:
    """The file of image `index`.

    >>> file_name(7)
    '000007.jpg'
    """
    return f"{index:06d}.jpg"


def _check(images: int, seed: int, test_fraction: float) -> None:
    if not 1 <= images <= MOST_IMAGES:
        raise SpecError(f"An indoor dataset has 1 to {MOST_IMAGES:,} images, not {images}: choose a number between.")
    if seed < 0:
        raise SpecError(f"The seed of an indoor dataset is a whole number from 0 on, not {seed}.")
    if not 0 <= test_fraction <= 1:
        raise SpecError(f"The share of test images lies between 0 and 1, not at {test_fraction}.")


def _nothing(_done: int, _images: int) -> None:
    """Nobody listens."""


def _drawn(folder: Path, images: int, seed: int, workers: int, progress: Progress) -> list[DrawnImage]:
    """All images, drawn by that many processes, in the order of their index. The first failure ends them all."""
    done: list[DrawnImage] = []
    lock, failed = Lock(), Event()

    def listen(first: int) -> None:
        with _drawing_process(folder, seed, range(first, images, workers)) as process:
            assert process.stdout is not None
            for line in process.stdout:
                if failed.is_set():
                    return
                fields = json.loads(line)
                with lock:
                    done.append(DrawnImage(**fields))
                    progress(len(done), images)
            _check_ended_well(process, folder)

    with ThreadPoolExecutor(workers) as pool:
        try:
            for part in [pool.submit(listen, first) for first in range(workers)]:
                part.result()
        except BaseException:
            failed.set()
            raise
    return sorted(done, key=lambda image: image.index)


@contextmanager
def _drawing_process(folder: Path, seed: int, indices: range) -> Iterator["subprocess.Popen[str]"]:
    """A process that draws those images and says so; ended with the block.

    It is a fresh interpreter rather than a fork, since this process may have threads (a web server, torch).
    """
    command = [sys.executable, "-m", "noisedash.datasets.indoor.draw", str(folder), str(seed)]
    command += [str(number) for number in (indices.start, indices.stop, indices.step)]
    path = os.pathsep.join(part for part in (str(_SOURCE_ROOT), os.environ.get("PYTHONPATH")) if part)
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env={**os.environ, "PYTHONPATH": path}
    ) as process:
        try:
            yield process
        finally:
            process.kill()


def _check_ended_well(process: "subprocess.Popen[str]", folder: Path) -> None:
    assert process.stderr is not None
    complaint = process.stderr.read().strip()
    if process.wait() != 0:
        reason = complaint.splitlines()[-1] if complaint else f"it ended with status {process.returncode}"
        raise StorageError(f"The indoor images cannot be drawn into {folder} ({reason}): mend that, then try again.")


def _splits(images: int, seed: int, test_fraction: float) -> tuple[str, ...]:
    """'train' or 'test' for each image; floor(images x test_fraction) test."""
    shuffled = np.random.default_rng([seed, images]).permutation(images)
    testing = set(shuffled[: int(images * test_fraction)].tolist())
    return tuple("test" if index in testing else "train" for index in range(images))


def _dataset(folder: Path, drawn: list[DrawnImage], splits: tuple[str, ...]) -> Dataset:
    width, height = IMAGE_WH
    files = tuple(file_name(image.index) for image in drawn)
    images = Images(
        file=files,
        width=np.full(len(drawn), width, dtype=np.int64),
        height=np.full(len(drawn), height, dtype=np.int64),
        split=splits,
        sha256=tuple(image.sha256 for image in drawn),
    )
    image_index: IntArray = np.repeat(np.arange(len(drawn)), [len(image.labels) for image in drawn]).astype(np.int64)
    names = [label for image in drawn for label in image.labels]
    xyxy = np.array([box for image in drawn for box in image.boxes], dtype=np.float64).reshape(-1, 4)
    none = np.zeros(len(names), dtype=np.bool_)
    boxes = Boxes(
        box_id=stable_box_ids([files[row] for row in image_index], names, xyxy, none),
        image_index=image_index,
        class_id=np.array([CLASSES.index(name) for name in names], dtype=np.int64),
        xyxy=xyxy,
        crowd=none,
        difficult=none.copy(),
    )
    return Dataset("indoor", folder, CLASSES, images, boxes)
