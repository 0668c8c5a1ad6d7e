"""The two elements, ready to be placed: a picture with its boxes, and a gallery to choose a picture from."""

from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass

import streamlit as st

from noisedash.figures.style import BOX_STYLES
from noisedash.ui.components import source

_boxes = st.components.v2.component(
    "noisedash_boxes", html=source("boxes.html"), css=source("boxes.css"), js=source("boxes.js")
)
_gallery = st.components.v2.component(
    "noisedash_gallery", html=source("gallery.html"), css=source("gallery.css"), js=source("gallery.js")
)


@dataclass(frozen=True)
class DrawnBox:
    """A box where training sees it, or saw it last, in pixels of the original image; and its history."""

    x: float
    y: float
    width: float
    height: float
    label: str
    was_label: str
    """The clean class."""
    fates: tuple[str, ...]
    """Names of BOX_STYLES; more than one where a box was both moved and relabelled."""
    was_xyxy: tuple[float, ...] | None
    """The clean corners of a box that was moved."""
    iou: float | None
    """Of a box that was moved: its IoU with the clean one."""
    drops_above: float | None
    """The box is dropped at every missing rate above this one; None for one that never is."""
    shown: bool
    """False where a filter hides it."""
    story: str
    """All of this in a sentence."""


@dataclass(frozen=True)
class Picture:
    """An image by the address of its thumbnail; width and height are the original's, in pixels."""

    url: str
    width: int
    height: int
    alt: str


@dataclass(frozen=True)
class Cell:
    """One picture of the gallery."""

    row: int
    url: str
    name: str
    caption: str


def box_viewer(picture: Picture, boxes: Sequence[DrawnBox], missing_rate: float, hint: str) -> None:
    """The picture with its boxes and their histories; zoom, layers and hover work without the server."""
    data = {
        **asdict(picture),
        "boxes": [asdict(box) for box in boxes],
        "styles": {fate: asdict(style) for fate, style in BOX_STYLES.items()},
        "rate": missing_rate,
        "hint": hint,
    }
    _boxes(key="box-viewer", data=data)


def gallery(cells: Sequence[Cell], chosen: int, on_picked: Callable[[int], None]) -> None:
    """Pictures to choose from; `on_picked` gets the row before the page is drawn again."""

    def picked() -> None:
        row = st.session_state["gallery"]["picked"]
        if row is not None:
            on_picked(row)

    _gallery(key="gallery", data={"cells": [asdict(cell) for cell in cells], "chosen": chosen}, on_picked_change=picked)
