"""The Noise page: choose dataset, noise and image; see what training sees, and what was really hit."""

from dataclasses import dataclass

import numpy as np
import streamlit as st
from numpy.typing import NDArray

from noisedash.datasets.dataset import Dataset
from noisedash.noise_spec import NoiseRecipe
from noisedash.ui import noise
from noisedash.ui.components.elements import Cell, Picture, box_viewer, gallery
from noisedash.ui.datasets import choose_dataset
from noisedash.ui.images import image_url
from noisedash.ui.layout import one_sentence_errors
from noisedash.ui.noise import Filter, TrainingSet
from noisedash.ui.noise_controls import choose_recipe
from noisedash.ui.services import store
from noisedash.ui.text import count

CELLS = 24
VIEWER_WIDTH, CELL_WIDTH = 1280, 192


@dataclass(frozen=True)
class Chosen:
    """What the controls say."""

    dataset: Dataset
    training: TrainingSet
    filter: Filter
    recipe: NoiseRecipe


def render() -> None:
    """The whole page below its heading."""
    dataset = choose_dataset()
    if dataset is None:
        return
    with one_sentence_errors():
        _show(_controls(dataset))


def _show(chosen: Chosen) -> None:
    st.markdown(noise.counts_in_words(chosen.training))
    shown = chosen.filter.shown(chosen.training)
    rows = noise.images_with(chosen.training, shown)
    if len(rows) == 0:
        st.info("No image has such a box: choose other classes, another fate or another rate.")
    else:
        row = _picked_row(chosen.training, rows)
        _viewer(chosen, row, rows, shown)
        _gallery(chosen, row, rows)
    _hits(chosen)


def _controls(dataset: Dataset) -> Chosen:
    splits = noise.split_choices(dataset, store())
    first, second, third, fourth = st.columns([3, 3, 2.4, 1.6])
    name = first.selectbox("Training set", list(splits), key="set", bind="query-params")
    classes = second.multiselect(
        "Classes", dataset.classes, key="class", bind="query-params", placeholder="all classes"
    )
    fate = third.selectbox("Boxes", noise.FATES, key="fate", bind="query-params")
    seed = fourth.number_input("Noise seed", 0, 1_000_000, 0, key="noise-seed", bind="query-params")
    recipe = choose_recipe(dataset.classes, seed)
    class_ids = tuple(dataset.classes.index(class_name) for class_name in classes)
    training = noise.training_set(dataset, splits[name], recipe)
    return Chosen(dataset, training, Filter(class_ids, fate), recipe)


def _picked_row(training: TrainingSet, rows: NDArray[np.int64]) -> int:
    """The training row of the image that the address names; the first that passes the filter where it names none."""
    wanted = st.query_params.get("image", "")
    full_row = int(wanted) if wanted.isdecimal() and len(wanted) < 10 else -1
    found = np.flatnonzero(training.full_row == full_row)
    return int(found[0]) if len(found) else int(rows[0])


def _pick(full_row: int) -> None:
    st.query_params["image"] = str(full_row)


def _viewer(chosen: Chosen, row: int, rows: NDArray[np.int64], shown: NDArray[np.bool_]) -> None:
    training = chosen.training
    images, full_row = training.clean.images, int(training.full_row[row])
    boxes = noise.drawn_boxes(training, row, shown)
    left, right = st.columns([3, 1.7], gap="medium")
    with left:
        picture = Picture(
            image_url(chosen.dataset.name, full_row, VIEWER_WIDTH, chosen.dataset.content_hash),
            int(images.width[row]),
            int(images.height[row]),
            f"Image {images.file[row]} with {count(len(boxes), 'box', 'boxes')}",
        )
        hint = "Point at a box for its history. Double-click or Ctrl and wheel zoom."
        box_viewer(picture, boxes, chosen.recipe.missing_rate, hint)
    with right:
        st.text(images.file[row])
        _steps(training, row, rows)
        st.markdown("Training sees all boxes but the ✕ dropped ones. The test set stays clean.")
        st.dataframe(
            noise.box_frame(boxes),
            hide_index=True,
            height=min(38 + 35 * max(len(boxes), 1), 424),
            alt="The boxes of this image and what became of them, the damaged ones first.",
        )


def _steps(training: TrainingSet, row: int, rows: NDArray[np.int64]) -> None:
    place = int(np.searchsorted(rows, row))
    before, after = rows[place - 1], rows[int(np.searchsorted(rows, row, side="right")) % len(rows)]
    with st.container(horizontal=True, vertical_alignment="center"):
        st.button("Previous image", on_click=_pick, args=(int(training.full_row[before]),), shortcut="p")
        st.button("Next image", on_click=_pick, args=(int(training.full_row[after]),), shortcut="n")
        st.text(f"{min(place + 1, len(rows)):,} of {len(rows):,}")


def _gallery(chosen: Chosen, row: int, rows: NDArray[np.int64]) -> None:
    training = chosen.training
    st.subheader(f"{count(len(rows), 'image')} with such boxes", anchor=False)
    pages = -(-len(rows) // CELLS)
    own_page = min(int(np.searchsorted(rows, row)) // CELLS + 1, pages)
    # A key for each page of the chosen image: stepping to an image on another page turns the gallery to it.
    number = st.pagination(pages, default=own_page, key=f"page-{pages}-{own_page}") if pages > 1 else 1
    cells = []
    for shown_row in rows[(number - 1) * CELLS : number * CELLS].tolist():
        full_row = int(training.full_row[shown_row])
        url = image_url(chosen.dataset.name, full_row, CELL_WIDTH, chosen.dataset.content_hash)
        cells.append(Cell(full_row, url, training.clean.images.file[shown_row], noise.caption(training, shown_row)))
    gallery(cells, int(training.full_row[row]), _pick)


def _hits(chosen: Chosen) -> None:
    """The report: what was really hit, and the recipe to take away."""
    frame = noise.hit_frame(chosen.training)
    if len(frame) == 0:
        return
    st.subheader("What was really hit", anchor=False)
    st.markdown(
        "Missing and extra boxes are shares of all training boxes, the other two of those that are left. "
        "Small is below 32² pixels, large from 96² on."
    )
    shares = {name: st.column_config.NumberColumn(format="%.1f %%") for name in map(str, frame) if name.endswith("%")}
    column_config = {**shares, "mean IoU": st.column_config.NumberColumn(format="%.2f")}
    st.dataframe(frame, hide_index=True, column_config=column_config, alt="What each step hit, per class and size.")
    with st.expander("This noise as a file"):
        st.markdown(
            "Save it as `recipe.yaml` for `noisedash noise apply DATASET --recipe recipe.yaml --out FOLDER`, or put it "
            "below `base:` and `noise:` in a study file."
        )
        st.code(noise.recipe_text(chosen.recipe), language="yaml")
