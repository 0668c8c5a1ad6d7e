import numpy as np
import pandas as pd
import pytest

from noisedash.figures import curves, losses, style
from noisedash.figures.curves import MAP, POINTS_LOST, Series
from noisedash.focal import dont_care
from noisedash.published import curves_over_gamma, curves_over_noise
from noisedash.spec import CrossEntropy, Focal


def luminance(color: str) -> float:
    channels = [int(color[start : start + 2], 16) / 255 for start in (1, 3, 5)]
    linear = [c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in channels]
    return float(np.dot(linear, [0.2126, 0.7152, 0.0722]))


def contrast(first: str, second: str) -> float:
    high, low = sorted([luminance(first), luminance(second)], reverse=True)
    return (high + 0.05) / (low + 0.05)


def points(losses_of: list[tuple[str, str, float]], rates: list[float], n: int = 3) -> pd.DataFrame:
    rows = [
        {
            "loss": loss, "settings": "", "kind": kind, "gamma": gamma, "missing_rate": rate, "class_name": "",
            "mean": 0.7 - rate / 5, "sd": 0.01 if n > 1 else np.nan, "low": 0.69 - rate / 5, "high": 0.72 - rate / 5,
            "n": n, "drop_mean": 20 * rate, "drop_sd": 1.0, "drop_n": n,
        }
        for loss, kind, gamma in losses_of
        for rate in rates
    ]  # fmt: skip
    return pd.DataFrame(rows)


LOSSES = [("FL γ=5", "focal", 5.0), ("CE", "ce", np.nan), ("FL γ=0", "focal", 0.0)]


def named(figure) -> dict[str, object]:
    return {trace.name: trace for trace in figure.data}


@pytest.mark.parametrize("gamma", [*range(9), 0.5, 2.5, 30])
@pytest.mark.parametrize("background", ["#ffffff", "#0f1218"])
def test_every_loss_stands_out_on_both_themes(gamma: float, background: str) -> None:
    assert contrast(style.loss_style("focal", gamma).color, background) >= 3
    assert contrast(style.loss_style("ce", 0).color, background) >= 3


@pytest.mark.parametrize("rate", [0, 0.1, 0.2, 0.3, 0.4, 0.5, 0.9])
def test_every_rate_stands_out_on_both_themes(rate: float) -> None:
    color = style.rate_style(rate).color
    assert min(contrast(color, "#ffffff"), contrast(color, "#0f1218")) >= 2.9


def test_losses_of_the_sweep_differ_in_more_than_colour() -> None:
    styles = [style.loss_style("ce", 0), *(style.loss_style("focal", gamma) for gamma in range(9))]
    assert len({each.color for each in styles}) == 10
    assert len({(each.dash, each.marker) for each in styles}) == 10


def test_style_is_the_same_from_spec_and_from_columns() -> None:
    assert style.style_of(Focal(gamma=5)) == style.loss_style("focal", 5.0)
    assert style.style_of(CrossEntropy()) == style.loss_style("ce", 0.0)


def test_curves_over_rate_are_in_order_and_carry_their_spread() -> None:
    figure = curves.ap_over_rate(points(LOSSES, [0.5, 0.0]), "sd")
    assert [trace.name for trace in figure.data] == ["CE", "FL γ=0", "FL γ=5"]
    ce = named(figure)["CE"]
    np.testing.assert_allclose(ce.x, [0, 0.5], atol=0.01)
    np.testing.assert_allclose(ce.y, [0.7, 0.6])
    np.testing.assert_allclose(ce.error_y.array, [0.01, 0.01])
    assert ce.error_y.visible
    assert list(figure.layout.xaxis.tickvals) == [0, 0.5]


def test_range_bars_reach_from_lowest_to_highest() -> None:
    bars = curves.ap_over_rate(points(LOSSES, [0.0]), "range").data[0].error_y
    np.testing.assert_allclose([bars.arrayminus[0], bars.array[0]], [0.01, 0.02], atol=1e-6)


def test_one_seed_has_no_bars() -> None:
    assert not curves.ap_over_rate(points(LOSSES, [0.0], n=1), "sd").data[0].error_y.visible


def test_no_points_draw_an_empty_figure() -> None:
    empty = points(LOSSES, [0.0]).iloc[:0]
    assert len(curves.ap_over_rate(empty, "sd").data) == 0
    assert len(curves.ap_over_gamma(empty, "sd").data) == 0


def test_paper_lies_below_in_dashed_grey() -> None:
    paper = curves_over_noise("pascal_voc")
    figure = curves.ap_over_rate(points(LOSSES, [0.0, 0.5]), "sd", paper)
    first, second = figure.data[:2]
    assert (first.name, second.name) == ("paper: CE", "paper: FL γ=2")
    assert first.line.color == style.GREY
    assert first.line.dash == "dash"
    np.testing.assert_allclose(second.y, paper[1].mean_ap)
    assert list(figure.layout.xaxis.tickvals) == [0, 0.1, 0.2, 0.3, 0.4, 0.5]


def test_paper_as_points_lost_is_the_abstract_of_its_figure_4() -> None:
    paper = curves_over_noise("pascal_voc")
    figure = curves.ap_over_rate(points(LOSSES, [0.0]), "sd", paper, POINTS_LOST)
    assert named(figure)["paper: FL γ=2"].y[-1] == pytest.approx(20.12)
    lost = named(curves.ap_over_gamma(points(LOSSES, [0.0]), "sd", curves_over_gamma("indoor"), POINTS_LOST))
    assert lost["paper: 50 %"].y[0] == pytest.approx(18.52)
    assert lost["paper: 0 %"].y == (0.0,) * 9


