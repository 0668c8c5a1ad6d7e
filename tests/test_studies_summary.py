"""Tidy rows and their averages against values worked out by hand, and what differs besides losses and seeds."""

import io
import math

import numpy as np
import pandas as pd
import pytest

from noisedash.noise_spec import ExtraNoise, NoiseRecipe
from noisedash.records import ResultRecord
from noisedash.spec import CrossEntropy, DataSpec, Focal, FromWeights, Loss, RmsPropTf, RunSpec, Sgd, TrainingSpec
from noisedash.studies.grid import missing
from noisedash.studies.summary import (
    CURVE_COLUMNS,
    ROW_COLUMNS,
    aggregate,
    loss_labels,
    mixed_settings,
    settings_texts,
    shared_settings,
    summarise,
    to_csv,
)
from noisedash.studies.wording import differences_in_words


def run(loss: Loss, rate: float = 0.0, seed: int = 0, **others) -> RunSpec:
    training = TrainingSpec(seed=seed, steps=others.pop("steps", 100))
    data = DataSpec(content_hash="0" * 64)
    return RunSpec(data=data, loss=loss, noise=missing(rate, seed=7), training=training, **others)


def by_id(*specs: RunSpec) -> dict[str, RunSpec]:
    return {spec.id: spec for spec in specs}


def result(spec: RunSpec, mean: float, threshold: float = 0.01, **classes: float | None) -> ResultRecord:
    return ResultRecord(spec.id, spec.training.steps, True, threshold, mean, classes)


CLEAN = [run(CrossEntropy(), seed=seed) for seed in (0, 1)]
NOISY = [run(CrossEntropy(), 0.5, seed) for seed in (0, 1, 2)]


def test_a_row_for_the_mean_and_each_class() -> None:
    spec = run(Focal(gamma=5), 0.5, seed=3)
    rows = summarise(by_id(spec), [result(spec, 0.6, chair=0.6, clock=None)])
    assert tuple(rows.columns) == ROW_COLUMNS
    assert rows["class_name"].tolist() == ["", "chair", "clock"]
    assert rows["ap"].tolist()[:2] == [0.6, 0.6]
    assert math.isnan(rows["ap"].tolist()[2])
    first = rows.iloc[0]
    assert (first["run_id"], first["loss"], first["kind"], first["gamma"]) == (spec.id, "FL γ=5", "focal", 5.0)
    assert (first["missing_rate"], first["seed"], first["noise_seed"]) == (0.5, 3, 7)
    assert (first["step"], first["final"], first["threshold"], first["settings"]) == (100, True, 0.01, "")


def test_cross_entropy_has_no_gamma_and_clean_runs_no_noise_seed() -> None:
    row = summarise(by_id(CLEAN[0]), [result(CLEAN[0], 0.7)]).iloc[0]
    assert math.isnan(row["gamma"])
    assert row["noise_seed"] is pd.NA


def test_mean_spread_and_drop_over_seeds() -> None:
    """Clean .70 and .74; at 50 % .50, .58 and .60, of which the third has no clean partner."""
    values = [*zip(CLEAN, (0.70, 0.74), strict=True), *zip(NOISY, (0.50, 0.58, 0.60), strict=True)]
    rows = summarise(by_id(*CLEAN, *NOISY), [result(spec, ap) for spec, ap in values])
    assert rows["drop"].round(9).tolist()[:4] == [0, 0, 20, 16]
    assert math.isnan(rows["drop"].tolist()[4])
    clean, noisy = (row for _, row in aggregate(rows).iterrows())
    assert (clean["missing_rate"], noisy["missing_rate"]) == (0.0, 0.5)
    assert (clean["n"], noisy["n"]) == (2, 3)
    assert noisy["mean"] == pytest.approx(0.56)
    assert noisy["sd"] == pytest.approx(np.std([0.50, 0.58, 0.60], ddof=1))
    assert (noisy["low"], noisy["high"]) == (0.50, 0.60)
    assert noisy["drop_mean"] == pytest.approx(18)
    assert noisy["drop_sd"] == pytest.approx(np.std([20, 16], ddof=1))
    assert noisy["drop_n"] == 2


def test_other_noise_is_never_averaged_with_missing_labels() -> None:
    """A clean run is the partner of each; noise that all share needs no word."""
    extra = [
        spec.model_copy(update={"noise": NoiseRecipe(steps=(*spec.noise.steps, ExtraNoise(rate=0.1)))})
        for spec in NOISY
    ]
    values = [(CLEAN[0], 0.7), (NOISY[0], 0.5), (extra[0], 0.4)]
    rows = summarise(by_id(*(spec for spec, _ in values)), [result(spec, ap) for spec, ap in values])
    assert rows["settings"].tolist() == ["", "", "10 % extra"]
    assert rows["drop"].round(9).tolist() == [0, 20, 30]
    assert len(aggregate(rows)) == 3
    assert mixed_settings([*NOISY, *extra]) == {"noise": ("", "10 % extra")}
    assert mixed_settings([CLEAN[0], *extra]) == {}


def test_one_seed_has_no_spread() -> None:
    (row,) = (row for _, row in aggregate(summarise(by_id(CLEAN[0]), [result(CLEAN[0], 0.7)])).iterrows())
    assert math.isnan(row["sd"])
    assert (row["n"], row["mean"]) == (1, 0.7)


