"""What the Noise page shows, without the page: noisy training sets, every box with its history, filters.

M clean boxes, E invented ones; together they are the A = M + E boxes of a page, in this order.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
import pandas as pd
import yaml
from numpy.typing import NDArray

from noisedash.datasets.dataset import Dataset
from noisedash.datasets.splits import default_split, split
from noisedash.figures.style import BOX_STYLES
from noisedash.jobs.store import Store
from noisedash.noise.recipe import INVENTED, Fate, NoisyDataset, apply_recipe, drop_order
from noisedash.noise.report import emptied_images, hits
from noisedash.noise_spec import MissingNoise, NoiseRecipe
from noisedash.spec import SplitSpec
from noisedash.ui.components.elements import DrawnBox
from noisedash.ui.text import count, percent

ALL = "every box"
KEPT, DROPPED, MOVED, RELABELLED, NEW = "kept", "dropped", "moved", "relabelled", "invented"
FATES = (ALL, KEPT, DROPPED, MOVED, RELABELLED, NEW)
DEFAULT_SET = "the dataset's split"

BoolArray = NDArray[np.bool_]
IntArray = NDArray[np.int64]


@dataclass(frozen=True, eq=False)
class TrainingSet:
    """The images that a study trains on, and what a recipe makes of their boxes."""

    noisy: NoisyDataset
    full_row: IntArray
    """For each image its row in the whole dataset, by which it is asked for."""
    drops_above: NDArray[np.float64]
    """(M,) a box is dropped at every missing rate above this one; crowd regions, which never are, have 1 or more."""
    image_index: IntArray
    """(A,) row of the image."""
    classes: tuple[IntArray, IntArray]
    """(A,) each: the clean class and the one that training sees; where there is only one, it stands in both."""
    has_fate: dict[str, BoolArray]
    """(A,) for each fate but ALL whether a box has it; one may be both moved and relabelled."""

    @property
    def clean(self) -> Dataset:
        """The images with their clean boxes."""
        return self.noisy.clean


@dataclass(frozen=True)
class Filter:
    """Which boxes are shown: of these classes before or after (none: of all), with this fate."""

    class_ids: tuple[int, ...]
    fate: str

    def shown(self, training: TrainingSet) -> BoolArray:
        """(A,) whether each box passes."""
        passes = np.ones(len(training.image_index), dtype=bool)
        if self.class_ids:
            before, after = (np.isin(of_box, self.class_ids) for of_box in training.classes)
            passes = before | after
        return passes if self.fate == ALL else passes & training.has_fate[self.fate]


@lru_cache(maxsize=4)
def _training_part(dataset: Dataset, spec: SplitSpec) -> Dataset:
    return split(dataset, spec).train


@lru_cache(maxsize=8)
def training_set(dataset: Dataset, spec: SplitSpec, recipe: NoiseRecipe) -> TrainingSet:
    """The training set of a dataset under a split, damaged by the recipe.

    Raises DataError where the dataset cannot be split so, or the recipe does not fit it.
    """
    train = _training_part(dataset, spec)
    noisy = apply_recipe(train, recipe)
    row_of_file = {file: row for row, file in enumerate(dataset.images.file)}
    full_row = np.array([row_of_file[file] for file in train.images.file], dtype=np.int64)
    missing = next((step for step in recipe.steps if isinstance(step, MissingNoise)), MissingNoise(rate=0))
    number = max(int((~train.boxes.crowd).sum()), 1)
    after = train.boxes.class_id.copy()
    left = noisy.row_after >= 0
    after[left] = noisy.boxes.class_id[noisy.row_after[left]]
    invented = noisy.invented
    return TrainingSet(
        noisy,
        full_row,
        drop_order(train, missing) / number,
        np.concatenate([train.boxes.image_index, invented.image_index]),
        (
            np.concatenate([train.boxes.class_id, invented.class_id]),
            np.concatenate([after, invented.class_id]),
        ),
        _fates(noisy),
    )


def _fates(noisy: NoisyDataset) -> dict[str, BoolArray]:
    fate, crowd = noisy.fate, noisy.clean.boxes.crowd
    of_clean = {
        KEPT: (fate == Fate.KEPT) & ~crowd,
        DROPPED: fate == Fate.DROPPED,
        MOVED: fate & Fate.MOVED > 0,
        RELABELLED: fate & Fate.RELABELLED > 0,
        NEW: np.zeros(len(fate), dtype=bool),
    }
    added = int((noisy.origin == INVENTED).sum())
    return {name: np.concatenate([of, np.full(added, name == NEW)]) for name, of in of_clean.items()}


def split_choices(dataset: Dataset, store: Store) -> dict[str, SplitSpec]:
    """Splits by a label: the dataset's own, then those of studies that were made of it."""
    choices = {DEFAULT_SET: default_split(dataset)}
    for study in store.studies():
        data = store.job_of_run(study.run_ids[0]).spec.data
        if data.content_hash == dataset.content_hash and data.split not in choices.values():
            choices[f"as in study {study.name}"] = data.split
    return choices


def images_with(training: TrainingSet, shown: BoolArray) -> IntArray:
    """Rows in the training set of the images that have a shown box, in order."""
    return np.unique(training.image_index[shown])


def drawn_boxes(training: TrainingSet, row: int, shown: BoolArray) -> list[DrawnBox]:
    """The boxes of image `row` of the training set, largest first, so that small ones lie on top."""
    boxes = [_drawn_box(training, box, bool(shown[box])) for box in _boxes_of_image(training, row).tolist()]
    return sorted(boxes, key=lambda box: -box.width * box.height)


