"""The pages without a browser: what they say and do for an empty home, a filled one, and bad input."""

import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import demo_store
import pytest
import yaml
from streamlit.testing.v1 import AppTest
from test_figures_probe import drawn

from noisedash.datasets.splits import default_split
from noisedash.datasets.voc import write_voc
from noisedash.errors import StoreError
from noisedash.jobs.protocol import WorkerKind
from noisedash.jobs.runfolder import newest_attempt
from noisedash.jobs.store import Store
from noisedash.noise_spec import noise_label
from noisedash.probe_records import save_probe
from noisedash.records import JobState
from noisedash.settings import current_settings
from noisedash.spec import FromScratch, FromWeights
from noisedash.studies.recipes import RECIPES, build_study
from noisedash.ui import noise_controls
from noisedash.ui.probe import rest_in_words
from noisedash.ui.services import dataset, weights
from noisedash.ui.text import run_label

ROOT = Path(__file__).resolve().parents[1]
PAGES = ("overview", "launch", "queue", "results", "noise", "losses", "paper", "run")
HEADINGS = {name: name.title() for name in PAGES} | {"overview": "NoiseDash"}


def open_page(name: str, **query: str) -> AppTest:
    app = AppTest.from_file(str(ROOT / "noisedash/ui/main.py"), default_timeout=30)
    app.query_params.update(query)
    return app.switch_page(f"../../pages/{name}.py").run()


def said(app: AppTest) -> str:
    """All that the page says in words."""
    elements = [*app.markdown, *app.text, *app.error, *app.warning, *app.info, *app.success, *app.subheader]
    return "\n".join(element.value for element in elements).replace("\\", "")


@pytest.mark.parametrize("name", PAGES)
def test_every_page_opens_on_an_empty_home(name: str) -> None:
    app = open_page(name)
    assert not app.exception
    assert not app.error
    assert app.title[0].value == HEADINGS[name]


@pytest.mark.parametrize("name", PAGES)
def test_every_page_opens_on_a_filled_home(name: str, filled: Store) -> None:
    app = open_page(name)
    assert not app.exception
    assert [error.value for error in app.error if "failed" not in error.value] == []


@pytest.mark.parametrize("name", PAGES)
def test_a_store_that_cannot_be_opened_is_one_sentence(name: str, tmp_path: Path, monkeypatch) -> None:
    (tmp_path / "file").write_text("no folder")
    monkeypatch.setenv("NOISEDASH_DB", f"sqlite:///{tmp_path}/file/noisedash.db")
    app = open_page(name)
    assert not app.exception
    assert len(app.error) == (name != "noise")


def test_a_database_of_nonsense_is_one_sentence(own_home: Path) -> None:
    own_home.mkdir()
    (own_home / "noisedash.db").write_bytes(b"no database at all" * 100)
    app = open_page("queue")
    assert not app.exception
    assert len(app.error) == 1
    assert "Traceback" not in app.error[0].value


def test_empty_states_say_the_way_on() -> None:
    assert "Nothing is queued" in said(open_page("queue"))
    assert "There is no study yet" in said(open_page("results"))
    assert "not drawn yet" in said(open_page("noise"))
    assert "Nothing yet" in said(open_page("overview"))


# Launch


def test_quick_is_the_command_lines_quick(filled: Store) -> None:
    rooms = dataset("rooms")
    at_hand = [record for record in weights().list() if record.name == RECIPES["quick"].weights]
    initial = FromWeights(sha256=at_hand[0].sha256) if at_hand else FromScratch()
    expected = build_study(RECIPES["quick"], "rooms", rooms.content_hash, default_split(rooms), initial)
    app = open_page("launch", dataset="rooms")
    app.button(key="launch").click().run()
    assert "Study quick-rooms:" in said(app)
    assert list(filled.study("quick-rooms").run_ids) == [spec.id for spec in expected.specs]


