import numpy as np
import pytest

from noisedash.figures.probe import (
    GROUP_STYLES,
    GROUP_TITLES,
    RunAtRest,
    figure_six_measured,
    gradient_shares,
    inside_over_steps,
    resting_over_gamma,
)
from noisedash.focal import dont_care
from noisedash.probe_records import ANNOTATED, BACKGROUND, BINS, DROPPED, EDGES, GROUPS, ProbeRecord, no_points, rest
from noisedash.spec import CrossEntropy, Focal

STEPS = [0, 100, 200]


def record_of(logits: dict[int, list[list[float]]]) -> ProbeRecord:
    """For each group the logits of its anchors at each of STEPS."""
    shape = (len(STEPS), len(GROUPS))
    histogram, scores = np.zeros((*shape, BINS), dtype=np.int64), np.zeros(shape)
    for group, points in logits.items():
        for point, values in enumerate(points):
            np.add.at(histogram[point, group], np.searchsorted(EDGES, values, side="right"), 1)
            scores[point, group] = (1 / (1 + np.exp(-np.array(values)))).sum()
    pulls = histogram.sum(axis=2) * np.linspace(1, 2, len(GROUPS))
    return ProbeRecord(7, np.array(STEPS), histogram, scores, 2 * pulls, pulls, histogram.sum(axis=2))


def drawn(missing: bool = True) -> ProbeRecord:
    rng = np.random.default_rng(0)
    groups = {ANNOTATED: (1.0, 40), BACKGROUND: (-4.0, 900)} | ({DROPPED: (0.2, 30)} if missing else {})
    return record_of(
        {
            group: [rng.normal(mean * point, 1, number).tolist() for point in range(len(STEPS))]
            for group, (mean, number) in groups.items()
        }
    )


def scores_of(record: ProbeRecord, group: int, point: int) -> np.ndarray:
    middles = np.concatenate([EDGES[:1], (EDGES[1:] + EDGES[:-1]) / 2, EDGES[-1:]])
    return np.repeat(1 / (1 + np.exp(-middles)), record.histogram[point, group])


@pytest.mark.parametrize("loss", [Focal(gamma=8), Focal(gamma=2), CrossEntropy()])
@pytest.mark.parametrize("stretched", [False, True])
def test_figure_six_has_a_frame_for_each_point_and_shows_the_last(loss: Focal | CrossEntropy, stretched: bool) -> None:
    figure = figure_six_measured(drawn(), loss, 0.05, stretched)
    assert [frame.name for frame in figure.frames] == ["0", "100", "200"]
    assert [step.label for step in figure.layout.sliders[0].steps] == ["0", "100", "200"]
    assert figure.layout.sliders[0].active == 2
    moving = [figure.data[index] for index in figure.frames[-1].traces]
    for shown, in_frame in zip(moving, figure.frames[-1].data, strict=True):
        assert (shown.x, shown.y, shown.text) == (in_frame.x, in_frame.y, in_frame.text)
        assert shown.yaxis == "y3"
    assert figure.frames[0].data[0].y != figure.frames[-1].data[0].y
    assert [trace.name for trace in moving[:-1]] == ["background", "dropped", "annotated"]


def test_outlines_are_the_shares_of_the_anchors_by_bin() -> None:
    record = drawn()
    figure = figure_six_measured(record, Focal(gamma=2), 0.05)
    dropped = next(trace for trace in figure.frames[1].data if trace.name == "dropped")
    heights = (np.array(dropped.y)[1:-1:2] - 1) / 0.85
    share = np.array([record.share_scoring(DROPPED, [(low / 50, (low + 1) / 50)])[1] for low in range(50)])
    np.testing.assert_allclose(heights, share / share.max(), atol=1e-3)
    counted = np.histogram(scores_of(record, DROPPED, 1), bins=np.linspace(0, 1, 51))[0] / 30
    assert np.abs(share - counted).max() <= 2 / 30  # an anchor's bin may lie across an end


@pytest.mark.parametrize(("gamma", "has_band"), [(8.0, True), (2.0, False)])
def test_the_band_is_shaded_where_there_is_one(gamma: float, has_band: bool) -> None:
    figure = figure_six_measured(drawn(), Focal(gamma=gamma), 0.05)
    if not has_band:
        assert len(figure.layout.shapes) == 0
        return
    assert len(figure.layout.shapes) == 3
    for shape in figure.layout.shapes:
        np.testing.assert_allclose((shape.x0, shape.x1), dont_care(gamma, 0.05).band)


def test_below_each_group_stands_where_its_kind_does_not_care() -> None:
    figure = figure_six_measured(drawn(), Focal(gamma=3), 0.05)
    region = dont_care(3, 0.05)
    hovers = [(trace.hovertemplate or "", tuple(trace.x)) for trace in figure.data]
    lines = {hover.split(" ")[0]: ends for hover, ends in hovers if "don't care" in hover}
    np.testing.assert_allclose(lines["positives"], region.positives[-1])
    np.testing.assert_allclose(lines["negatives"], region.negatives[0])


