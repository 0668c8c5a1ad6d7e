"""The Launch page: a form filled by a preset, what it will cost, and the button."""

import uuid
from dataclasses import dataclass

import streamlit as st

from noisedash.datasets.dataset import Dataset
from noisedash.datasets.indoor import CLASSES
from noisedash.errors import NoiseDashError
from noisedash.jobs.protocol import Submission
from noisedash.studies.checks import check_runs
from noisedash.studies.study import Study
from noisedash.ui import plan
from noisedash.ui.datasets import BUILT_IN, choose_added, dataset_names, draw, present_dataset, show_add, show_report
from noisedash.ui.layout import one_sentence_errors, page, plain
from noisedash.ui.network import choose_network
from noisedash.ui.noise_controls import choose_beside_missing
from noisedash.ui.plan import Cost, Grid, Preset
from noisedash.ui.services import store, weights
from noisedash.ui.settings_form import settings_form
from noisedash.ui.text import count, duration

_RATES = tuple(f"{percentage} %" for percentage in range(0, 100, 10))
_GAMMAS = tuple(str(gamma) for gamma in range(9))


@dataclass(frozen=True)
class Filled:
    """A filled-in form."""

    dataset_name: str
    dataset: Dataset | None
    weights_name: str
    study: Study


def render() -> None:
    """The whole page below its heading."""
    chosen = st.segmented_control(
        "Preset",
        list(plan.PRESETS),
        default="quick",
        required=True,
        format_func=plan.PRESETS.__getitem__,
        key="preset",
        bind="query-params",
    )
    planned = plan.preset(chosen or "quick", weights())
    st.markdown(planned.note)
    if planned.absent_weights:
        st.warning(
            f"The weights {planned.absent_weights} are not at hand: the runs start from scratch, which takes more "
            "steps than this preset has."
        )
    form, summary = st.columns([2.2, 1], gap="large")
    with form:
        filled = _form(planned)
    with summary:
        if filled is not None:
            _summary(filled)


def _form(planned: Preset) -> Filled | None:
    """The widgets; None, with one sentence, where what they say makes no study."""
    try:
        return _filled(planned)
    except NoiseDashError as error:
        st.error(plain(str(error)), icon=":material/error:")
        return None


def _filled(planned: Preset) -> Filled:
    key = planned.name
    dataset_name, dataset = _dataset(planned)
    detector, start = choose_network(planned, weights(), key)
    chosen = _grid(planned, key)
    noise = choose_beside_missing(_classes(dataset))
    steps_column, batch_column, seeds_column = st.columns(3)
    steps = steps_column.number_input(
        "Steps", 1, 10_000_000, planned.base.training.steps, key=f"{key}-steps", persist_state="session"
    )
    batch = batch_column.number_input(
        "Batch", 1, 4096, planned.base.training.batch_size, key=f"{key}-batch", persist_state="session"
    )
    seeds = seeds_column.number_input("Seeds", 1, 100, planned.grid.seeds, key=f"{key}-seeds", persist_state="session")
    with st.expander("Settings that move the result", icon=":material/tune:"):
        first, second = st.columns(2, vertical_alignment="bottom")
        kinds = ["rmsprop_tf", "sgd", "adamw"]
        kind = first.selectbox(
            "Optimiser",
            kinds,
            kinds.index(planned.base.optimizer.kind),
            key=f"{key}-optimizer",
            persist_state="session",
        )
        own_noise = second.toggle(
            "Noise per seed",
            planned.grid.own_noise,
            key=f"{key}-noise",
            help="On: each seed draws its own noise. Off: one draw serves all seeds, as in the paper.",
            persist_state="session",
        )
        base = plan.base_run(planned, dataset, detector, start, kind, weights()).model_copy(update={"noise": noise})
        is_by_weights = kind == planned.base.optimizer.kind and base.optimizer != planned.base.optimizer
        values = settings_form(base, f"{key}-{kind}{f'-{start}' if is_by_weights else ''}")
    name = st.text_input("Name of the study", default_name(planned, dataset_name), key=f"{key}-{dataset_name}-name")
    values |= {"training.steps": steps, "training.batch_size": batch}
    grid = Grid(chosen.cross_entropy, chosen.gammas, chosen.missing_rates, seeds, own_noise)
    study = plan.planned_study(name, planned, base, grid, plan.changed(base, values), dataset_name)
    check_runs(study.specs, _classes(dataset), weights())
    return Filled(dataset_name, dataset, start, study)


def default_name(planned: Preset, dataset_name: str) -> str:
    """The study's name unless the person gives another; the same as the command line's."""
    return planned.name if dataset_name == planned.dataset else f"{planned.name}-{dataset_name}"