def _boxes_of_image(training: TrainingSet, row: int) -> IntArray:
    return np.flatnonzero(training.image_index == row)


def _drawn_box(training: TrainingSet, box: int, shown: bool) -> DrawnBox:
    noisy, clean = training.noisy, training.clean.boxes
    real = box < len(clean)
    after = int(noisy.row_after[box] if real else np.flatnonzero(noisy.origin == INVENTED)[box - len(clean)])
    fates = tuple(name for name, of_box in training.has_fate.items() if of_box[box]) or ("crowd",)
    was_label, label = (training.clean.classes[of_box[box]] for of_box in training.classes)
    left, top, right, bottom = (clean.xyxy[box] if after < 0 else noisy.boxes.xyxy[after]).tolist()
    iou = float(noisy.iou[after]) if MOVED in fates else None
    drops_above = float(training.drops_above[box]) if real and not clean.crowd[box] else None
    return DrawnBox(
        x=left,
        y=top,
        width=max(right - left, 0.0),
        height=max(bottom - top, 0.0),
        label=label,
        was_label=was_label,
        fates=fates,
        was_xyxy=tuple(clean.xyxy[box].tolist()) if MOVED in fates else None,
        iou=iou,
        drops_above=drops_above,
        shown=shown,
        story=_story(was_label, label, fates, iou, drops_above),
    )


def _story(was_label: str, label: str, fates: Sequence[str], iou: float | None, drops_above: float | None) -> str:
    """What became of a box: 'hat: moved, IoU 0.71 with the clean box; relabelled, was cup; goes missing above 80 %'."""
    told = {
        KEPT: "kept as it was",
        DROPPED: "dropped, training sees background here",
        MOVED: f"moved, IoU {iou or 0:.2f} with the clean box",
        RELABELLED: f"relabelled, was {was_label}",
        NEW: "invented, no such object is here",
        "crowd": "a crowd region, never trained on and never damaged",
    }
    when = "" if drops_above is None else f"; goes missing above {percent(round(drops_above, 3))}"
    return f"{label}: " + "; ".join(told[fate] for fate in fates) + when


def box_frame(boxes: Sequence[DrawnBox]) -> pd.DataFrame:
    """A row per box of an image: the damaged ones first, then in the order in which they would go missing."""
    rows = sorted(boxes, key=lambda box: (KEPT in box.fates, box.drops_above is None, box.drops_above or 0))
    return pd.DataFrame(
        {
            "class": [box.label for box in rows],
            "what happened": [_in_short(box) for box in rows],
            "missing above": ["–" if box.drops_above is None else f"{100 * box.drops_above:.1f} %" for box in rows],
            "size, px": [f"{box.width:.0f} x {box.height:.0f}" for box in rows],
        }
    )


def _in_short(box: DrawnBox) -> str:
    """'↔ moved, IoU 0.71', '≠ relabelled, was cup'."""
    more = {MOVED: f", IoU {box.iou or 0:.2f}", RELABELLED: f", was {box.was_label}"}
    return "; ".join(f"{BOX_STYLES[fate].sign} {fate}{more.get(fate, '')}".strip() for fate in box.fates)


def hit_frame(training: TrainingSet) -> pd.DataFrame:
    """What was really hit: a row for all, each class and each size; two columns for each kind that is used."""
    used = {step.kind for step in training.noisy.recipe.steps if step.rate > 0}
    columns: dict[str, dict[str, float | None]] = {}
    for row in hits(training.noisy):
        if row.kind not in used:
            continue
        line = columns.setdefault("all boxes" if row.group == "all" else f"{row.group} {row.name}", {})
        name = row.kind.replace("_", " ")
        line[name] = row.hit
        line[f"{name}, %"] = None if row.share is None else 100 * row.share
        if row.kind == "inaccurate":
            line["mean IoU"] = row.mean_iou
    return pd.DataFrame([{"boxes": group, **line} for group, line in columns.items()])


def caption(training: TrainingSet, row: int) -> str:
    """How many boxes of an image have which fate, in signs: '✓4 ✕2 ↔1'."""
    boxes = _boxes_of_image(training, row)
    number = {name: int(of_box[boxes].sum()) for name, of_box in training.has_fate.items()}
    return " ".join(
        [f"✓{number[KEPT]}", *(f"{BOX_STYLES[name].sign}{number[name]}" for name in FATES[2:] if number[name])]
    )


def counts_in_words(training: TrainingSet) -> str:
    """'Of 1,751 training boxes 1,226 stay as they are; 525 dropped. 12 of 885 images lose all they had.'"""
    number = {name: int(of_box.sum()) for name, of_box in training.has_fate.items()}
    total = int((~training.clean.boxes.crowd).sum())
    hit = [f"{number[name]:,} {name}" for name in FATES[2:] if number[name]]
    told = f"; {', '.join(hit)}" if hit else ""
    lost, images = emptied_images(training.noisy), count(len(training.clean.images), "image")
    return (
        f"Of {count(total, 'training box', 'training boxes')} {number[KEPT]:,} stay as they are{told}. "
        f"{lost:,} of {images} lose all they had."
    )


def recipe_text(recipe: NoiseRecipe) -> str:
    """The recipe as YAML, as `noisedash noise apply --recipe` and a study file take it, without steps of rate 0."""
    steps = [step.model_dump(mode="json") for step in recipe.steps if step.rate > 0]
    return str(yaml.safe_dump({"steps": steps}, sort_keys=False))
