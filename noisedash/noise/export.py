"""A noisy training set as files: its annotations, the history of every box, and the recipe."""

import csv
import io
import json
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path
from typing import Any, Literal

from noisedash import __version__
from noisedash.datasets.coco import write_coco
from noisedash.datasets.references import ImageReferences
from noisedash.datasets.voc import write_voc
from noisedash.files import write_synced, written_aside
from noisedash.noise.recipe import (
    CROWD_IN_WORDS,
    FATE_IN_WORDS,
    INVENTED,
    INVENTED_IN_WORDS,
    Fate,
    NoisyDataset,
)
from noisedash.noise.report import hits

Format = Literal["voc", "coco"]

PROVENANCE = "provenance.csv"
RECIPE = "recipe.json"
_CORNERS = ("left", "top", "right", "bottom")
COLUMNS = (
    "file",
    "box_id",
    "fate",
    "clean_class",
    *(f"clean_{name}" for name in _CORNERS),
    "noisy_class",
    *(f"noisy_{name}" for name in _CORNERS),
    "iou",
)
_WRITERS = {"voc": write_voc, "coco": write_coco}


def export(noisy: NoisyDataset, format: Format, out: Path, *, images: ImageReferences = "none") -> None:
    """Write the noisy annotations into the new folder `out`, with provenance.csv and recipe.json; wholly or not at all.

    `images`: 'link' or 'copy' puts the pictures beside the annotations. Raises StorageError where `out` is not empty
    or the disk refuses, and DataError where a picture is to be put there and is gone.
    """
    with written_aside(out) as aside:
        _WRITERS[format](noisy.clean, noisy.boxes, aside, images=images)
        write_synced(aside / PROVENANCE, provenance_csv(noisy).encode())
        write_synced(aside / RECIPE, recipe_json(noisy).encode())


def provenance_csv(noisy: NoisyDataset) -> str:
    """What became of every box, as CSV text with the columns of COLUMNS; what does not apply is empty.

    `fate` is kept, dropped, moved, relabelled, moved and relabelled, invented, or crowd for a crowd region. Corners
    are pixels, `iou` is that of the box before and after, and `box_id` the clean box's, in hexadecimal; an invented
    box has one of its own. Sorted by file and box_id, so that equal sets give equal text.
    """
    text = io.StringIO()
    table = csv.writer(text, lineterminator="\n")
    table.writerow(COLUMNS)
    histories = sorted(_histories(noisy), key=lambda row: row[:2])
    table.writerows(histories)
    return text.getvalue()


def _histories(noisy: NoisyDataset) -> Iterator[tuple[str | float, ...]]:
    """A row of the table for each clean box, then for each invented one."""
    files, classes = noisy.clean.images.file, noisy.clean.classes
    before, after, iou = noisy.clean.boxes, noisy.boxes, noisy.iou.tolist()
    before_xyxy, after_xyxy = before.xyxy.tolist(), after.xyxy.tolist()
    nothing = ("",) * 5
    for row, (fate, became) in enumerate(zip(noisy.fate.tolist(), noisy.row_after.tolist(), strict=True)):
        crowd = before.crowd[row]
        told = (classes[before.class_id[row]], *before_xyxy[row])
        now = nothing if became < 0 else (classes[after.class_id[became]], *after_xyxy[became])
        word = CROWD_IN_WORDS if crowd else FATE_IN_WORDS[Fate(fate)]
        overlap = "" if became < 0 else iou[became]
        yield files[before.image_index[row]], f"{int(before.box_id[row]):016x}", word, *told, *now, overlap
    for row in (noisy.origin == INVENTED).nonzero()[0].tolist():
        now = (classes[after.class_id[row]], *after_xyxy[row])
        file, box_id = files[after.image_index[row]], f"{int(after.box_id[row]):016x}"
        yield file, box_id, INVENTED_IN_WORDS, *nothing, *now, ""


def recipe_json(noisy: NoisyDataset) -> str:
    """What made the noisy set, as JSON text: enough to make it again from the same clean images."""
    content = {
        "noisedash": __version__,
        "dataset": noisy.clean.name,
        "clean_training_set": noisy.clean.content_hash,
        "noisy_training_set": noisy.content_hash,
        "recipe": noisy.recipe.model_dump(mode="json"),
        "boxes": box_counts(noisy),
        "hits": hit_records(noisy),
    }
    return json.dumps(content, indent=2) + "\n"


def box_counts(noisy: NoisyDataset) -> dict[str, int]:
    """How many boxes there were and are, crowd regions among them, and how many had which fate."""
    return {
        "clean": len(noisy.clean.boxes),
        "noisy": len(noisy.boxes),
        "dropped": int((noisy.fate == Fate.DROPPED).sum()),
        "moved": int((noisy.fate & Fate.MOVED > 0).sum()),
        "relabelled": int((noisy.fate & Fate.RELABELLED > 0).sum()),
        "invented": int((noisy.origin == INVENTED).sum()),
    }


def hit_records(noisy: NoisyDataset) -> list[dict[str, Any]]:
    """The rows of `noisedash.noise.report.hits` for JSON."""
    return [{**asdict(row), "share": row.share} for row in hits(noisy)]
