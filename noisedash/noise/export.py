"""A noisy training set as files: its annotations, the list of what was dropped, and the recipe."""

import csv
import io
import json
from pathlib import Path
from typing import Literal

from noisedash import __version__
from noisedash.datasets.coco import write_coco
from noisedash.datasets.files import write_synced, written_aside
from noisedash.datasets.references import ImageReferences
from noisedash.datasets.voc import write_voc
from noisedash.noise.recipe import NoisyDataset

Format = Literal["voc", "coco"]

DROPPED = "dropped.csv"
RECIPE = "recipe.json"
_WRITERS = {"voc": write_voc, "coco": write_coco}


def export(noisy: NoisyDataset, format: Format, out: Path, *, images: ImageReferences = "none") -> None:
    """Write the noisy annotations into the new folder `out`, with dropped.csv and recipe.json; wholly or not at all.

    `images`: 'link' or 'copy' puts the pictures beside the annotations. Raises StorageError where `out` is not empty
    or the disk refuses, and DataError where a picture is to be put there and is gone.
    """
    with written_aside(out) as aside:
        _WRITERS[format](noisy.clean, noisy.boxes, aside, images=images)
        write_synced(aside / DROPPED, dropped_csv(noisy).encode())
        write_synced(aside / RECIPE, recipe_json(noisy).encode())


def dropped_csv(noisy: NoisyDataset) -> str:
    """The dropped boxes as CSV text: file, class, left, top, right, bottom in pixels, box_id in hexadecimal.

    Sorted by file and box_id, so that equal sets give equal text.
    """
    clean, dropped = noisy.clean, noisy.dropped
    rows = sorted(
        (clean.images.file[image], f"{box_id:016x}", clean.classes[class_id], corners)
        for image, box_id, class_id, corners in zip(
            dropped.image_index.tolist(),
            dropped.box_id.tolist(),
            dropped.class_id.tolist(),
            dropped.xyxy.tolist(),
            strict=True,
        )
    )
    text = io.StringIO()
    table = csv.writer(text, lineterminator="\n")
    table.writerow(("file", "class", "left", "top", "right", "bottom", "box_id"))
    table.writerows((file, class_name, *corners, box_id) for file, box_id, class_name, corners in rows)
    return text.getvalue()


def recipe_json(noisy: NoisyDataset) -> str:
    """What made the noisy set, as JSON text: enough to make it again from the same clean images."""
    content = {
        "noisedash": __version__,
        "dataset": noisy.clean.name,
        "clean_training_set": noisy.clean.content_hash,
        "recipe": noisy.recipe.model_dump(mode="json"),
        "boxes": {"clean": len(noisy.clean.boxes), "kept": len(noisy.boxes), "dropped": len(noisy.dropped)},
    }
    return json.dumps(content, indent=2) + "\n"