def test_changed_form_launches_what_it_says(filled: Store) -> None:
    app = open_page("launch", dataset="rooms", preset="Own grid")
    app.multiselect(key="own-rates").set_value(["0 %", "25"])
    app.multiselect(key="own-gammas").set_value(["2.5"])
    app.checkbox(key="own-ce").uncheck()
    app.number_input(key="own-seeds").set_value(2)
    app.number_input(key="own-steps").set_value(33)
    app.number_input(key="own-adamw-ssd_mobilenet_v1.class_prior").set_value(0.01)
    app.number_input(key="own-adamw-loss.alpha").set_value(0.25)
    app.text_input(key="own-rooms-name").set_value("mine")
    app.run()
    assert app.metric[0].value == "4"
    app.button(key="launch").click().run()
    specs = [job.spec for job in filled.jobs("mine")]
    assert sorted((spec.noise.missing_rate, spec.training.seed) for spec in specs) == [
        (0.0, 0), (0.0, 1), (0.25, 0), (0.25, 1),
    ]  # fmt: skip
    assert {spec.loss.gamma for spec in specs} == {2.5}
    assert {(spec.loss.alpha, spec.detector.class_prior, spec.training.steps) for spec in specs} == {(0.25, 0.01, 33)}


def test_noise_beside_the_missing_labels_is_launched_and_told(filled: Store) -> None:
    app = open_page("launch", dataset="rooms", preset="Own grid", wrong="20", **{"rate-who": "small boxes more"})
    app.slider(key="inaccurate").set_value(10)
    app.multiselect(key="own-rates").set_value(["0 %", "50 %"]).run()
    assert not app.error
    told = "0 and 50 % missing by size^-1, 10 % inaccurate, 20 % wrong class, at 0 % missing too"
    assert f"Training labels: {told}; each seed draws its own. The test set stays clean." in said(app)
    app.button(key="launch").click().run()
    noises = {
        (spec.noise.missing_rate, noise_label(spec.noise)) for spec in (job.spec for job in filled.jobs("own-rooms"))
    }
    assert noises == {
        (0, "10 % inaccurate, 20 % wrong class"),
        (0.5, "50 % missing by size^-1, 10 % inaccurate, 20 % wrong class"),
    }
    assert "missing by size^-1, 10 % inaccurate, 20 % wrong class" in filled.study("own-rooms").title
    frame = open_page("queue", study="own-rooms").dataframe[1].value
    assert set(frame["other noise"]) == {
        "10 % inaccurate, 20 % wrong class", "missing by size^-1, 10 % inaccurate, 20 % wrong class",
    }  # fmt: skip
    assert "network" not in frame


@pytest.mark.parametrize(
    ("network", "settings"),
    [
        ("ssd300_vgg16", {}),
        ("ssdlite320_mobilenet_v3_large", {"input_side": 160, "frozen_batch_norm": True}),
        ("retinanet_resnet50_fpn", {"input_side": 800}),
    ],
)
def test_every_network_is_launched_with_its_own_settings(network: str, settings: dict[str, int], filled: Store) -> None:
    app = open_page("launch", dataset="rooms", preset="Own grid")
    app.selectbox(key="own-network").set_value(network).run()
    assert app.selectbox(key=f"own-{network}-weights").options == ["scratch"]
    assert f"`noisedash weights import torchvision:{network}/coco`" in app.caption[0].value
    for name, value in settings.items():
        widgets = app.toggle if isinstance(value, bool) else app.number_input
        widgets(key=f"own-adamw-{network}.{name}").set_value(value)
    app.number_input(key=f"own-adamw-{network}.class_prior").set_value(0.05)
    app.run()
    assert not app.error
    app.button(key="launch").click().run()
    expected = {"kind": network, "class_prior": 0.05, **settings}
    for job in filled.jobs("own-rooms"):
        assert job.spec.detector.model_dump().items() >= expected.items()
        assert job.spec.initial == FromScratch()


def test_only_weights_that_fit_the_network_are_offered(filled: Store) -> None:
    app = open_page("launch", dataset="rooms")
    assert app.selectbox(key="quick-ssd_mobilenet_v1 x 0.25-weights").options == ["scratch", "indoor-micro"]
    app.selectbox(key="quick-depth").set_value(0.5).run()
    assert app.selectbox(key="quick-ssd_mobilenet_v1 x 0.5-weights").options == ["scratch"]
    assert not app.error


