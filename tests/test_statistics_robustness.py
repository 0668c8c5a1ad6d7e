"""Tables over runs against slow computations on the specs' own results."""

import numpy as np
import pandas as pd
import pytest

from noisedash.errors import NotFoundError
from noisedash.records import ResultRecord
from noisedash.spec import CrossEntropy, DataSpec, Focal, RunSpec, TrainingSpec
from noisedash.studies.grid import missing
from noisedash.studies.robustness import (
    RESTING,
    ap_intervals,
    basis,
    compare_losses,
    drop_intervals,
    min_max,
    resting,
    risks,
    tolerances,
    with_image_draws,
)
from noisedash.studies.summary import CURVE_COLUMNS, summarise
from noisedash.studies.uncertainty import Design, estimate

RATES, SEEDS = (0.0, 0.25, 0.5), (0, 1, 2)
CE, FOCAL = CrossEntropy(), Focal(gamma=5)


def ap_of(loss, rate: float, seed: int, class_name: str = "") -> float:
    """A made-up result, different for each run and class."""
    ease = {"": 0.0, "cup": 0.05, "hat": -0.05}[class_name]
    slope = 0.3 if loss is CE else 0.1
    return 0.7 + ease + 0.02 * seed - (slope + 0.03 * ((seed * 7) % 3)) * rate - 0.1 * rate**2


def study(losses=(CE, FOCAL), rates=RATES, seeds=SEEDS, threshold=0.01, noise_seed=None, steps=100):
    """Specs by id and their results."""
    specs, results = {}, []
    for loss in losses:
        for rate in rates:
            for seed in seeds:
                noise = missing(rate, seed if noise_seed is None else noise_seed)
                training = TrainingSpec(seed=seed, steps=steps)
                spec = RunSpec(data=DataSpec(content_hash="0" * 64), loss=loss, noise=noise, training=training)
                specs[spec.id] = spec
                classes = {name: ap_of(loss, rate, seed, name) for name in ("cup", "hat")}
                mean = ap_of(loss, rate, seed)
                results.append(ResultRecord(spec.id, steps, True, threshold, mean, {**classes, "fog": None}))
    return specs, results


def rows(**choices) -> pd.DataFrame:
    return summarise(*study(**choices))


def the(table: pd.DataFrame, **where) -> pd.Series:
    """The only row with those values."""
    for column, value in where.items():
        table = table[table[column] == value]
    (row,) = (row for _, row in table.iterrows())
    return row


@pytest.mark.parametrize("class_name", ["", "cup"])
def test_mean_ap_has_its_t_interval(class_name: str) -> None:
    row = the(ap_intervals(rows()), loss="CE", missing_rate=0.5, class_name=class_name)
    values = np.array([ap_of(CE, 0.5, seed, class_name) for seed in SEEDS])
    assert row["value"] == pytest.approx(values.mean())
    assert row["high"] - row["value"] == pytest.approx(4.302653 * values.std(ddof=1) / 3**0.5, rel=1e-6)
    assert (row["runs"], row["df"], row["varies"]) == (3, 2, Design.PAIRS.value)


def test_an_interval_of_ap_does_not_reach_past_what_an_ap_can_be() -> None:
    two = rows()
    two = two[two["seed"].isin(SEEDS[:2])].copy()
    two["ap"] = np.where(two["seed"] == SEEDS[0], 0.02, 0.98)
    row = the(ap_intervals(two), loss="CE", missing_rate=0.0, class_name="")
    assert (row["low"], row["high"]) == (0, 1)


def test_a_class_without_boxes_has_no_row_and_clean_runs_vary_by_seed_alone() -> None:
    table = ap_intervals(rows())
    assert set(table["class_name"]) == {"", "cup", "hat"}
    assert the(table, loss="CE", missing_rate=0.0, class_name="")["varies"] == Design.SEEDS.value
    assert list(table.columns[: len(CURVE_COLUMNS)]) == list(CURVE_COLUMNS)


@pytest.mark.parametrize("drop", ["points", "percent"])
def test_a_drop_is_the_mean_of_the_runs_own(drop) -> None:
    row = the(drop_intervals(rows(), drop), loss="FL γ=5", missing_rate=0.25, class_name="hat")
    clean = np.array([ap_of(FOCAL, 0.0, seed, "hat") for seed in SEEDS])
    lost = clean - np.array([ap_of(FOCAL, 0.25, seed, "hat") for seed in SEEDS])
    values = 100 * (lost if drop == "points" else lost / clean)
    assert row["value"] == pytest.approx(values.mean())
    assert row["standard_error"] == pytest.approx(values.std(ddof=1) / 3**0.5)


