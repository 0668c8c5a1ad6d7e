"""The figures show the numbers that they were given, and say them in more than colour."""

import numpy as np
import pandas as pd
import pytest
from evaluation_toys import random_case

from noisedash.evaluation.causes import Cause, error_causes
from noisedash.evaluation.falsealarms import recall_at_false_positives
from noisedash.evaluation.matching import CocoRules, match
from noisedash.evaluation.precision import mean_over_classes, over_thresholds, precision_recall
from noisedash.figures.evaluation import (
    CAUSE_TEXTS,
    Curve,
    Whisker,
    ap_over_threshold,
    bands_over_rate,
    causes_of_errors,
    precision_over_recall,
    recall_over_false_positives,
    whiskers,
)
from noisedash.figures.style import category_style, loss_style

CE, FOCAL = loss_style("ce", 0), loss_style("focal", 5)
DATA, FOUND = random_case(1)
TABLE = match(DATA, FOUND, CocoRules())


def test_map_over_the_threshold_marks_the_two_thresholds() -> None:
    thresholds = [0.0, 0.25, 0.5]
    aps = mean_over_classes(over_thresholds(TABLE, thresholds)[:, 0])
    figure = ap_over_threshold([Curve("CE", thresholds, aps, CE), Curve("<b>x</b>", thresholds, aps / 2, FOCAL)])
    np.testing.assert_allclose(figure.data[0].y, aps, atol=1e-5)
    assert [trace.name for trace in figure.data] == ["CE", "&lt;b&gt;x&lt;/b&gt;"]
    assert figure.data[0].line.dash != figure.data[1].line.dash
    assert [shape.x0 for shape in figure.layout.shapes] == [0.01, 0.3]


def test_precision_never_rises_with_recall() -> None:
    curve = precision_recall(TABLE, 0)
    (trace,) = precision_over_recall([("cup", curve, category_style(0))]).data
    assert trace.name == f"cup (AP {curve.average_precision:.3f})"
    assert (np.diff(trace.y) <= 0).all()
    assert np.mean(trace.y) == pytest.approx(curve.average_precision, abs=1e-4)


def test_recall_over_false_positives_has_a_tick_for_each_rate() -> None:
    made = recall_at_false_positives(TABLE, (0.3, 1.0))
    figure = recall_over_false_positives([("CE", made, CE)])
    np.testing.assert_allclose(figure.data[0].y, made.pooled, atol=1e-5)
    assert figure.layout.xaxis.type == "log"
    assert {0.1, 0.3, 1.0, 8.0} <= set(figure.layout.xaxis.tickvals)


def test_each_cause_has_a_bar_for_each_run() -> None:
    fixed = error_causes(DATA, FOUND).fixed
    figure = causes_of_errors([("CE", fixed, CE), ("FL γ=5", fixed, FOCAL)])
    assert set(CAUSE_TEXTS) == set(Cause)
    for trace in figure.data:
        assert list(trace.y) == list(CAUSE_TEXTS.values())
        np.testing.assert_allclose(trace.x, [100 * one.gain for one in fixed], atol=1e-3)
    assert figure.data[0].marker.pattern.shape != figure.data[1].marker.pattern.shape


def table(low: float = 0.05) -> pd.DataFrame:
    rows = [
        {"loss": loss, "settings": "", "kind": kind, "gamma": gamma, "missing_rate": rate, "value": 0.7 - rate,
         "low": 0.7 - rate - low, "high": 0.7 - rate + low, "runs": 3, "varies": "seed"}
        for loss, kind, gamma in (("FL γ=5", "focal", 5.0), ("CE", "ce", np.nan))
        for rate in (0.5, 0.0)
    ]  # fmt: skip
    return pd.DataFrame(rows)


def test_bands_go_round_their_curves() -> None:
    figure = bands_over_rate(table(), "mAP@.50")
    band, line = figure.data[:2]
    assert (line.name, band.legendgroup, band.showlegend) == ("CE", "CE", False)
    assert list(band.x) == [0.0, 0.5, 0.5, 0.0]
    np.testing.assert_allclose(band.y, [0.75, 0.25, 0.15, 0.65])
    np.testing.assert_allclose(line.y, [0.7, 0.2])
    assert list(figure.layout.xaxis.tickvals) == [0.0, 0.5]


def test_single_runs_have_no_band() -> None:
    assert [trace.name for trace in bands_over_rate(table(np.nan), "mAP@.50").data] == ["CE", "FL γ=5"]


def test_what_lies_beyond_is_an_arrow_and_what_is_unknown_a_point() -> None:
    rows = [Whisker("CE", 0.2, 0.1, 0.3, CE), Whisker("FL γ=5", np.inf, 0.4, np.inf, FOCAL)]
    rows.append(Whisker("FL γ=2", 0.3, np.nan, np.nan, FOCAL))
    figure = whiskers(rows, "missing labels tolerated", beyond=0.5, zero=True)
    drawn = [(trace.name, trace.mode, list(trace.x), trace.marker.symbol) for trace in figure.data]
    assert drawn == [
        ("CE", "lines", [0.1, 0.3], None),
        ("CE", "markers", [0.2], CE.marker),
        ("FL γ=5", "lines", [0.4, 0.5], None),
        ("FL γ=5", "markers", [0.5], "arrow-right"),
        ("FL γ=2", "markers", [0.3], FOCAL.marker),
    ]
    assert "beyond what was measured" in figure.data[2].hovertemplate
    assert "unknown" in figure.data[4].hovertemplate
    assert len(figure.layout.shapes) == 1


def test_nothing_to_draw_is_an_empty_figure() -> None:
    for figure in (ap_over_threshold([]), precision_over_recall([]), recall_over_false_positives([])):
        assert len(figure.data) == 0
    assert len(causes_of_errors([]).data) == len(whiskers([], "x").data) == len(bands_over_rate(table()[:0], "y").data)