def test_a_run_without_dropped_boxes_has_figures_too() -> None:
    record = drawn(missing=False)
    assert "dropped" not in [trace.name for trace in figure_six_measured(record, Focal(), 0.05).data]
    assert [trace.name for trace in gradient_shares(record).data] == ["annotated", "background"]
    assert [trace.name for trace in inside_over_steps(record, Focal(), 0.05).data] == ["background: in the region"]


def test_gradient_shares_add_up_over_the_groups() -> None:
    figure = gradient_shares(drawn())
    np.testing.assert_allclose(np.sum([trace.y for trace in figure.data], axis=0), 1, atol=1e-4)
    assert list(figure.data[0].x) == STEPS


@pytest.mark.parametrize("gamma", [0.0, 2.0, 8.0])
@pytest.mark.parametrize("share", [0.05, 0.3])
def test_who_rests_is_what_counting_scores_says(gamma: float, share: float) -> None:
    record, region = drawn(), dont_care(gamma, share)
    figure = {trace.name: trace.y for trace in inside_over_steps(record, Focal(gamma=gamma), share).data}

    def counted(group: int, low: float, high: float) -> list[float]:
        scores = [scores_of(record, group, point) for point in range(len(STEPS))]
        return [float(((own > low) & (own < high)).mean()) for own in scores]

    end = region.negatives[-1][1]
    assert len(region.negatives) == 1
    np.testing.assert_allclose(figure["dropped: in the region"], counted(DROPPED, 0, end), atol=0.05)
    np.testing.assert_allclose(figure["dropped: in it, score above .1"], counted(DROPPED, 0.1, end), atol=0.05)
    np.testing.assert_allclose(figure["background: in the region"], counted(BACKGROUND, 0, end), atol=0.02)
    assert ("dropped: in the band" in figure) == (region.band is not None)
    if region.band is not None:
        np.testing.assert_allclose(figure["dropped: in the band"], counted(DROPPED, *region.band), atol=0.05)


def test_an_annotated_box_rests_in_the_region_of_positives() -> None:
    record = record_of({ANNOTATED: [[3.0, 4.0, -4.0, 0.0]] * 3, BACKGROUND: [[-4.0]] * 3})
    assert rest(record, ANNOTATED, 0.0, 0.05).inside.tolist() == [0.5] * 3
    assert rest(record, BACKGROUND, 0.0, 0.05).inside.tolist() == [1.0] * 3
    assert rest(record, BACKGROUND, 0.0, 0.05).inside_clearly.tolist() == [0.0] * 3
    assert np.isnan(rest(record, DROPPED, 0.0, 0.05).inside).all()


def test_shares_of_scores_add_up_and_reach_the_ends() -> None:
    record = record_of({DROPPED: [[-50.0, -12.0, 0.0, 12.0, 50.0]] * 3})
    assert record.share_scoring(DROPPED, [(0.0, 1.0)]).tolist() == [1.0] * 3
    parts = [record.share_scoring(DROPPED, [pair])[0] for pair in ((0.0, 0.3), (0.3, 0.9), (0.9, 1.0))]
    assert parts == pytest.approx([0.4, 0.2, 0.4])
    assert record.share_scoring(DROPPED, []).tolist() == [0.0] * 3


def test_over_gamma_each_run_is_a_point_and_means_are_joined() -> None:
    runs = [
        RunAtRest("CE, seed 0", "ce", 0.0, 0.0, 0.1),
        RunAtRest("FL 8, seed 0", "focal", 8.0, 0.5, 0.3),
        RunAtRest("FL 8, seed 1", "focal", 8.0, 0.7, 0.4),
        RunAtRest("FL 0, seed 0", "focal", 0.0, 0.1, 0.2),
    ]
    figure = resting_over_gamma(runs)
    line, points = figure.data[:2]
    assert list(figure.layout.xaxis.ticktext) == ["CE", "0", "8"]
    np.testing.assert_allclose(line.y, [0.0, 0.1, 0.6])
    assert list(points.y) == [0.0, 0.5, 0.7, 0.1]
    assert list(points.text) == [run.label for run in runs]


def test_groups_differ_in_more_than_colour() -> None:
    assert len(GROUP_STYLES) == len(GROUP_TITLES) == len(GROUPS)
    assert len({style.color for style in GROUP_STYLES}) == len(GROUPS)
    assert len({(style.dash, style.marker) for style in GROUP_STYLES}) == len(GROUPS)


def test_a_record_without_points_has_no_anchors() -> None:
    assert no_points(3).anchors.tolist() == [0] * len(GROUPS)
