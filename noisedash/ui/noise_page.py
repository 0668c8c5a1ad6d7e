"""The Noise page: choose dataset, rate and image; see what training sees."""

from dataclasses import dataclass

import numpy as np
import streamlit as st
from numpy.typing import NDArray

from noisedash.datasets.dataset import Dataset
from noisedash.ui import noise
from noisedash.ui.components.elements import Cell, Picture, box_viewer, gallery
from noisedash.ui.datasets import choose_dataset
from noisedash.ui.images import image_url
from noisedash.ui.noise import Filter, TrainingSet
from noisedash.ui.services import store
from noisedash.ui.text import count, percent

CELLS = 24
VIEWER_WIDTH, CELL_WIDTH = 1280, 192


@dataclass(frozen=True)
class Chosen:
    """What the controls say."""

    dataset: Dataset
    training: TrainingSet
    filter: Filter


def render() -> None:
    """The whole page below its heading."""
    dataset = choose_dataset()
    if dataset is None:
        return
    chosen = _controls(dataset)
    st.markdown(noise.counts_in_words(chosen.training, chosen.filter.rate))
    shown = chosen.filter.shown(chosen.training)
    rows = noise.images_with(chosen.training, shown)
    if len(rows) == 0:
        st.info("No image has such a box: choose other classes, another fate or another rate.")
        return
    row = _picked_row(chosen.training, rows)
    _viewer(chosen, row, rows, shown)
    _gallery(chosen, row, rows)


def _controls(dataset: Dataset) -> Chosen:
    splits = noise.split_choices(dataset, store())
    first, second, third, fourth = st.columns([3, 3, 2.4, 1.6])
    name = first.selectbox("Training set", list(splits), key="set", bind="query-params")
    classes = second.multiselect(
        "Classes", dataset.classes, key="class", bind="query-params", placeholder="all classes"
    )
    fate = third.selectbox("Boxes", noise.FATES, key="fate", bind="query-params")
    seed = fourth.number_input("Noise seed", 0, 1_000_000, 0, key="noise-seed", bind="query-params")
    rate = st.slider("Missing labels", 0, 100, 50, format="%d %%", key="rate", bind="query-params") / 100
    class_ids = tuple(dataset.classes.index(class_name) for class_name in classes)
    return Chosen(dataset, noise.training_set(dataset, splits[name], seed), Filter(class_ids, fate, rate))


def _picked_row(training: TrainingSet, rows: NDArray[np.int64]) -> int:
    """The training row of the image that the address names; the first that passes the filter where it names none."""
    wanted = st.query_params.get("image", "")
    full_row = int(wanted) if wanted.isdecimal() and len(wanted) < 10 else -1
    found = np.flatnonzero(training.full_row == full_row)
    return int(found[0]) if len(found) else int(rows[0])


def _pick(full_row: int) -> None:
    st.query_params["image"] = str(full_row)


def _viewer(chosen: Chosen, row: int, rows: NDArray[np.int64], shown: NDArray[np.bool_]) -> None:
    training, rate = chosen.training, chosen.filter.rate
    images, full_row = training.train.images, int(training.full_row[row])
    boxes = noise.drawn_boxes(training, row, shown)
    left, right = st.columns([3, 1.5], gap="medium")
    with left:
        picture = Picture(
            image_url(chosen.dataset.name, full_row, VIEWER_WIDTH, chosen.dataset.content_hash),
            int(images.width[row]),
            int(images.height[row]),
            f"Image {images.file[row]} with {count(len(boxes), 'annotated object')}",
        )
        box_viewer(picture, boxes, rate, "Point at a box to see when it goes. Double-click or Ctrl and wheel zoom.")
    with right:
        st.text(images.file[row])
        _steps(training, row, rows)
        st.markdown(f"At {percent(rate)} training sees the solid boxes only. The test set stays clean.")
        st.dataframe(
            noise.box_frame(boxes, rate),
            hide_index=True,
            column_config=_BOX_COLUMNS,
            height=min(38 + 35 * max(len(boxes), 1), 388),
            alt="The boxes of this image, the first to be dropped first.",
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
    dropped = training.dropped(chosen.filter.rate)
    cells = []
    for shown_row in rows[(number - 1) * CELLS : number * CELLS].tolist():
        gone = int(dropped[training.train.boxes_of_image[shown_row]].sum())
        total = len(training.train.boxes_of_image[shown_row])
        full_row = int(training.full_row[shown_row])
        url = image_url(chosen.dataset.name, full_row, CELL_WIDTH, chosen.dataset.content_hash)
        name = training.train.images.file[shown_row]
        cells.append(Cell(full_row, url, name, f"{total - gone} kept, {gone} dropped"))
    gallery(cells, int(training.full_row[row]), _pick)


_BOX_COLUMNS = {"dropped above": st.column_config.NumberColumn(format="%.1f %%")}
