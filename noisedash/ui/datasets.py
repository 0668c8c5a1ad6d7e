"""Choosing a dataset, drawing the built-in one, adding one from a folder, and what it holds."""

import streamlit as st

from noisedash.datasets.dataset import Dataset
from noisedash.ui.layout import empty_state
from noisedash.ui.services import dataset, datasets

BUILT_IN = "indoor"


def choose_dataset() -> Dataset | None:
    """The dataset that is chosen, held in the address; None while there is none, with the way to get one."""
    present = datasets().present()
    names = [BUILT_IN, *(name for name in present if name != BUILT_IN)]
    name = st.selectbox("Dataset", names, key="dataset", bind="query-params")
    if name in present:
        return dataset(name)
    draw_it(name)
    return None


def draw_it(name: str) -> None:
    """Offer to draw a built-in dataset."""
    empty_state(
        f"The built-in dataset {name} is not drawn yet",
        "2,213 indoor scenes with seven classes, in the spirit of the paper's Indoor set. Drawing takes less than a "
        "minute, once; nothing is downloaded.",
    )
    if st.button("Draw it now", type="primary"):
        with st.spinner("Drawing 2,213 scenes, once …"):
            datasets().get(name)
        st.rerun()
