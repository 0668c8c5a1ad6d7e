"""The clean dataset: columnar, immutable, with a content hash. N images, M boxes, C classes."""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cached_property
from itertools import pairwise
from pathlib import Path
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from noisedash.boxes import FloatArray, box_area

BoolArray = NDArray[np.bool_]
IntArray = NDArray[np.int64]


@dataclass(frozen=True, eq=False)
class Boxes:
    """M annotated boxes as columns. `box_id` is stable: it depends on what is annotated, never on row order."""

    box_id: NDArray[np.uint64]
    """(M,) 64-bit identity, see `stable_box_ids`."""
    image_index: IntArray
    """(M,) row of the image."""
    class_id: IntArray
    """(M,) index into the dataset's classes."""
    xyxy: NDArray[np.float64]
    """(M, 4) left, top, right, bottom in pixels."""
    crowd: BoolArray
    """(M,) COCO's iscrowd: a region of many objects; never trained on, ignored in evaluation."""
    difficult: BoolArray
    """(M,) VOC's difficult flag."""
    truncated: BoolArray = field(default_factory=lambda: np.zeros(0, dtype=bool))
    """(M,) VOC's truncated flag: the object goes on beyond the box. All false where it is not given."""
    outline_area: FloatArray = field(default_factory=lambda: np.zeros(0))
    """(M,) the area of the object's outline in square pixels, as COCO's files give it; not a number where an annotation
    gives none, or its box's own. All so where it is not given."""

    def __post_init__(self) -> None:
        if len(self.truncated) == 0:
            object.__setattr__(self, "truncated", np.zeros(len(self.box_id), dtype=bool))
        if len(self.outline_area) == 0:
            object.__setattr__(self, "outline_area", np.full(len(self.box_id), np.nan))

    @property
    def area(self) -> FloatArray:
        """(M,) each object's area in square pixels: by its outline where that is known, else its box's."""
        return np.where(np.isnan(self.outline_area), box_area(self.xyxy), self.outline_area)

    def __len__(self) -> int:
        return len(self.box_id)

    def take(self, rows: BoolArray | IntArray) -> "Boxes":
        """The boxes of a mask (M,) or of row numbers (K,), in that order."""
        return Boxes(
            box_id=self.box_id[rows],
            image_index=self.image_index[rows],
            class_id=self.class_id[rows],
            xyxy=self.xyxy[rows],
            crowd=self.crowd[rows],
            difficult=self.difficult[rows],
            truncated=self.truncated[rows],
            outline_area=self.outline_area[rows],
        )


@dataclass(frozen=True, eq=False)
class Images:
    """N images as columns. `file` is the path below the dataset's root, with '/', and is unique."""

    file: tuple[str, ...]
    width: IntArray
    height: IntArray
    split: tuple[str, ...]
    """The dataset's own split of each image; '' where it has none."""
    sha256: tuple[str, ...]
    """SHA-256 of each image file's bytes, hexadecimal."""

    def __len__(self) -> int:
        return len(self.file)

    def take(self, rows: IntArray) -> "Images":
        """The images of row numbers (K,), in that order."""
        return Images(
            file=tuple(self.file[row] for row in rows),
            width=self.width[rows],
            height=self.height[rows],
            split=tuple(self.split[row] for row in rows),
            sha256=tuple(self.sha256[row] for row in rows),
        )


@dataclass(frozen=True, eq=False)
class Dataset:
    """Clean annotations of images that lie below `root`. Equal content has equal hash, whatever the row order."""

    name: str
    root: Path
    classes: tuple[str, ...]
    images: Images
    boxes: Boxes
    boxes_of_image: tuple[IntArray, ...] = field(init=False, repr=False)
    """For each image the rows of its boxes."""

    def __post_init__(self) -> None:
        object.__setattr__(self, "boxes_of_image", rows_by_image(self.boxes.image_index, len(self.images)))

    @cached_property
    def content_hash(self) -> str:
        """SHA-256 over classes, images (file, size, split, bytes) and boxes, independent of row order and root.

        Outlines' areas are in it only where there is one, so that sets without have the hash that they ever had.
        """
        digest = hashlib.sha256()
        digest.update(repr(self.classes).encode())
        for row in sorted(range(len(self.images)), key=self.images.file.__getitem__):
            images = self.images
            image = (
                images.file[row],
                int(images.width[row]),
                int(images.height[row]),
                images.split[row],
                images.sha256[row],
            )
            digest.update(repr(image).encode())
        order = np.argsort(self.boxes.box_id, kind="stable")
        boxes = self.boxes.take(order)
        columns = (boxes.box_id, boxes.class_id, boxes.xyxy, boxes.crowd, boxes.difficult, boxes.truncated)
        outlines = () if np.isnan(boxes.outline_area).all() else (boxes.outline_area,)
        for column in (*columns, *outlines):
            digest.update(np.ascontiguousarray(column).astype(column.dtype.newbyteorder("<")).tobytes())
        return digest.hexdigest()

    def image_path(self, row: int) -> Path:
        """The file of image `row`."""
        return self.root / self.images.file[row]

    def subset(self, rows: IntArray) -> "Dataset":
        """The dataset of those images (K,) and their boxes; box ids stay."""
        new_index = np.full(len(self.images), -1, dtype=np.int64)
        new_index[rows] = np.arange(len(rows))
        kept = new_index[self.boxes.image_index] >= 0
        boxes = self.boxes.take(kept)
        renumbered = Boxes(**{**boxes.__dict__, "image_index": new_index[boxes.image_index]})
        return Dataset(self.name, self.root, self.classes, self.images.take(rows), renumbered)


def rows_by_image(image_index: IntArray, images: int) -> tuple[IntArray, ...]:
    """For each of the `images` the rows of its boxes, given the image of each box (M,).

    >>> [rows.tolist() for rows in rows_by_image(np.array([2, 0, 2]), 3)]
    [[1], [], [0, 2]]
    """
    order = np.argsort(image_index, kind="stable")
    ends = np.searchsorted(image_index[order], np.arange(images + 1))
    return tuple(order[start:end] for start, end in pairwise(ends))


def stable_box_ids(
    files: Sequence[str], class_names: Sequence[str], xyxy: NDArray[np.float64], crowd: BoolArray
) -> NDArray[np.uint64]:
    """Identities (M,) of boxes from image file name, class name, corners and crowd flag.

    Equal boxes on one image are told apart by counting them, so ids are unique, and nothing depends on row order.
    `files` and `class_names` are per box (M,). BLAKE2b, 8 bytes.
    """
    seen: dict[tuple[object, ...], int] = {}
    ids = np.empty(len(files), dtype=np.uint64)
    columns = zip(files, class_names, xyxy.tolist(), crowd.tolist(), strict=True)
    for row, (file, class_name, corners, is_crowd) in enumerate(columns):
        identity = (file, class_name, *corners, is_crowd)
        copy = seen.get(identity, 0)
        seen[identity] = copy + 1
        text = repr((*identity, copy)).encode()
        ids[row] = int.from_bytes(hashlib.blake2b(text, digest_size=8).digest(), "little")
    return ids


class DecodedRows(Protocol):
    """The decoded images of a dataset, row by row."""

    def __len__(self) -> int: ...

    def __getitem__(self, row: int, /) -> NDArray[np.uint8]:
        """RGB (H, W, 3) of image `row`."""