def test_learning_rates_of_architectures_go_by_the_weights_that_are_chosen(filled: Store) -> None:
    app = open_page("launch", dataset="rooms", preset="Architectures")
    app.selectbox(key="architectures-depth").set_value(0.25).run()
    assert 0.004 in [number.value for number in app.number_input]
    app.selectbox(key="architectures-ssd_mobilenet_v1 x 0.25-weights").set_value("indoor-micro").run()
    app.button(key="launch").click().run()
    assert not app.exception
    rates = {
        (job.spec.detector.kind, job.spec.initial.kind): job.spec.optimizer.learning_rate
        for job in filled.jobs("architectures-rooms")
    }
    assert rates.pop(("ssd_mobilenet_v1", "scratch")) == 0.004
    assert len(rates) == 4
    assert set(rates.values()) == {0.001}


@pytest.mark.parametrize(
    ("key", "value", "complaint"),
    [
        ("own-gammas", ["-1"], "-1"),
        ("own-gammas", ["many"], "'many' is no number"),
        ("own-rates", ["150"], "150 % is not between 0 and 100 %"),
        ("own-rates", [], "at least one missing rate"),
        ("own-adamw-thresholds", ["1.5"], "score_thresholds"),
    ],
)
def test_bad_input_is_one_sentence_and_launches_nothing(
    key: str, value: list[str], complaint: str, filled: Store
) -> None:
    app = open_page("launch", dataset="rooms", preset="Own grid")
    app.multiselect(key=key).set_value(value).run()
    assert not app.exception
    assert len(app.error) == 1
    assert complaint in said(app)
    assert "launch" not in [button.key for button in app.button]


def test_no_loss_at_all_is_one_sentence(filled: Store) -> None:
    app = open_page("launch", dataset="rooms", preset="Own grid")
    app.multiselect(key="own-gammas").set_value([])
    app.checkbox(key="own-ce").uncheck().run()
    assert "at least one loss" in said(app)


def test_name_that_is_none_is_one_sentence(filled: Store) -> None:
    app = open_page("launch", dataset="rooms")
    app.text_input(key="quick-rooms-name").set_value(" spaces ").run()
    app.button(key="launch").click().run()
    assert not app.exception
    assert "cannot be a study's name" in said(app)
    assert [study.name for study in filled.studies()] == ["demo"]


def test_name_is_shown_as_it_is_and_never_as_markdown(filled: Store) -> None:
    study = demo_store.demo_study("1" * 64, name="![x](http://far.example/y)", seeds=(0,))
    filled.submit_study(study)
    for name in ("overview", "queue", "results", "launch", "noise"):
        app = open_page(name)
        assert not app.exception
        assert not any("![x](" in element.value for element in [*app.markdown, *app.error, *app.warning])


def test_double_click_is_one_submission(filled: Store) -> None:
    app = open_page("launch", dataset="rooms", preset="Own grid")
    app.session_state["nonce"] = "once"
    app.button(key="launch").click().run()
    first = filled.studies()[0]
    app.session_state["nonce"] = "once"
    app.text_input(key="own-rooms-name").set_value("second-click")
    app.button(key="launch").click().run()
    assert filled.studies()[0] == first


def test_launch_counts_what_is_trained_already(filled: Store) -> None:
    app = open_page("launch", dataset="rooms")
    app.selectbox(key="quick-ssd_mobilenet_v1 x 0.25-weights").set_value("scratch").run()
    assert "0 new, 26 trained already, 4 in the queue already" in said(app).replace("*", "")
    app.number_input(key="quick-seeds").set_value(4).run()
    assert app.metric[0].value == "40"
    assert "10 new, 26 trained already" in said(app).replace("*", "")


def test_launch_shows_what_the_dataset_holds(filled: Store) -> None:
    app = open_page("launch", dataset="rooms")
    table = app.dataframe[0].value
    assert table["images"].tolist() == [12]
    assert table["classes"].tolist() == [7]


def test_dataset_that_is_added_is_chosen(filled: Store, tmp_path: Path) -> None:
    write_voc(dataset("rooms"), dataset("rooms").boxes, tmp_path / "voc", images="link")
    app = open_page("launch")
    app.text_input[0].set_value(str(tmp_path / "voc"))
    app.text_input[1].set_value("again")
    app.button[0].click().run()
    assert not app.error
    assert "Added again: 12 images" in said(app)
    assert app.selectbox(key="dataset").value == "again"


def test_folder_of_nothing_is_one_sentence(filled: Store, tmp_path: Path) -> None:
    (tmp_path / "nothing").mkdir()
    app = open_page("launch", dataset="rooms")
    app.text_input[0].set_value(str(tmp_path / "nothing"))
    app.text_input[1].set_value("void")
    app.button[0].click().run()
    assert not app.exception
    assert len(app.error) == 1


