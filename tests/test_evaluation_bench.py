"""The benchmark says what it measured, on a task worth measuring."""

import json

import numpy as np
import pytest

from noisedash.evaluation.ap import evaluate
from noisedash.evaluation.bench import SPEC, bench_eval, synthetic_task


def test_a_row_for_a_script(capsys: pytest.CaptureFixture[str]) -> None:
    (row,) = bench_eval(images=15, repeats=1)
    assert json.loads(json.dumps(row)) == row
    assert (row["bench"], row["images"], row["detections"]) == ("eval", 15, 1500)
    assert row["max_difference"] < 1e-9
    assert row["ours_s"] > 0
    assert row["pycocotools_s"] > 0
    assert capsys.readouterr().out == ""


def test_the_task_is_neither_trivial_nor_hopeless() -> None:
    data, found = synthetic_task(20)
    assert (found.xyxy[:, 2:] >= found.xyxy[:, :2]).all()
    assert 0.05 < evaluate(data, found, SPEC)[0].mean < 0.95
    again = synthetic_task(20)
    np.testing.assert_array_equal(found.xyxy, again[1].xyxy)
