"""How exported annotations refer to their pictures: not at all, by links, or with copies."""

import shutil
from pathlib import Path
from typing import Literal

from noisedash.datasets.dataset import Dataset
from noisedash.errors import DataError

ImageReferences = Literal["none", "link", "copy"]


def refer_to_image(dataset: Dataset, row: int, place: Path, images: ImageReferences) -> None:
    """Put image `row` at `place` as asked. Raises DataError where the picture is gone."""
    if images == "none":
        return
    source = dataset.image_path(row).resolve()
    if not source.is_file():
        raise DataError(
            f"The image {source} is gone, though it is part of dataset {dataset.name!r}: put it back, or export the "
            "annotations without images."
        )
    place.parent.mkdir(parents=True, exist_ok=True)
    if images == "link":
        place.symlink_to(source)
    else:
        shutil.copyfile(source, place)
