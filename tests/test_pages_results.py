"""The Statistics tab and the Run page without a browser: each question's answer, and one run in detail."""

from dataclasses import replace

import demo_store
import pytest
from test_pages import open_page, said

from noisedash.evaluation.ap import evaluate
from noisedash.jobs.predictions import detections_of
from noisedash.jobs.store import Store
from noisedash.records import JobRecord, JobState
from noisedash.settings import current_settings
from noisedash.studies.robustness import tolerances
from noisedash.studies.summary import MEAN, summarise
from noisedash.studies.wording import tolerance_in_words
from noisedash.ui.results import find, mean_ap_series
from noisedash.ui.services import dataset

QUESTIONS = {
    "How sure are the curves?": "What the intervals cover: seed and noise draw together",
    "Is one loss better?": "At 50 % missing, CE loses",
    "What is tolerated?": "CE tolerates",
    "What is the risk?": "How likely one more training",
}


def done(store: Store) -> JobRecord:
    return store.jobs("demo", [JobState.DONE])[0]


@pytest.mark.parametrize("question", QUESTIONS)
def test_every_question_is_answered_and_says_what_it_stands_on(question: str, filled: Store) -> None:
    app = open_page("results", studies="demo", view="Statistics", question=question, score="0.3")
    assert not app.exception
    assert not app.error
    assert QUESTIONS[question] in said(app)
    assert "Stands on 26 runs; seeds 0, 1, 2; noise draws 0, 1, 2; measured at step 500; score ≥ 0.3" in said(app)
    assert not [warning.value for warning in app.warning]


@pytest.mark.parametrize("question", ["How sure are the curves?", "Is one loss better?"])
def test_intervals_are_for_other_test_images_where_asked(question: str, filled: Store) -> None:
    address = {"studies": "demo", "view": "Statistics", "question": question, "score": "0.3"}
    assert "for these test images" in said(open_page("results", **address))
    without = open_page("results", **address, **{"other-images": "true"})
    assert "does not hold predictions" in without.error[0].value
    settings = current_settings()
    for job in filled.jobs("demo", [JobState.DONE]):
        demo_store.detect(settings, dataset("rooms"), job)
    app = open_page("results", **address, **{"other-images": "true"})
    assert not app.exception
    assert not app.error
    assert "for other test images too" in said(app)


@pytest.mark.parametrize("form", ["points lost", "per cent lost", "min-max"])
def test_every_form_of_a_drop_says_what_it_is(form: str, filled: Store) -> None:
    app = open_page("results", studies="demo", view="Statistics", form=form)
    assert not app.exception
    words = {"points lost": "hundredths of mAP", "per cent lost": "in per cent of", "min-max": "shapes only"}
    assert words[form] in said(app)


def test_what_is_tolerated_is_the_librarys_and_goes_by_the_limit(filled: Store) -> None:
    specs = {job.run_id: job.spec for job in filled.jobs("demo")}
    rows = summarise(specs, filled.results(list(specs), final_only=True))
    at = rows[(rows["threshold"] == 0.01) & (rows["class_name"] == MEAN)]
    query = {"studies": "demo", "view": "Statistics", "question": "What is tolerated?"}
    for limit in (2.0, 9.0):
        app = open_page("results", **query, within=str(limit))
        for _, row in tolerances(at, limit).iterrows():
            assert tolerance_in_words(row, limit, "points") in said(app)
        assert said(app).count(" tolerates ") == 5
    app.toggle(key="every-class").set_value(True).run()
    assert set(app.dataframe[0].value["class"]) > {"exit sign", "mean of all"}


def test_two_losses_of_no_common_run_are_one_sentence(filled: Store) -> None:
    query = {"studies": "demo", "view": "Statistics", "question": "Is one loss better?"}
    assert "Choose two different losses" in said(open_page("results", **query, first="CE", second="CE"))


def test_results_of_other_steps_are_never_one_without_a_warning(filled: Store) -> None:
    job = done(filled)
    longer = job.spec.model_copy(update={"training": job.spec.training.model_copy(update={"steps": 700})})
    study = demo_store.Study("longer", "t", "n", "rooms", (longer,))
    filled.submit_study(study, priority=9)
    assert demo_store.finish_next(filled, ("cup", "hat")) is not None
    app = open_page("results", studies=["demo", "longer"], view="Statistics")
    (mixture,) = (one.value.replace("\\", "") for one in app.warning if "side by side" in one.value)
    assert "different steps (500; 700)" in mixture


