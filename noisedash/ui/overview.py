"""The Overview page: what NoiseDash is for, what the paper found, and what this installation has."""

import streamlit as st

from noisedash import published
from noisedash.figures import curves
from noisedash.jobs.store import Store
from noisedash.records import JobState
from noisedash.ui import machine, results
from noisedash.ui.jobs import worker_line
from noisedash.ui.layout import chart, one_sentence_errors, page, plain

_STEPS = (
    ("launch", "Launch", "Choose a dataset, how many labels go missing, and the losses that compete."),
    ("queue", "Queue", "Watch the runs train; cancel, pause or retry them."),
    ("results", "Results", "Read off what the missing labels cost each loss, class by class."),
    ("noise", "Noise", "See on any image which boxes a rate takes away."),
    ("losses", "Losses", "Understand why: the loss, its gradient, and where it stops to care."),
)


def render(store: Store) -> None:
    """The whole page below its heading."""
    _links()
    left, right = st.columns(2, gap="large")
    with left:
        _paper()
    with right, one_sentence_errors():
        _newest(store)
    machine.render()


def _links() -> None:
    columns = st.columns(len(_STEPS), gap="small")
    for column, (name, title, sentence) in zip(columns, _STEPS, strict=True):
        with column.container(border=True, height="stretch"):
            st.page_link(page(name), label=title, icon=":material/arrow_forward:")
            st.markdown(sentence)


def _paper() -> None:
    st.subheader("What the paper found", anchor=False)
    titles = {dataset.title: name for name, dataset in published.DATASETS.items()}
    title = st.segmented_control(
        "Dataset of the paper", list(titles), default="PASCAL VOC 2012", required=True, key="paper", bind="query-params"
    )
    name = titles[title or "PASCAL VOC 2012"]
    chart(
        curves.published_over_rate(published.curves_over_noise(name)),
        "paper-noise",
        "mAP over the share of missing labels, cross-entropy against focal loss, as published.",
    )
    dataset = published.dataset(name)
    st.markdown(
        f"mAP@.50 at a score threshold of .3, one run each, on {dataset.images:,} images with "
        f"{dataset.instances:,} instances (Adhikari et al., SAFECOMP 2021 Workshops, Figure 3)."
    )


def _newest(store: Store) -> None:
    st.subheader("Your newest study", anchor=False)
    counts = store.counts()
    worker_line(store, waiting=counts[JobState.QUEUED])
    studies = store.studies()
    if not studies:
        _first_step()
        return
    found = results.find(store, [studies[0].name])
    st.markdown(f"**{plain(studies[0].name)}**: {plain(results.completeness(found))}")
    if found.rows.empty:
        st.page_link(page("queue"), label="Watch it train", icon=":material/arrow_forward:")
        return
    threshold = found.thresholds[0]
    points = found.points_at(threshold)
    figure = curves.ap_over_rate(points, "sd").update_yaxes(range=curves.shared_range([points]))
    chart(figure, "newest", "mAP over the share of missing labels of your newest study.")
    st.markdown(f"Detections that score {threshold:g} or more. {results.seeds_in_words(points, 'sd')}")
    link = {"studies": studies[0].name}
    st.page_link(page("results"), label="All its results", icon=":material/arrow_forward:", query_params=link)


def _first_step() -> None:
    with st.container(border=True):
        st.markdown(
            "**Nothing yet.** The quick look trains 30 small runs on a built-in dataset that is drawn on first use: "
            "five losses, clean labels against half of them missing, three seeds. No download, no account."
        )
        if st.button("Plan the quick look", type="primary", icon=":material/rocket_launch:"):
            st.switch_page(page("launch"))