# Queue


def test_queue_says_how_far_a_study_is(filled: Store) -> None:
    app = open_page("queue", study="demo")
    assert "1 run failed: The loss is not finite at step 41" in said(app)
    frame = app.dataframe[1].value
    assert len(frame) == 30
    assert frame["state"].tolist().count("✓ done") == 26
    running = frame[frame["state"] == "▶ running"].iloc[0]
    assert running["step"] == f"376 / {demo_store.demo_study('0' * 64).specs[0].training.steps}"
    assert running["images/s"] == 330


def test_queue_warns_where_jobs_wait_and_nobody_works(filled: Store) -> None:
    filled.forget_worker("demo-worker")
    assert "No worker is running: 2 jobs will wait" in said(open_page("queue"))


def test_study_is_cancelled_and_retried_from_the_queue(filled: Store) -> None:
    app = open_page("queue")
    app.button(key="cancel-study").click().run()
    assert filled.counts("demo")[JobState.CANCELLED] == 2
    app.button(key="retry-study").click().run()
    assert filled.counts("demo")[JobState.QUEUED] == 3


def test_study_is_paused_resumed_and_given_a_priority(filled: Store) -> None:
    app = open_page("queue")
    app.button(key="pause-study").click().run()
    assert filled.counts("demo")[JobState.PAUSED] == 2
    app.button(key="resume-study").click().run()
    assert filled.counts("demo")[JobState.QUEUED] == 2
    app.number_input(key="priority-demo-0").set_value(3).run()
    app.button(key="priority-study").click().run()
    assert {job.priority for job in filled.jobs("demo", [JobState.QUEUED, JobState.RUNNING])} == {3}


def test_queue_shows_who_works_and_where(filled: Store) -> None:
    filled.see_worker("node-1", "gpubox", 1, 0, WorkerKind.NODE, "16 CPUs, 2 GPUs")
    running = filled.jobs("demo", [JobState.RUNNING])[0]
    filled.checkpointed(running.id, running.claims, 360)
    app = open_page("queue", study="demo", job=str(running.id))
    assert "1 worker, 2 slots" in said(app)
    assert "kept up to step 360" in said(app)
    who = app.dataframe[0].value
    assert who["what"].tolist() == ["worker", "node"]
    assert who["has"].tolist() == ["2 slots", "16 CPUs, 2 GPUs"]


def test_a_job_is_moved_and_cloned_from_the_queue(filled: Store) -> None:
    first, second = (job.id for job in filled.jobs("demo", [JobState.QUEUED]))
    app = open_page("queue", study="demo", job=str(second))
    app.button(key=f"move-First-{second}").click().run()
    assert [job.id for job in filled.jobs("demo", [JobState.QUEUED])] == [second, first]
    app.button(key=f"move-Down-{second}").click().run()
    assert [job.id for job in filled.jobs("demo", [JobState.QUEUED])] == [first, second]
    app.text_area(key=f"clone-text-{second}").set_value("steps")
    app.button(key=f"clone-button-{second}").click().run()
    assert "write KEY" in said(app).replace("\\", "")
    app.text_area(key=f"clone-text-{second}").set_value("steps=77\nloss.gamma=3")
    app.button(key=f"clone-button-{second}").click().run()
    assert not app.exception
    assert filled.jobs(f"job {second}, steps=77 loss.gamma=3")[0].spec.training.steps == 77
    assert app.selectbox(key="study").value == f"job {second}, steps=77 loss.gamma=3"


