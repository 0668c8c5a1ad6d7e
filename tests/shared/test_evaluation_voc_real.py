"""A real detector's output on VOC 2012 pictures, evaluated by our tables and by VOC's rules read off the files."""

from pathlib import Path
from xml.etree import ElementTree

import numpy as np
import pytest

from noisedash.datasets.registry import DatasetRegistry
from noisedash.evaluation.ap import coco_summary
from noisedash.evaluation.causes import Cause, error_causes
from noisedash.evaluation.falsealarms import recall_at_false_positives
from noisedash.evaluation.matching import CocoRules, Outcome, VocRules, match
from noisedash.evaluation.precision import average_precisions, mean_over_classes
from noisedash.evaluation.records import Predictions
from noisedash.evaluation.resampling import resample
from noisedash.settings import current_settings

ROOT = Path(__file__).resolve().parents[3] / "shared" / "data" / "voc2012mini-multiformat"
XML = ROOT / "gts" / "pascalvoc_format"
CORNERS = ("xmin", "ymin", "xmax", "ymax")


def detections_of(image: str) -> list[tuple[str, float, list[float]]]:
    """Class, score and inclusive pixels of the detector's text file."""
    names = (ROOT / "voc.names").read_text().split()
    path = ROOT / "dets" / "abs_xyx2y2" / f"{image}.txt"
    lines = [line.split() for line in path.read_text().splitlines() if line] if path.exists() else []
    return [(names[int(name)], float(score), [float(value) for value in corners]) for name, score, *corners in lines]


def images() -> list[str]:
    return sorted(path.stem for path in XML.glob("*.xml"))


@pytest.fixture
def task():
    """The dataset as registered, and the detections in its pixel edges."""
    registry = DatasetRegistry(current_settings())
    registry.add(XML, "voc-mini")
    data = registry.get("voc-mini")
    row_of = {Path(file).stem: row for row, file in enumerate(data.images.file)}
    found = [(row_of[image], data.classes.index(name), score, xyxy)
             for image in images() for name, score, xyxy in detections_of(image) if name in data.classes]  # fmt: skip
    xyxy = np.array([one[3] for one in found], dtype=np.float32) - np.array([1, 1, 0, 0], dtype=np.float32)
    columns = [np.array([one[place] for one in found]) for place in range(3)]
    return data, Predictions(columns[0], columns[1], columns[2].astype(np.float32), xyxy)


def slow_average_precision(name: str) -> float | None:
    """VOCevaldet.m and VOCap.m on the files: inclusive pixels, so each side is one longer."""
    truth, positives = {}, 0
    for image in images():
        for thing in ElementTree.parse(XML / f"{image}.xml").getroot().iter("object"):
            if thing.findtext("name") == name:
                box = [float(thing.findtext(f"bndbox/{corner}")) for corner in CORNERS]
                difficult = thing.findtext("difficult") == "1"
                truth.setdefault(image, []).append([box, difficult, False])
                positives += not difficult
    if positives == 0:
        return None
    own = [(score, image, box) for image in images() for other, score, box in detections_of(image) if other == name]
    right, points = 0, []
    for _, image, box in sorted(own, key=lambda one: -one[0]):
        best, at = -1.0, None
        for thing in truth.get(image, []):
            width = min(box[2], thing[0][2]) - max(box[0], thing[0][0]) + 1
            height = min(box[3], thing[0][3]) - max(box[1], thing[0][1]) + 1
            if width > 0 and height > 0:
                areas = sum((b[2] - b[0] + 1) * (b[3] - b[1] + 1) for b in (box, thing[0]))
                overlap = width * height / (areas - width * height)
                if overlap > best:
                    best, at = overlap, thing
        if best >= 0.5 and at[1]:
            continue
        if best >= 0.5 and not at[2]:
            right, at[2] = right + 1, True
            points.append((right / positives, True))
        else:
            points.append((right / positives, False))
    precision = np.cumsum([hit for _, hit in points]) / np.arange(1, len(points) + 1)
    envelope = np.maximum.accumulate(precision[::-1])[::-1]
    return float(sum(envelope * np.diff([recall for recall, _ in points], prepend=0)))


def test_voc_equals_its_rules_on_the_files(task) -> None:
    data, found = task
    aps = average_precisions(match(data, found, VocRules()), "voc")[0]
    expected = [slow_average_precision(name) for name in data.classes]
    np.testing.assert_allclose(aps, [np.nan if ap is None else ap for ap in expected], rtol=0, atol=1e-9)
    assert 0.3 < mean_over_classes(aps) < 1.0


def test_all_measures_agree_with_each_other(task) -> None:
    data, found = task
    table = match(data, found, CocoRules())
    mean_ap = float(mean_over_classes(average_precisions(table))[0])
    assert coco_summary(data, found)["AP50"] == pytest.approx(mean_ap)
    causes = error_causes(data, found)
    assert causes.mean_ap == pytest.approx(mean_ap)
    wrong = sum(one.count for one in causes.fixed if one.cause is not Cause.MISSED)
    assert wrong == (table.outcome == Outcome.WRONG).sum()
    assert all(one.gain >= -1e-12 for one in causes.fixed)
    low, high = resample(table, 300).interval()
    assert low < mean_ap < high
    recalls = recall_at_false_positives(table, (0.01, 0.1, 1.0, 100.0)).pooled
    assert (np.diff(recalls) >= 0).all()
    assert recalls[-1] == pytest.approx((table.outcome == Outcome.RIGHT).sum() / table.positives().sum())