def test_curves_over_gamma_have_a_line_per_rate_and_a_level_for_cross_entropy() -> None:
    drawn = named(curves.ap_over_gamma(points(LOSSES, [0.0, 0.5]), "sd"))
    assert list(drawn) == ["0 % missing", "CE, 0 % missing", "50 % missing", "CE, 50 % missing"]
    assert list(drawn["50 % missing"].x) == [0, 5]
    assert list(drawn["CE, 50 % missing"].y) == [0.6, 0.6]


def test_a_rate_at_one_gamma_is_no_curve_over_gamma_beside_those_that_are() -> None:
    swept, single = points(LOSSES, [0.0, 0.5]), points(LOSSES, [0.3])
    single = single[~((single["kind"] == "focal") & (single["gamma"] == 0))]
    drawn = named(curves.ap_over_gamma(pd.concat([swept, single]), "sd"))
    assert list(drawn) == ["0 % missing", "CE, 0 % missing", "50 % missing", "CE, 50 % missing"]
    assert list(named(curves.ap_over_gamma(single, "sd"))) == ["30 % missing", "CE, 30 % missing"]


def test_runs_of_other_settings_are_other_curves() -> None:
    longer = points(LOSSES[:1], [0.0, 0.5]).assign(settings="steps=900")
    both = pd.concat([points(LOSSES[:1], [0.0, 0.5]), longer])
    assert [trace.name for trace in curves.ap_over_rate(both, "sd").data] == ["FL γ=5", "FL γ=5 (steps=900)"]


def test_many_settings_differ_in_their_markers_and_make_room_for_their_names() -> None:
    few = points(LOSSES, [0.0, 0.5])
    many = pd.concat([few.assign(settings=f"detector=of_a_long_name_{number}") for number in range(5)])
    low, high = (curves.ap_over_rate(frame, "sd") for frame in (few, many))
    of_one_loss = [trace for trace in high.data if trace.name.startswith("CE")]
    assert len({(trace.marker.symbol, trace.line.color) for trace in of_one_loss}) == 5
    assert len({trace.marker.symbol for trace in of_one_loss}) == 4
    assert low.layout.height == 380
    assert high.layout.height == 380 + 13 * 20  # a row each, of which two have room


def test_lost_since_clean_leaves_out_what_has_no_clean_run() -> None:
    frame = points(LOSSES, [0.0, 0.5])
    frame.loc[0, "drop_n"] = 0
    lost = curves.lost_since_clean(frame)
    assert len(lost) == len(frame) - 1
    assert lost["mean"].tolist()[-1] == 10


def test_class_curves_share_axes_and_legend_and_show_names_as_they_are() -> None:
    frame = pd.concat([points(LOSSES, [0.0, 0.5]).assign(class_name=name) for name in ("cup", "<b>hat</b>")])
    figure = curves.class_curves(frame, ["cup", "<b>hat</b>"], "sd", MAP)
    assert sum(trace.showlegend is not False for trace in figure.data) == len(LOSSES)
    assert [note.text for note in figure.layout.annotations] == ["cup", "&lt;b&gt;hat&lt;/b&gt;"]


def test_training_curves_are_thinned_and_keep_their_last_point() -> None:
    steps = list(range(10_001))
    figure = curves.over_steps([Series("run", steps, [1.0] * len(steps), style.category_style(0))], "loss")
    assert len(figure.data[0].x) <= 202
    assert figure.data[0].x[-1] == 10_000


def test_run_without_metrics_draws_nothing() -> None:
    assert len(curves.over_steps([Series("run", [], [], style.category_style(0))], "loss").data[0].x) == 0


def test_figure_2_has_a_curve_per_gamma_and_cross_entropy() -> None:
    figure = losses.loss_over_score([0, 2, 8], 0.75, "loss", highlighted=8)
    drawn = named(figure)
    assert list(drawn) == ["CE", "FL γ=0", "FL γ=2", "FL γ=8"]
    assert drawn["FL γ=8"].line.width > drawn["FL γ=2"].line.width
    middle = np.argmin(np.abs(np.array(drawn["CE"].x) - 0.5))
    assert drawn["CE"].y[middle] == pytest.approx(np.log(2), abs=0.01)
    assert drawn["FL γ=2"].y[middle] == pytest.approx(0.75 * 0.25 * np.log(2), abs=0.01)


@pytest.mark.parametrize("quantity", ["loss", "gradient"])
def test_figure_6_shades_the_band_only_where_there_is_one(quantity) -> None:
    with_band = losses.positives_and_negatives(8, 0.75, quantity, dont_care(8, 0.1))
    without = losses.positives_and_negatives(2, 0.75, quantity, dont_care(2, 0.1))
    assert [round(end, 2) for end in (with_band.layout.shapes[0].x0, with_band.layout.shapes[0].x1)] == [0.33, 0.67]
    assert len(without.layout.shapes) == 0


def test_figure_6_mirrors_positives_in_negatives_at_equal_weights() -> None:
    figure = losses.positives_and_negatives(5, 0.5, "gradient", dont_care(5, 0.1))
    positive, negative = figure.data[:2]
    np.testing.assert_allclose(positive.y, negative.y[::-1], atol=2e-6)
    assert min(positive.y) >= 0
