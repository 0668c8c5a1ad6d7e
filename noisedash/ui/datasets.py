"""Choosing a dataset, drawing the built-in one, adding one from a folder, and what it holds."""

from pathlib import Path

import pandas as pd
import streamlit as st

from noisedash.datasets.checks import Quartiles, Report
from noisedash.datasets.dataset import Dataset
from noisedash.ui.layout import empty_state, one_sentence_errors, plain
from noisedash.ui.services import dataset, datasets
from noisedash.ui.text import count

BUILT_IN = "indoor"
_ADDED = "added-dataset"
ABOUT_BUILT_IN = (
    "2,213 drawn indoor scenes with seven classes, in the spirit of the paper's Indoor set. Drawing takes less than a "
    "minute, once; nothing is downloaded."
)


def dataset_names() -> list[str]:
    """All datasets, the built-in one first, whether it is drawn or not."""
    return [BUILT_IN, *(name for name in datasets().present() if name != BUILT_IN)]


def present_dataset(name: str) -> Dataset | None:
    """The dataset; None for a built-in one that is not drawn yet."""
    return dataset(name) if name in datasets().present() else None


def choose_dataset() -> Dataset | None:
    """The dataset that is chosen, held in the address; None, with the way to get it, while it is not there."""
    name = st.selectbox("Dataset", dataset_names(), key="dataset", bind="query-params")
    found = present_dataset(name)
    if found is None:
        empty_state(f"The built-in dataset {name} is not drawn yet", ABOUT_BUILT_IN)
        if st.button("Draw it now", type="primary"):
            draw(name)
            st.rerun()
    return found


def draw(name: str) -> None:
    """Draw a built-in dataset while the person waits."""
    with st.spinner("Drawing 2,213 scenes, once …", show_time=True):
        datasets().get(name)


def show_report(name: str) -> None:
    """Table 1 of the paper for a dataset, its classes, and what registration found wrong."""
    if name not in datasets().present():
        st.markdown(ABOUT_BUILT_IN)
        return
    report = datasets().report(name)
    st.dataframe(table_1(report), hide_index=True, alt="Table 1 of the paper for this dataset.")
    classes = class_table(report)
    st.dataframe(classes, hide_index=True, height=_height(classes), alt="Instances, images and sizes of each class.")
    found = sum(report.problem_count.values())
    if not found:
        st.markdown("Nothing was found wrong with it.")
        return
    by_severity = ", ".join(
        count(number, severity.value) for severity, number in report.problem_count.items() if number
    )
    st.markdown(f"Found when it was added: {by_severity}.")
    problems = problem_table(report)
    st.dataframe(problems, hide_index=True, height=_height(problems), alt="What is wrong, with file and box.")


def show_add() -> None:
    """A form that registers a folder or file of this machine."""
    with st.form("add-dataset", border=False):
        st.markdown(
            "**Add a dataset** of this machine: PASCAL VOC (a folder) or COCO (a JSON file). Nothing is copied."
        )
        path_column, name_column, button_column = st.columns([3, 1.5, 1], vertical_alignment="bottom")
        path = path_column.text_input("Folder or file", placeholder="/data/VOC2012", max_chars=4096)
        name = name_column.text_input("Name", placeholder="voc2012", max_chars=64)
        if button_column.form_submit_button("Add", width="stretch"):
            with one_sentence_errors(), st.spinner("Reading annotations and checking every image …", show_time=True):
                datasets().add(Path(path).expanduser(), name)
                st.session_state[_ADDED] = name
                st.rerun()


def choose_added(key: str) -> None:
    """Let the widget of that key, yet to be drawn, choose the dataset that was just added, and say what it holds."""
    name = st.session_state.pop(_ADDED, None)
    if name is None:
        return
    st.session_state[key] = name
    table = datasets().report(name).table
    images, instances = count(table.images, "image"), count(table.instances, "instance")
    st.success(plain(f"Added {name}: {images} with {instances} of {count(table.classes, 'class', 'classes')}."))


def table_1(report: Report) -> pd.DataFrame:
    """The paper's Table 1 and the sizes of boxes, one row."""
    table = report.table
    splits = [f"{name or 'no split'} {number:,}" for name, number in table.images_of_split.items()]
    return pd.DataFrame(
        {
            "dataset": [report.name],
            "format": [report.format],
            "images": [table.images],
            "instances": [table.instances],
            "classes": [table.classes],
            "images without boxes": [table.images_without_boxes],
            "box size, px: quartiles": [_in_words(table.size_px)],
            "splits": [", ".join(splits)],
        }
    )


def class_table(report: Report) -> pd.DataFrame:
    """A row per class, the most frequent first."""
    rows = sorted(report.table.per_class, key=lambda row: -row.instances)
    return pd.DataFrame(
        {
            "class": [row.name for row in rows],
            "instances": [row.instances for row in rows],
            "images": [row.images for row in rows],
            "box size, px: quartiles": [_in_words(row.size_px) for row in rows],
        }
    )


def problem_table(report: Report) -> pd.DataFrame:
    """What was found wrong, as far as it was kept."""
    return pd.DataFrame(
        {
            "severity": [problem.severity.value for problem in report.problems],
            "file": [problem.file for problem in report.problems],
            "box": pd.array([problem.box for problem in report.problems], dtype="Int64"),
            "what": [problem.message for problem in report.problems],
        }
    )


def _height(table: pd.DataFrame) -> int:
    """High enough for a short table; a long one scrolls."""
    return 38 + 35 * min(max(len(table), 1), 7)


def _in_words(sizes: Quartiles | None) -> str:
    return "–" if sizes is None else f"{sizes.lower:.0f} / {sizes.median:.0f} / {sizes.upper:.0f}"
