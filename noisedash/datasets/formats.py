"""Which annotation formats there are, and which one a folder holds."""

from collections import Counter
from collections.abc import Callable
from functools import partial
from pathlib import Path

from noisedash.datasets.coco import find_coco, read_coco
from noisedash.datasets.raw import RawDataset
from noisedash.datasets.voc import find_voc, read_voc
from noisedash.errors import DataError

READERS: dict[str, Callable[..., RawDataset]] = {
    "voc": read_voc,
    "voc-zero-based": partial(read_voc, first_pixel=0),
    "coco": read_coco,
}
"""Format name to reader. Each takes (path, images=folder of the images or None)."""

EXPECTED = "PASCAL VOC (Annotations/*.xml) or COCO (annotations/instances_*.json)"


def read(path: Path, format_name: str | None = None, images: Path | None = None) -> RawDataset:
    """The annotations at `path`, in the format found there unless it is given.

    Raises DataError where there is nothing, no known format or more than one, or the files cannot be read.
    """
    if not path.exists():
        raise DataError(f"There is no folder or file {path}: check the path.")
    if images is not None and not images.is_dir():
        raise DataError(f"There is no folder {images} of images: check the path.")
    format_name = detect(path) if format_name is None else format_name
    if format_name not in READERS:
        raise DataError(f"The format {format_name!r} is unknown: choose one of {', '.join(READERS)}.")
    return READERS[format_name](path, images=images)


def detect(path: Path) -> str:
    """The format of the annotations at `path`, by where the files lie. Raises DataError where that is not clear."""
    found = [name for name, finder in (("voc", find_voc), ("coco", find_coco)) if finder(path)]
    if len(found) == 1:
        return found[0]
    if found:
        raise DataError(f"{path} holds annotations of both {' and '.join(found)}: say which with --format.")
    if path.is_dir() and not any(path.iterdir()):
        raise DataError(f"{path} is an empty folder: expected {EXPECTED} there.")
    raise DataError(f"{path} holds no annotations of a known format; expected {EXPECTED}, found {_inventory(path)}.")


def _inventory(path: Path) -> str:
    """What lies at `path` and one level below, by kind of file."""
    if path.is_file():
        return f"the file {path.name}"
    kinds = Counter(
        child.suffix.lower() or "without suffix"
        for pattern in ("*", "*/*")
        for child in path.glob(pattern)
        if child.is_file()
    )
    files = ", ".join(f"{count} {kind}" for kind, count in kinds.most_common(5))
    return f"files: {files}" if files else "no files at or just below it"
