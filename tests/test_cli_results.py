"""What `study results` and `evaluate` print, against the library's tables."""

import json
from dataclasses import replace

import demo_store
import pandas as pd
import pytest
from test_cli import Command
from test_figures_probe import drawn

from noisedash.datasets.registry import DatasetRegistry
from noisedash.evaluation.ap import evaluate
from noisedash.jobs.predictions import detections_of
from noisedash.jobs.runfolder import newest_attempt
from noisedash.jobs.store import Store
from noisedash.probe_records import DROPPED, rest, save_probe
from noisedash.records import JobRecord, JobState
from noisedash.settings import current_settings
from noisedash.spec import FromWeights, loss_label
from noisedash.studies.confounders import rank, settings_of
from noisedash.studies.recipes import RECIPES, build_study
from noisedash.studies.robustness import ap_intervals, compare_losses, risks, tolerances
from noisedash.studies.summary import MEAN, summarise


@pytest.fixture
def noisedash(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Command:
    return Command(monkeypatch, capsys)


def done(store: Store) -> JobRecord:
    return store.jobs("demo", [JobState.DONE])[0]


@pytest.fixture
def rows(filled: Store) -> pd.DataFrame:
    specs = {job.run_id: job.spec for job in filled.jobs("demo")}
    everything = summarise(specs, filled.results(list(specs)))
    return everything[everything["class_name"] == MEAN]


def test_results_in_json_are_the_librarys_tables(noisedash: Command, rows: pd.DataFrame) -> None:
    asked = ("--intervals", "--compare", "CE", "FL γ=5", "--tolerates", 10, "--risk", 5)
    tables = noisedash.json("study", "results", "demo", *asked)
    assert list(tables) == ["ap", "drop", "min_max", "comparison", "tolerances", "risks"]
    expected = {
        "ap": ap_intervals(rows),
        "comparison": compare_losses(rows, "CE", "FL γ=5", "drop"),
        "risks": risks(rows, 5),
    }
    for name, table in expected.items():
        assert tables[name] == json.loads(table.to_json(orient="records"))
    told = [row["tolerates"] for row in tables["tolerances"]]
    assert told == [pytest.approx(rate) if rate < 1 else "beyond" for rate in tolerances(rows, 10)["tolerates"]]
    assert "beyond" in told


def test_results_are_told_in_words(noisedash: Command, filled: Store) -> None:
    said = noisedash("study", "results", "demo", "--compare", "CE", "FL γ=5", "--tolerates", 5, "--risk", 5)
    assert "score ≥ 0.3: At 50 % missing, CE loses" in said
    assert "CE tolerates" in said
    assert "within 5 points" in said
    assert "Probability that one more training drops by more" in said
    assert "26 runs; seeds 0, 1, 2" in said
    assert "Runs of different score thresholds (0.01; 0.3) stand side by side" in said
    per_cent = noisedash("study", "results", "demo", "--intervals", "--percent", "--per-class")
    assert "Drop since clean labels in per cent" in per_cent
    assert "min-max" in per_cent
    assert "exit sign" in per_cent


def test_results_on_the_way_are_told_at_their_step(noisedash: Command, filled: Store) -> None:
    claim = filled.claim("demo-worker")
    assert claim is not None
    final = demo_store.results_of(claim, ("cup", "hat"))
    filled.record_results(claim.job_id, claim.token, [replace(result, step=200, final=False) for result in final])
    asked = ("study", "results", "demo", "--step", 200)
    assert [row["mean"] for row in noisedash.json(*asked)] == [pytest.approx(result.mean_ap) for result in final]
    at_the_end = noisedash.json("study", "results", "demo")
    steps = claim.spec.training.steps
    assert at_the_end == noisedash.json("study", "results", "demo", "--step", steps)
    assert {row["step"] for row in at_the_end} == {steps} != {200}
    assert "measured at step 200; " in noisedash(*asked, "--intervals")
    assert "1 of them before the end of their training" in noisedash(*asked, "--intervals")
    assert f"choose one of the steps 200, {steps:,}." in noisedash.error("study", "results", "demo", "--step", 7)
    assert "leave --step out" in noisedash.error(*asked, "--probe")


def test_intervals_are_for_other_test_images_where_asked(noisedash: Command, filled: Store) -> None:
    asked = ("study", "results", "demo", "--intervals")
    assert "does not hold predictions" in noisedash.error(*asked, "--images")
    settings = current_settings()
    for job in filled.jobs("demo", [JobState.DONE]):
        demo_store.detect(settings, DatasetRegistry(settings).get("rooms"), job)
    without, joined = (noisedash.json(*asked, *images) for images in ((), ("--images",)))
    for name in ("ap", "drop"):
        assert [row["value"] for row in joined[name]] == [row["value"] for row in without[name]]
        errors = [[row["standard_error"] for row in made[name]] for made in (without, joined)]
        assert all(one <= other for one, other in zip(*errors, strict=True))
        assert sum(errors[0]) < sum(errors[1])
    assert "for other test images too" in noisedash(*asked, "--images")


def test_the_probe_is_told_over_runs(noisedash: Command, filled: Store) -> None:
    asked = ("study", "results", "demo", "--probe")
    assert "nothing could rest" in noisedash(*asked)
    seen = [job for job in filled.jobs("demo", [JobState.DONE]) if job.spec.noise.missing_rate == 0.5]
    for job in seen:
        save_probe(newest_attempt(current_settings(), job).probe, drawn())
    expected = rest(drawn(), DROPPED, 5.0, 0.2).inside_clearly[-1]
    told = {
        row["loss"]: row
        for row in noisedash.json(*asked, "--share", 20)["probe"]
        if row["measure"] == "inside_clearly" and row["missing_rate"] == 0.5
    }
    assert set(told) == {loss_label(job.spec.loss) for job in seen}
    assert told["FL γ=5"]["value"] == pytest.approx(expected)
    assert told["FL γ=5"]["runs"] == sum(loss_label(job.spec.loss) == "FL γ=5" for job in seen) > 1
    assert told["FL γ=5"]["low"] == told["FL γ=5"]["high"] == pytest.approx(expected)  # all saw the same
    said = noisedash(*asked)
    assert "rest as objects" in said
    assert "FL γ=8" in said


def test_what_moves_the_effect_of_gamma_is_ranked_at_every_threshold(noisedash: Command, filled: Store) -> None:
    assert "does not vary settings one at a time" in noisedash.error("study", "results", "demo", "--confounders")
    study = build_study(RECIPES["confounders"], "rooms", "1" * 64, initial=FromWeights(sha256="b" * 64))
    filled.submit_study(study, priority=9)
    for _ in study.specs:
        demo_store.finish_next(filled, ("cup", "hat"))
    specs = {spec.id: spec for spec in study.specs}
    rows = summarise(specs, filled.results(list(specs)))
    ranked = noisedash.json("study", "results", study.name, "--confounders")["confounders"]
    for threshold in (0.01, 0.3):
        expected = rank(rows, settings_of(specs), threshold)
        own = [row for row in ranked if row["threshold"] == threshold]
        assert [row["setting"] for row in own] == expected["setting"].tolist()
        assert [row["effect"] for row in own] == pytest.approx(expected["effect"].tolist())
    said = noisedash("study", "results", study.name, "--confounders")
    assert "from scratch" in said
    assert "nan" not in said
    assert "stand side by side" not in said


def test_a_loss_that_is_not_there_is_one_sentence(noisedash: Command, filled: Store) -> None:
    assert "No run of 'CE' and of 'FL γ=9'" in noisedash.error("study", "results", "demo", "--compare", "CE", "FL γ=9")


def test_a_run_in_detail_is_its_results(noisedash: Command, filled: Store) -> None:
    job = done(filled)
    test, predictions = detections_of(current_settings(), job)
    for place, score in enumerate(job.spec.evaluation.score_thresholds):
        expected = evaluate(test, predictions, job.spec.evaluation)[place]
        made = noisedash.json("evaluate", job.run_id, "--score", score)
        assert made["mean_ap"] == pytest.approx(expected.mean)
        assert {row["class"]: row["ap"] for row in made["classes"]} == pytest.approx(
            {name: ap for name, ap in zip(test.classes, expected.per_class, strict=True) if ap is not None}
        )
    assert made["score"] == 0.3
    assert {row["cause"] for row in made["causes"]} >= {"missed", "classification"}
    said = noisedash("evaluate", job.run_id)
    assert "VOC 2007, IoU .5, 11 points" in said
    assert "95 % interval over test images" in said


def test_a_run_that_is_not_done_or_has_no_predictions_is_one_sentence(noisedash: Command, filled: Store) -> None:
    (running,) = filled.jobs("demo", [JobState.RUNNING])
    assert "is running: it can be looked at in detail once it is done" in noisedash.error("evaluate", running.run_id)
    bare = filled.jobs("demo", [JobState.DONE])[1]
    assert "does not hold predictions" in noisedash.error("evaluate", bare.run_id)
    assert "There is no run nosuch" in noisedash.error("evaluate", "nosuch")