def test_runs_without_a_clean_partner_have_no_drop() -> None:
    assert drop_intervals(rows(rates=(0.5,))).empty
    assert risks(rows(rates=(0.5,)), 1.0).empty
    assert tolerances(rows(rates=(0.5,)), 1.0).empty


def test_min_max_is_the_papers_figure_4() -> None:
    table = min_max(rows())
    means = [np.mean([ap_of(CE, rate, seed) for seed in SEEDS]) for rate in RATES]
    own = table[(table["loss"] == "CE") & (table["class_name"] == "")].sort_values("missing_rate")
    assert own["value"].tolist() == pytest.approx([1.0, (means[1] - means[2]) / (means[0] - means[2]), 0.0])
    assert min_max(rows(rates=(0.0,)))["value"].isna().all()


@pytest.mark.parametrize("of", ["ap", "drop"])
def test_losses_are_compared_run_by_run(of) -> None:
    row = the(compare_losses(rows(), "FL γ=5", "CE", of), missing_rate=0.5, class_name="cup")
    lost = {
        loss: np.array([ap_of(loss, 0.0, s, "cup") - ap_of(loss, 0.5, s, "cup") for s in SEEDS]) for loss in (CE, FOCAL)
    }
    ap = {loss: np.array([ap_of(loss, 0.5, s, "cup") for s in SEEDS]) for loss in (CE, FOCAL)}
    values = ap[FOCAL] - ap[CE] if of == "ap" else 100 * (lost[FOCAL] - lost[CE])
    expected = estimate(values, SEEDS, SEEDS)
    assert row["value"] == pytest.approx(values.mean())
    assert (row["low"], row["high"]) == pytest.approx(tuple(float(end) for end in expected.interval()), abs=1e-9)
    assert row["p_value"] == pytest.approx(float(expected.p_value()), abs=1e-9)
    assert (row["first"], row["second"], row["runs"]) == ("FL γ=5", "CE", 3)


def test_only_runs_of_the_same_seed_and_draw_are_pairs() -> None:
    table = rows()
    odd = (table["loss"] == "CE") & (table["seed"] == 2)
    assert the(compare_losses(table[~odd], "FL γ=5", "CE"), missing_rate=0.5, class_name="")["runs"] == 2
    with pytest.raises(NotFoundError, match="'FL γ=5' and of 'CE' share seed"):
        compare_losses(table[odd | ((table["loss"] != "CE") & (table["seed"] == 0))], "FL γ=5", "CE")


def test_tolerated_rates_are_per_loss_and_class() -> None:
    table = tolerances(rows(), 5.0)
    assert len(table) == 2 * 3
    row = the(table, loss="CE", class_name="cup")
    drops = [100 * np.mean([ap_of(CE, 0, s, "cup") - ap_of(CE, rate, s, "cup") for s in SEEDS]) for rate in RATES]
    assert row["tolerates"] == pytest.approx(np.interp(5.0, drops, RATES), abs=1e-6)
    assert row["low"] < row["tolerates"] < row["high"]
    assert the(tolerances(rows(), 50.0), loss="CE", class_name="cup")["tolerates"] == np.inf


def test_runs_with_holes_in_their_curve_do_not_count_for_what_is_tolerated() -> None:
    table = rows()
    hole = (table["seed"] == 1) & (table["missing_rate"] == 0.25)
    assert set(tolerances(table[~hole], 5.0)["runs"]) == {2}


def test_risk_grows_as_the_limit_falls() -> None:
    at = [the(risks(rows(), limit), loss="CE", missing_rate=0.5, class_name="") for limit in (10.0, 19.0, 30.0)]
    chances = [row["probability"] for row in at]
    assert 1 > chances[0] > 0.5 > chances[2] > 0
    assert all(row["low"] <= row["probability"] <= row["high"] for row in at)


def test_seeds_and_draws_are_told_apart_where_each_met_each() -> None:
    table = pd.concat([rows(noise_seed=draw).assign() for draw in (11, 12)]).drop_duplicates()
    row = the(ap_intervals(table), loss="CE", missing_rate=0.5, class_name="")
    assert (row["varies"], row["runs"]) == (Design.CROSSED.value, 6)
    assert row["draw_sd"] == 0
    assert row["seed_sd"] == pytest.approx(np.std([ap_of(CE, 0.5, seed) for seed in SEEDS], ddof=1))


def test_other_settings_are_other_rows() -> None:
    specs, results = study()
    more_specs, more_results = study(steps=200)
    table = summarise(specs | more_specs, results + more_results)
    assert len(ap_intervals(table)) == 2 * len(ap_intervals(rows()))
    assert basis(specs | more_specs, table).is_mixed