def test_runs_of_one_setting_are_shown_alone(filled: Store) -> None:
    job = done(filled)
    longer = job.spec.model_copy(update={"training": job.spec.training.model_copy(update={"steps": 700})})
    filled.submit_study(demo_store.Study("longer", "t", "n", "rooms", (longer,)), priority=9)
    assert demo_store.finish_next(filled, ("cup", "hat")) is not None
    app = open_page("results", studies=["demo", "longer"])
    assert app.multiselect(key="runs-with").options == ["steps=500", "steps=700"]
    assert "Stands on 27 runs" in said(app)
    app.multiselect(key="runs-with").select("steps=700").run()
    assert not app.exception
    assert "Stands on 1 run;" in said(app)
    table = open_page("results", studies=["demo", "longer"], view="Table")
    table.multiselect(key="runs-with").select("steps=700").run()
    assert table.dataframe[0].value["settings"].tolist() == ["steps=700"] * 2  # at two thresholds
    assert not [one.value for one in app.warning if "side by side" in one.value]


def test_means_over_seeds_are_drawn_over_the_steps_that_all_have_reached(filled: Store) -> None:
    study = demo_store.demo_study("1" * 64, name="on-the-way", seeds=(7, 8))
    filled.submit_study(study, priority=9)
    at_the_end: dict[tuple[float, float], list[float]] = {}
    for _ in study.specs:
        claim = filled.claim("demo-worker")
        assert claim is not None
        demo_store.train(filled, claim, claim.spec.training.steps)
        final = demo_store.results_of(claim, ("cup", "hat"))
        for step in (250, 300) if claim.spec.training.seed == 7 else (250,):
            early = [replace(result, step=step, final=False, mean_ap=result.mean_ap / 2) for result in final]
            filled.record_results(claim.job_id, claim.token, early)
        filled.finish(claim.job_id, claim.token, final)
        if claim.spec.loss.kind == "ce":
            for result in final:
                key = (result.score_threshold, claim.spec.noise.missing_rate)
                at_the_end.setdefault(key, []).append(result.mean_ap)
    for threshold in (0.01, 0.3):
        series = {line.name: line for line in mean_ap_series(find(filled, ["on-the-way"]), threshold)}
        assert {tuple(line.steps) for line in series.values()} == {(250, 500)}
        for rate in (0.0, 0.5):
            mean = sum(at_the_end[threshold, rate]) / 2
            assert series[f"CE, {100 * rate:g} % missing"].values == pytest.approx([mean / 2, mean])
    app = open_page("results", studies="on-the-way", view="Training")
    assert not app.exception
    assert "All runs, means over seeds" in [one.value for one in app.subheader]


def test_run_page_shows_the_runs_own_results(filled: Store) -> None:
    job = done(filled)
    test, predictions = detections_of(current_settings(), job)
    expected = evaluate(test, predictions, job.spec.evaluation)
    app = open_page("run", id=job.run_id)
    assert app.query_params["id"] in (job.run_id, [job.run_id])
    assert not app.exception
    assert not app.error
    assert app.selectbox(key="study-of-run").value == "demo"
    assert app.metric[0].value == f"{expected[0].mean:.4f}"
    app.slider(key="score-0.01").set_value(0.3).run()
    assert app.metric[0].value == f"{expected[1].mean:.4f}"
    assert f"run {job.run_id}" in said(app)
    assert "score ≥ 0.3" in said(app)


def test_run_page_says_what_is_missing(filled: Store) -> None:
    (running,) = filled.jobs("demo", [JobState.RUNNING])
    assert "It has not finished" in said(open_page("run", id=running.run_id))
    bare = filled.jobs("demo", [JobState.DONE])[1]
    app = open_page("run", id=bare.run_id)
    assert not app.exception
    assert "does not hold predictions" in said(app)
    assert "No study has a run nosuch" in said(open_page("run", id="nosuch"))


def test_run_page_without_any_study_says_the_way_on() -> None:
    assert "There is no run yet" in said(open_page("run"))


def test_queue_and_results_lead_to_the_run(filled: Store) -> None:
    job = done(filled)
    assert not open_page("queue", study="demo", job=str(job.id)).exception
    app = open_page("results", studies="demo", view="Table")
    app.selectbox(key="one-run").set_value(job.run_id).run()
    assert not app.exception