def _dataset(planned: Preset) -> tuple[str, Dataset | None]:
    choose_added("dataset")
    names = dataset_names()
    preferred = planned.dataset if planned.dataset in names else BUILT_IN
    name = st.selectbox("Dataset", names, names.index(preferred), key="dataset", bind="query-params")
    dataset = present_dataset(name)
    with st.expander("What it holds, what is wrong with it, and adding another", icon=":material/folder_open:"):
        show_report(name)
        show_add()
    return name, dataset


def _classes(dataset: Dataset | None) -> tuple[str, ...]:
    """The dataset's classes; of the built-in one also before it is drawn."""
    return CLASSES if dataset is None else dataset.classes


def _grid(planned: Preset, key: str) -> Grid:
    rates_text = st.multiselect(
        "Missing labels in training",
        _RATES,
        [f"{100 * rate:g} %" for rate in planned.grid.missing_rates],
        accept_new_options=True,
        key=f"{key}-rates",
        help="Percentages; others may be typed.",
        persist_state="session",
    )
    ce_column, gamma_column = st.columns([1, 3], vertical_alignment="bottom")
    cross_entropy = ce_column.checkbox(
        "Cross-entropy", planned.grid.cross_entropy, key=f"{key}-ce", persist_state="session"
    )
    gammas_text = gamma_column.multiselect(
        "Focal loss, γ",
        _GAMMAS,
        [f"{gamma:g}" for gamma in planned.grid.gammas],
        accept_new_options=True,
        key=f"{key}-gammas",
        help="Any number from 0 on; others may be typed.",
        persist_state="session",
    )
    return Grid(cross_entropy, plan.numbers(gammas_text, "γ"), plan.rates(rates_text), 1, False)


def _summary(filled: Filled) -> None:
    with st.container(border=True, key="summary"), one_sentence_errors():
        cost = plan.cost(filled.study, filled.dataset, store())
        st.metric("Runs", f"{len(filled.study.specs):,}")
        st.markdown(plain(plan.study_in_words(filled.study, filled.weights_name)))
        st.markdown(cost_in_words(cost))
        if not store().workers():
            st.warning("No worker is running: start one with `noisedash worker` in a terminal, before or after this.")
        if filled.dataset is None:
            st.info("The built-in dataset is drawn first, once; that takes less than a minute.")
        if st.button("Launch", type="primary", icon=":material/rocket_launch:", width="stretch", key="launch"):
            if filled.dataset is None:
                draw(filled.dataset_name)
                st.session_state["launch-drawn"] = True
                st.rerun()
            _submit(filled.study)
        elif st.session_state.pop("launch-drawn", False):
            _submit(filled.study)
        _submitted(filled.study)


def cost_in_words(cost: Cost) -> str:
    """What is new, what is known, and how long the rest takes."""
    known = []
    if cost.trained:
        known.append(f"{cost.trained:,} trained already")
    if cost.waiting:
        known.append(f"{cost.waiting:,} in the queue already")
    parts = ", ".join([f"**{cost.new:,} new**", *known])
    if not cost.new + cost.waiting:
        return f"{parts}: nothing is left to train."
    source = {
        "measured": "from earlier runs of this network",
        "scaled": "from earlier runs of other networks",
        "formula": "a guess for a CPU; runs will correct it",
    }[cost.estimate.source]
    whole, first = duration(cost.estimate.seconds), duration(cost.estimate.first_run_s)
    return f"{parts}.\n\nAbout **{whole}** on {count(cost.slots, 'slot')}, the first run after {first} ({source})."


def _submit(study: Study) -> None:
    """Queue the study. The nonce makes a double click one submission."""
    nonce = st.session_state.setdefault("nonce", uuid.uuid4().hex)
    submission = store().submit_study(study, nonce=nonce)
    st.session_state["nonce"] = uuid.uuid4().hex
    st.session_state["launched"] = (tuple(spec.id for spec in study.specs), submission)


def _submitted(study: Study) -> None:
    """What became of the last submission, while the form still says the same."""
    ids, submission = st.session_state.get("launched", ((), None))
    if submission is None or ids != tuple(spec.id for spec in study.specs):
        return
    st.success(plain(submission_in_words(submission)), icon=":material/check_circle:")
    links = (("queue", "Watch it train", "study"), ("results", "See its results", "studies"))
    for name, label, parameter in links:
        st.page_link(
            page(name), label=label, icon=":material/arrow_forward:", query_params={parameter: submission.study_name}
        )


def submission_in_words(submission: Submission) -> str:
    """'Study quick: 30 runs queued, 4 known already.'"""
    parts = [f"{count(submission.new_jobs, 'run')} queued"]
    if submission.existing_jobs:
        parts.append(f"{submission.existing_jobs:,} known already")
    if submission.retried_jobs:
        parts.append(f"{submission.retried_jobs:,} queued again")
    return f"Study {submission.study_name}: {', '.join(parts)}."
