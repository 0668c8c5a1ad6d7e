"""Sentences about tables over runs."""

import math

import pandas as pd
from test_statistics_robustness import rows, study

from noisedash.studies.robustness import basis, compare_losses, tolerances
from noisedash.studies.wording import basis_in_words, comparison_in_words, mixture_in_words, tolerance_in_words


def test_the_basis_names_all_that_a_figure_stands_on() -> None:
    specs, _ = study()
    said = basis_in_words(basis(specs, rows()))
    assert said == (
        "18 runs; seeds 0, 1, 2; noise draws 0, 1, 2; measured at step 100; score ≥ 0.01; dataset 000000000000"
    )
    assert mixture_in_words(basis(specs, rows())) == ""


def test_what_is_mixed_is_named() -> None:
    (specs, _), (longer, _) = study(), study(steps=200)
    both = rows().assign(settings="steps=100"), rows(steps=200).assign(settings="steps=200")
    stacked = pd.concat(both)
    said = mixture_in_words(basis({**specs, **longer}, stacked))
    assert "different steps (100; 200) and settings (steps=100; steps=200)" in said


def test_a_comparison_says_which_side_and_whether_chance_does_it() -> None:
    table = compare_losses(rows().query("class_name == ''"), "CE", "FL γ=5", "drop")
    worst = table[table["missing_rate"] == 0.5].iloc[0]
    assert comparison_in_words(worst, "drop").startswith(
        f"At 50 % missing, CE loses {worst['value']:.2f} points more than FL γ=5 ({worst['low']:+.2f} to"
    )
    other_way = compare_losses(rows().query("class_name == ''"), "FL γ=5", "CE", "drop").iloc[0]
    assert "points less than CE" in comparison_in_words(other_way, "drop")
    ap = compare_losses(rows().query("class_name == ''"), "CE", "FL γ=5", "ap")
    assert comparison_in_words(ap.iloc[0], "ap").startswith("On clean labels, CE is 0.00 points above FL γ=5")
    single = compare_losses(rows(seeds=(0,)).query("class_name == ''"), "CE", "FL γ=5", "drop").iloc[0]
    assert comparison_in_words(single, "drop").endswith("there is no telling that from chance.")
    assert "chance alone may do that" in comparison_in_words({**worst, "p_value": 0.2}, "drop")


def test_what_is_tolerated_beyond_what_was_measured() -> None:
    table = tolerances(rows(), 1000.0)
    said = tolerance_in_words(table.iloc[0], 1000.0, "points")
    assert "tolerates more than 50 % missing labels within 1000 points" in said
    assert "so does the whole 95 % interval" in said
    single = {**table.iloc[0], "low": math.nan, "high": math.nan}
    assert "its error is not known" in tolerance_in_words(single, 2, "points")