def test_the_basis_says_what_rows_stand_on() -> None:
    specs, results = study()
    made = basis(specs, summarise(specs, results))
    assert (made.runs, made.datasets, made.losses) == (18, ("0" * 64,), ("CE", "FL γ=5"))
    assert (made.seeds, made.noise_seeds, made.missing_rates) == (SEEDS, SEEDS, RATES)
    assert (made.steps, made.thresholds, made.settings, made.unfinished_runs) == ((100,), (0.01,), ("",), 0)
    assert not made.is_mixed


def test_rest_of_dropped_boxes_is_a_mean_over_runs_whose_interval_stays_a_share() -> None:
    found = rows()
    noisy = found[found["missing_rate"] > 0].drop_duplicates("run_id")
    probed = pd.DataFrame({"run_id": noisy["run_id"], "anchors": 9, **dict.fromkeys(RESTING, 0.0)})
    probed["inside"] = 0.9 + 0.02 * noisy["seed"].to_numpy()
    probed["in_band"] = 0.95 + 0.04 * (noisy["seed"].to_numpy() % 2)
    first = probed["run_id"].iloc[0]
    probed.loc[probed["run_id"] == first, "anchors"] = 0
    table = resting(found, probed)
    left = noisy[(noisy["loss"] == "FL γ=5") & (noisy["missing_rate"] == 0.5)]
    own = the(table, loss="FL γ=5", missing_rate=0.5, measure="inside")
    values = 0.9 + 0.02 * left["seed"].to_numpy()
    low, high = estimate(values, left["seed"].tolist(), left["noise_seed"].tolist()).interval()
    assert (own["value"], own["low"], own["high"]) == (
        pytest.approx(values.mean()),
        pytest.approx(low),
        pytest.approx(high),
    )
    band = the(table, loss="FL γ=5", missing_rate=0.5, measure="in_band")
    assert band["high"] == 1.0
    assert band["low"] < band["value"]
    cut = noisy[noisy["run_id"] == first].iloc[0]
    assert the(table, loss=cut["loss"], missing_rate=cut["missing_rate"], measure="inside")["runs"] == len(SEEDS) - 1
    assert resting(found, probed.assign(anchors=0)).empty


def test_other_test_images_join_the_error_as_a_loop_over_resamples_counts_it() -> None:
    """Of AP, of drops and of differences: the images' error is that of the mean over runs, paired where runs are."""
    found, rng = rows(), np.random.default_rng(0)
    draws = {
        (row["run_id"], row["threshold"], row["class_name"]): row["ap"] + rng.normal(0, 0.02, 40)
        for _, row in found.iterrows()
    }
    joined = with_image_draws(found, draws)

    def drawn(loss: str, rate: float, seed: int) -> np.ndarray:
        of_run = found[(found["loss"] == loss) & (found["missing_rate"] == rate) & (found["seed"] == seed)]
        return draws[of_run["run_id"].iloc[0], 0.01, "cup"]

    def lost(loss: str, seed: int) -> np.ndarray:
        return np.array([100 * (a - b) for a, b in zip(drawn(loss, 0.0, seed), drawn(loss, 0.5, seed), strict=True)])

    where = {"class_name": "cup", "missing_rate": 0.5}
    expected = {
        "ap": np.std([np.mean([drawn("CE", 0.5, seed)[b] for seed in SEEDS]) for b in range(40)], ddof=1),
        "points": np.std([np.mean([lost("CE", seed)[b] for seed in SEEDS]) for b in range(40)], ddof=1),
        "percent": np.std(
            [np.mean([lost("CE", seed)[b] / drawn("CE", 0.0, seed)[b] for seed in SEEDS]) for b in range(40)], ddof=1
        ),
        "difference": np.std(
            [np.mean([(lost("CE", seed) - lost("FL γ=5", seed))[b] for seed in SEEDS]) for b in range(40)], ddof=1
        ),
    }
    made = {
        "ap": [the(ap_intervals(given), loss="CE", **where) for given in (found, joined)],
        "points": [the(drop_intervals(given), loss="CE", **where) for given in (found, joined)],
        "percent": [the(drop_intervals(given, "percent"), loss="CE", **where) for given in (found, joined)],
        "difference": [the(compare_losses(given, "CE", "FL γ=5", "drop"), **where) for given in (found, joined)],
    }
    for name, (without, with_images) in made.items():
        assert with_images["value"] == without["value"]
        total = np.hypot(without["standard_error"], expected[name])
        assert with_images["standard_error"] == pytest.approx(total), name
        assert with_images["df"] > without["df"]
