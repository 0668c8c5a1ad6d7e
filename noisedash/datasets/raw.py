"""What a reader found in the annotation files, before anything is checked against the images."""

import math
from dataclasses import dataclass, field
from pathlib import Path

from noisedash.datasets.checks import Problem, Severity

Corners = tuple[float, float, float, float]

IMAGE_SUFFIXES = (".jpg", ".jpeg", ".png", ".bmp", ".webp", ".tif", ".tiff")


@dataclass(frozen=True)
class RawImage:
    """An image as the annotations name it. Width and height are 0 where they do not say."""

    file: str
    width: int
    height: int
    split: str
    annotation_file: str


@dataclass
class RawBoxes:
    """M boxes as growing columns."""

    image_index: list[int] = field(default_factory=list)
    class_id: list[int] = field(default_factory=list)
    xyxy: list[Corners] = field(default_factory=list)
    crowd: list[bool] = field(default_factory=list)
    difficult: list[bool] = field(default_factory=list)
    truncated: list[bool] = field(default_factory=list)
    outline_area: list[float] = field(default_factory=list)
    """In square pixels; not a number where the annotation gives none."""
    number: list[int] = field(default_factory=list)
    """What Problem.box says of this box."""

    def __len__(self) -> int:
        return len(self.number)

    def append(
        self,
        image_index: int,
        class_id: int,
        xyxy: Corners,
        number: int,
        *,
        crowd: bool = False,
        difficult: bool = False,
        truncated: bool = False,
        outline_area: float = math.nan,
    ) -> None:
        """Add one box."""
        self.image_index.append(image_index)
        self.class_id.append(class_id)
        self.xyxy.append(xyxy)
        self.crowd.append(crowd)
        self.difficult.append(difficult)
        self.truncated.append(truncated)
        self.outline_area.append(outline_area)
        self.number.append(number)


@dataclass
class RawDataset:
    """Annotations as read. Problems of severity error are files that cannot be used."""

    format: str
    root: Path
    """What the images' file names are relative to."""
    classes: tuple[str, ...] = ()
    images: list[RawImage] = field(default_factory=list)
    boxes: RawBoxes = field(default_factory=RawBoxes)
    problems: list[Problem] = field(default_factory=list)
    annotation_of: dict[str, str] = field(default_factory=dict)
    """The annotation file of each image file."""

    def add_image(self, image: RawImage) -> int | None:
        """The row of a new image; None, and a problem, where an earlier annotation file names the same image."""
        earlier = self.annotation_of.get(image.file)
        if earlier is not None:
            message = f"names the image {image.file}, which {earlier} annotates already."
            self.report(Severity.ERROR, image.annotation_file, None, message)
            return None
        self.annotation_of[image.file] = image.annotation_file
        self.images.append(image)
        return len(self.images) - 1

    def report(self, severity: Severity, file: str, box: int | None, message: str) -> None:
        """Note a problem."""
        self.problems.append(Problem(severity, file, box, message))


def is_below(name: str) -> bool:
    """Whether a file name of an annotation stays below its folder: not absolute, no '..'.

    >>> is_below("train/a.jpg"), is_below("../a.jpg"), is_below("/etc/a.jpg")
    (True, False, False)
    """
    return bool(name) and not name.startswith("/") and ".." not in name.split("/") and "\\" not in name
