"""Our way from a COCO file to AP against pycocotools', which reads the very same file: crowds, gaps in ids and all."""

import contextlib
import io
from pathlib import Path

import numpy as np
from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval

from noisedash.datasets.registry import DatasetRegistry
from noisedash.evaluation.ap import coco_summary, evaluate
from noisedash.evaluation.matching import COCO_IOUS
from noisedash.evaluation.records import Predictions
from noisedash.settings import current_settings
from noisedash.spec import EvaluationSpec

ROOT = Path(__file__).resolve().parents[3] / "shared" / "data" / "coco-free-json"
SPEC = EvaluationSpec(score_thresholds=(0.0,))


def test_equal_to_pycocotools_on_its_own_file() -> None:
    registry = DatasetRegistry(current_settings())
    registry.add(ROOT, "real")
    dataset = registry.get("real")
    val = dataset.subset(np.flatnonzero([split == "val" for split in dataset.images.split]))
    assert val.boxes.crowd.any()
    found = _shaken(val, np.random.default_rng(0))
    (record,) = evaluate(val, found, SPEC)
    theirs = _by_pycocotools(val, found)
    ours = {name: ap for name, ap in zip(val.classes, record.per_class, strict=True) if ap is not None}
    assert set(ours) == set(theirs)
    assert 0.2 < record.mean < 0.95
    for name, ap in ours.items():
        np.testing.assert_allclose(ap, theirs[name], rtol=0, atol=1e-9, err_msg=name)


def test_cocos_own_numbers_are_pycocotools_on_its_own_file() -> None:
    """Those by size too, which go by the area of an object's outline."""
    registry = DatasetRegistry(current_settings())
    registry.add(ROOT, "real")
    dataset = registry.get("real")
    val = dataset.subset(np.flatnonzero([split == "val" for split in dataset.images.split]))
    found = _shaken(val, np.random.default_rng(1))
    ours = coco_summary(val, found)
    run = _run(val, found, COCO_IOUS)
    with contextlib.redirect_stdout(io.StringIO()):
        run.summarize()
    assert (~np.isnan(val.boxes.outline_area)).any()
    np.testing.assert_allclose(list(ours.values()), run.stats, rtol=0, atol=1e-9)


def _shaken(dataset, rng) -> Predictions:
    """Three detections near each box, crowds too, and some strays of any class; scores are often equal."""
    rows = np.repeat(np.arange(len(dataset.boxes)), 3)
    boxes = dataset.boxes.take(rows)
    sides = np.tile(boxes.xyxy[:, 2:] - boxes.xyxy[:, :2], 2)
    xyxy = boxes.xyxy + rng.uniform(-0.25, 0.25, boxes.xyxy.shape) * sides
    class_id = np.where(rng.random(len(rows)) < 0.9, boxes.class_id, rng.integers(0, len(dataset.classes), len(rows)))
    score = rng.random(len(rows)).round(2).astype(np.float32)
    return Predictions(boxes.image_index, class_id, score, xyxy.astype(np.float32))


def _by_pycocotools(dataset, found: Predictions) -> dict[str, float]:
    run = _run(dataset, found, (0.5,))
    precision = run.eval["precision"][0, :, :, 0, -1]
    names = {category_id: category["name"] for category_id, category in run.cocoGt.cats.items()}
    return {
        names[category_id]: float(column.mean())
        for category_id, column in zip(run.params.catIds, precision.T, strict=True)
        if column[0] >= 0
    }


def _run(dataset, found: Predictions, ious: tuple[float, ...]) -> COCOeval:
    """pycocotools' evaluation from its own reading of the file."""
    (annotations,) = (ROOT / "annotations").glob("*val*.json")
    with contextlib.redirect_stdout(io.StringIO()):
        truth = COCO(str(annotations))
        image_ids = {Path(image["file_name"]).name: image["id"] for image in truth.dataset["images"]}
        category_ids = {category["name"]: category["id"] for category in truth.dataset["categories"]}
        results = [
            {
                "image_id": image_ids[Path(dataset.images.file[image]).name],
                "category_id": category_ids[dataset.classes[class_id]],
                "score": float(score),
                "bbox": [left, top, right - left, bottom - top],
            }
            for image, class_id, score, (left, top, right, bottom) in zip(
                found.image_index, found.class_id, found.score, found.xyxy.astype(np.float64).tolist(), strict=True
            )
        ]
        run = COCOeval(truth, truth.loadRes(results), "bbox")
        run.params.iouThrs = np.array(ious)
        run.evaluate()
        run.accumulate()
    return run