def test_thresholds_classes_and_losses_are_kept_apart() -> None:
    specs = [run(CrossEntropy()), run(Focal(gamma=0)), run(Focal(gamma=2))]
    results = [result(spec, 0.1, threshold, chair=0.2) for spec in specs for threshold in (0.3, 0.01)]
    table = aggregate(summarise(by_id(*specs), results))
    assert len(table) == 3 * 2 * 2
    assert (table["n"] == 1).all()
    assert table["threshold"].tolist() == [0.01] * 6 + [0.3] * 6
    assert table["loss"].tolist()[:3] == ["CE", "FL γ=0", "FL γ=2"]


def test_a_class_without_clean_boxes_is_left_out_of_the_averages() -> None:
    table = aggregate(summarise(by_id(CLEAN[0]), [result(CLEAN[0], 0.7, chair=0.7, clock=None)]))
    assert table["class_name"].tolist() == ["", "chair"]


def test_no_results_give_empty_tables_with_all_columns() -> None:
    rows = summarise(by_id(*CLEAN), [])
    assert tuple(rows.columns) == ROW_COLUMNS
    table = aggregate(rows)
    assert table.empty
    assert [*CURVE_COLUMNS, "mean", "sd", "low", "high", "n", "drop_mean", "drop_sd", "drop_n"] == list(table.columns)
    assert to_csv(rows).count("\n") == 1


def test_results_of_other_runs_are_left_out() -> None:
    assert summarise(by_id(CLEAN[0]), [result(CLEAN[1], 0.7)]).empty


def test_runs_that_differ_in_other_settings_are_not_averaged() -> None:
    specs = by_id(run(CrossEntropy(), seed=0), run(CrossEntropy(), seed=1, steps=300))
    assert mixed_settings(specs.values()) == {"training.steps": (100, 300)}
    assert list(settings_texts(specs).values()) == ["steps=100", "steps=300"]
    table = aggregate(summarise(specs, [result(spec, 0.5) for spec in specs.values()]))
    assert table["settings"].tolist() == ["steps=100", "steps=300"]
    assert (table["n"] == 1).all()


def test_a_kind_is_told_by_what_it_is_of_and_a_checksum_by_its_first_digits() -> None:
    start, other = FromWeights(sha256="0123456789abcdef" * 4), FromWeights(sha256="fedc" * 16)
    base = run(CrossEntropy())
    specs = [base, *(base.model_copy(update={"initial": initial}) for initial in (start, other))]
    assert list(settings_texts(by_id(*specs)).values()) == [
        "",  # it has no checksum
        "sha256=0123456789ab",
        "sha256=fedcfedcfedc",
    ]
    assert list(settings_texts(by_id(*specs[:2])).values()) == ["initial=scratch", "initial=weights"]


def test_settings_that_change_together_are_told_by_one_and_those_that_part_runs_by_all() -> None:
    base = run(CrossEntropy(), steps=100)
    sgd = base.model_copy(update={"optimizer": Sgd()})  # another learning rate, and settings of its own
    longer = run(CrossEntropy(), steps=300)
    specs = by_id(base, sgd, longer)
    assert list(settings_texts(specs).values()) == [
        "optimizer=rmsprop_tf, steps=100",
        "optimizer=sgd, steps=100",
        "optimizer=rmsprop_tf, steps=300",
    ]
    assert "optimizer.learning_rate: 0.004, 0.01" in differences_in_words(specs.values())


def test_losses_noise_and_seeds_are_no_mixed_settings() -> None:
    specs = [run(CrossEntropy()), run(Focal(alpha=0.5), 0.3, 4), run(Focal(gamma=1), 0.5, 5)]
    assert mixed_settings(specs) == {}
    assert set(settings_texts(by_id(*specs)).values()) == {""}


def test_a_setting_that_only_some_runs_have_is_mixed() -> None:
    specs = [run(CrossEntropy(), optimizer=RmsPropTf()), run(CrossEntropy(), optimizer=Sgd(learning_rate=0.004))]
    mixed = mixed_settings(specs)
    assert mixed["optimizer.kind"] == ("rmsprop_tf", "sgd")
    assert mixed["optimizer.epsilon"] == (1.0, None)
    assert "optimizer.learning_rate" not in mixed
    assert "optimizer.momentum" not in mixed


def test_settings_that_all_share_are_told_once() -> None:
    shared = shared_settings([run(CrossEntropy()), run(Focal(), 0.5, 1)])
    assert shared["detector.class_prior"] == 0.5
    assert shared["evaluation.score_thresholds"] == [0.01, 0.3]
    assert shared["loss.alpha"] == 0.75
    assert shared["loss.classification_weight"] == 1.0
    assert "loss.kind" not in shared
    assert "training.seed" not in shared


def test_losses_with_one_name_are_told_apart() -> None:
    specs = by_id(
        run(Focal(gamma=8)), run(Focal(gamma=8, classification_weight=30)), run(Focal(gamma=2)), run(CrossEntropy())
    )
    assert list(loss_labels(specs).values()) == [
        "FL γ=8 classification_weight=1",
        "FL γ=8 classification_weight=30",
        "FL γ=2",
        "CE",
    ]


def test_csv_reads_back() -> None:
    rows = summarise(by_id(*CLEAN), [result(spec, 0.25, **{'a "b", c': 0.5}) for spec in CLEAN])
    back = pd.read_csv(io.StringIO(to_csv(rows)), keep_default_na=False, na_values={"ap": ""})
    assert back["ap"].tolist() == rows["ap"].tolist()
    assert back["class_name"].tolist() == rows["class_name"].tolist()