def test_a_page_comes_back_when_the_database_does(filled: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    def away(*_: object) -> None:
        raise StoreError("The database is away.")

    with monkeypatch.context() as broken:
        broken.setattr(Store, "studies", away)
        app = open_page("queue")
        assert len(app.error) == 1
        assert "looks again every few seconds" in said(app)
    app.run()
    assert not app.error or "failed" in app.error[0].value


# Results


def test_results_show_both_thresholds_and_what_a_reader_must_know(filled: Store) -> None:
    words = said(open_page("results", studies="demo"))
    assert "Score ≥ 0.01" in words
    assert "Score ≥ 0.3 (the authors')" in words
    assert "An illustration, not the paper's experiment" in words
    assert "class head starts at 0.5" in words
    assert "26 of 30 runs are in" in words
    assert "n = 2 to 3 seeds" in words


@pytest.mark.parametrize("view", ["Over noise", "Over γ", "By class", "Table", "Training"])
@pytest.mark.parametrize("measure", ["mAP", "points lost"])
def test_every_view_of_the_results_draws(view: str, measure: str, filled: Store) -> None:
    app = open_page("results", studies="demo", view=view, measure=measure, paper="Indoor")
    assert not app.exception
    assert not app.error


def test_first_measurements_are_shown_while_no_run_has_finished(filled: Store) -> None:
    study = demo_store.demo_study("1" * 64, name="early", seeds=(7,))
    filled.submit_study(study, priority=9)
    claim = filled.claim("demo-worker", study.specs[0].id)
    assert claim is not None
    final = demo_store.results_of(claim, ("cup", "hat"))
    interim = [replace(result, step=250, final=False) for result in final]
    filled.record_results(claim.job_id, claim.token, interim)
    for view in ("Over noise", "Table", "Training"):
        app = open_page("results", studies="early", view=view)
        assert not app.exception
        assert "No run has finished yet: these are first measurements, at step 250" in said(app)


def test_results_table_is_the_summary(filled: Store) -> None:
    table = open_page("results", studies="demo", view="Table").dataframe[0].value
    ce = table[(table["loss"] == "CE") & (table["score ≥"] == 0.3)]
    assert ce["missing, %"].tolist() == [0, 50]
    assert ce["seeds"].tolist() == [3, 3]
    assert ce["points lost"].iloc[0] == 0


def test_results_of_other_settings_are_warned_of(filled: Store) -> None:
    study = demo_store.demo_study("1" * 64, name="longer", seeds=(0,))
    changed = tuple(
        spec.model_copy(update={"training": spec.training.model_copy(update={"steps": 900})}) for spec in study.specs
    )
    filled.submit_study(type(study)("longer", study.title, study.note, study.dataset_name, changed))
    app = AppTest.from_file(str(ROOT / "noisedash/ui/main.py"), default_timeout=30)
    app.query_params["studies"] = ["demo", "longer"]
    app.switch_page("../../pages/results.py").run()
    warnings = "".join(warning.value for warning in app.warning).replace("\\", "")
    assert f"training.steps: {study.specs[0].training.steps}, 900" in warnings


# Noise


@pytest.mark.parametrize("rates", [(0, 0, 0, 0), (100, 100, 100, 10), (100, 0, 0, 0), (30, 20, 10, 10)])
def test_noise_page_draws_at_any_rate(rates: tuple[int, ...], filled: Store) -> None:
    query = dict(zip(("rate", "inaccurate", "wrong", "extra"), map(str, rates), strict=True))
    app = open_page("noise", dataset="rooms", **query)
    assert not app.exception
    assert not app.error
    assert ("What was really hit" in said(app)) == any(rates)


@pytest.mark.parametrize("who", list(noise_controls.WHO))
def test_noise_page_hits_whom_it_is_told_to(who: str, filled: Store) -> None:
    app = open_page("noise", dataset="rooms", **{"rate-who": who, "extra-who": "small boxes more"})
    if who == noise_controls.SOME_CLASSES:
        app.multiselect(key="more").set_value(["chair"]).run()
    assert not app.exception
    assert not app.error
    assert yaml.safe_load(app.code[0].value)["steps"][0].get("weighting") == WEIGHTING_OF[who]


WEIGHTING_OF = {
    "any box alike": {"kind": "uniform"},
    "small boxes more": {"kind": "size", "exponent": -1},
    "large boxes more": {"kind": "size", "exponent": 1},
    "some classes more": {"kind": "class", "weights": {"chair": 5}, "other": 1},
    "crowded boxes more": {"kind": "crowding", "exponent": 1},
    "lone boxes more": {"kind": "crowding", "exponent": -1},
    "hidden boxes more": {"kind": "occlusion", "factor": 4},
    "whole images": {"kind": "images"},
}


# Losses


def test_losses_tell_the_region_in_numbers() -> None:
    app = open_page("losses", gamma="8", share="10")
    assert "**0.331 to 0.669** neither pulls" in said(app)
    app.slider(key="gamma").set_value(2.0).run()
    assert "No score is free for both" in said(app)


# Paper


def test_paper_shows_how_to_run_its_studies_while_there_are_none() -> None:
    words = said(open_page("paper"))
    assert "There is no study of your own yet" in words
    assert "noisedash study submit paper-losses" in words
    assert "8.30 (.9502 to .8672)" in words


def test_paper_judges_its_claims_by_ones_own_runs(filled: Store) -> None:
    app = open_page("paper", studies="demo", score="0.3")
    assert "seeds 0, 1, 2; noise draws 0, 1, 2; measured at step 500; score ≥ 0.3; dataset" in said(app)
    table = app.table[0].value
    assert len(table) == 12
    rulings = [ruling.split("**")[1] for ruling in table["Your runs"]]
    assert rulings[5] == "supported"
    assert rulings[2] == "not testable"
    assert table["What it needs"].iloc[2].replace("\\", "") == "runs of γ = 2 at 20 % missing"
    assert f"{rulings.count('supported')} supported" in said(app)
    other = open_page("paper", studies="demo", score="0.01").table[0].value
    assert other["Here"].tolist() != table["Here"].tolist()


@pytest.mark.parametrize("paper", ["PASCAL VOC 2012", "FDDB"])
def test_paper_draws_every_dataset_and_measure(paper: str, filled: Store) -> None:
    for measure in ("mAP", "points lost"):
        app = open_page("paper", studies="demo", paper=paper, measure=measure)
        assert not app.exception
        assert not app.error


def test_paper_without_a_finished_run_shows_what_was_published(filled: Store) -> None:
    filled.submit_study(demo_store.demo_study("1" * 64, name="early", seeds=(7,)))
    for measure in ("mAP", "points lost"):
        app = open_page("paper", studies="early", measure=measure)
        assert not app.exception
        assert "No run of this study with the focal loss has finished yet" in said(app)


def test_web_process_never_imports_torch() -> None:
    code = (
        "import pathlib, pkgutil, sys, importlib, noisedash.ui, noisedash.figures\n"
        "for package in (noisedash.ui, noisedash.figures):\n"
        "    for module in pkgutil.walk_packages(package.__path__, package.__name__ + '.'):\n"
        "        importlib.import_module(module.name)\n"
        "import app\n"
        "heavy = {'torch', 'torchvision', 'pycocotools'} & set(sys.modules)\n"
        "assert not heavy, heavy\n"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr


# The probe


def probed(store: Store, study: str, run: int) -> str:
    """Give a run a probe in its newest attempt's folder; how the page names it."""
    job = store.jobs(study)[run]
    save_probe(newest_attempt(current_settings(), job).probe, drawn())
    return f"Job {job.id}: {run_label(job)} on {job.dataset_name}"


def test_without_a_probed_run_the_pages_say_so(filled: Store) -> None:
    assert "No run has been probed yet" in said(open_page("losses"))
    assert "has not been probed" in said(open_page("results", studies="demo", view="Probe"))


@pytest.mark.parametrize("page", ["losses", "results"])
def test_a_probed_run_is_shown_with_its_number(page: str, filled: Store) -> None:
    label = probed(filled, "demo", 20)
    app = open_page(page, studies="demo", view="Probe", run=label)
    assert not app.exception
    assert not [error.value for error in app.error if "probe" in error.value]
    job = filled.jobs("demo")[20]
    expected = rest_in_words(drawn(), job.spec.loss, 0.05)
    assert expected.as_objects in [metric.value for metric in app.metric]
    assert expected.sentence in said(app)


def test_a_damaged_probe_is_one_sentence(filled: Store) -> None:
    label = probed(filled, "demo", 20)
    newest_attempt(current_settings(), filled.jobs("demo")[20]).probe.write_bytes(b"nonsense")
    app = open_page("losses", run=label)
    assert not app.exception
    assert ["train the run again" in error.value for error in app.error] == [True]


def test_the_job_card_shows_the_probe_when_asked(filled: Store) -> None:
    probed(filled, "demo", 20)
    job = filled.jobs("demo")[20]
    app = open_page("queue", study="demo", job=str(job.id))
    assert not app.metric
    app.toggle(key=f"probe-{job.id}").set_value(True).run()
    assert not app.exception
    assert len(app.metric) == 4
