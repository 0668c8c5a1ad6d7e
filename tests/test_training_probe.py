import itertools
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor
from training_toys import CLASSES, toy_dataset, toy_pixels

from noisedash import probe_records
from noisedash.boxes import pairwise_iou
from noisedash.datasets.dataset import Dataset
from noisedash.detector.build import build_detector
from noisedash.detector.losses import classification_losses
from noisedash.detector.matching import match
from noisedash.detector.network import Detector
from noisedash.detector.ssd import SsdMobileNet
from noisedash.focal import focal_gradient, focal_loss
from noisedash.noise.recipe import INVENTED, Fate, NoisyDataset, apply_recipe
from noisedash.noise_spec import ExtraNoise, MissingNoise, NoiseRecipe, WrongClassNoise
from noisedash.probe_records import BINS, EDGES, GROUPS, NEAR_IOU, ProbeRecord
from noisedash.records import MetricRecord, Progress
from noisedash.spec import (
    CrossEntropy,
    DataSpec,
    DetectorSpec,
    Focal,
    Loss,
    RetinaNetResNet50,
    RunSpec,
    Ssd300Vgg16,
    SsdLiteMobileNetV3,
    SsdMobileNetV1,
    TrainingSpec,
)
from noisedash.training.batches import Batch
from noisedash.training.checkpoint import CheckpointFolder
from noisedash.training.loop import TrainingStoppedError, train
from noisedash.training.probe import (
    COST_OF_AN_IMAGE,
    MOST_COST,
    MOST_IMAGES,
    DroppedBoxes,
    Probe,
    anchor_groups,
    probe_plan,
)

MICRO = SsdMobileNetV1(input_side=96, depth_multiplier=0.25, first_stride=8, repeated_blocks=2)
CLEAN = toy_dataset()
PIXELS = toy_pixels(CLEAN)
DAMAGE = NoiseRecipe(steps=(MissingNoise(rate=0.5), WrongClassNoise(rate=0.2), ExtraNoise(rate=0.3)))
NOISY = apply_recipe(CLEAN, DAMAGE)
MINED = CrossEntropy(negatives_per_positive=1.0, mining_nms_iou=None)


def spec_of(loss: Loss, steps: int = 20, batch_size: int = 6) -> RunSpec:
    return RunSpec(
        data=DataSpec(content_hash="0" * 64),
        detector=MICRO,
        loss=loss,
        training=TrainingSpec(steps=steps, batch_size=batch_size, seed=3),
    )


def probe_of(spec: RunSpec, data: NoisyDataset = NOISY) -> Probe:
    return Probe(spec, data, PIXELS, lambda record: None)


class Table(Detector):
    """A detector in float64 whose anchors are boxes of the data, shaken, and whose logits follow from the pixels."""

    class_head = ""

    def __init__(self, seed: int = 0) -> None:
        super().__init__(MICRO, len(CLASSES))
        rng = np.random.default_rng(seed)
        shaken = CLEAN.boxes.xyxy / 96 + rng.normal(0, 0.06, (len(CLEAN.boxes), 4))
        self.register_buffer(
            "anchors", torch.from_numpy(np.tile(shaken, (2, 1)) + rng.normal(0, 0.03, (36, 4))).float()
        )
        self.weights = torch.nn.Parameter(torch.from_numpy(rng.normal(0, 2.5, (36, 3))))
        self.deltas = torch.from_numpy(rng.normal(0, 1, (36, 4)))

    def forward(self, images: Tensor) -> tuple[Tensor, Tensor]:
        brightness = images.double().mean(dim=(1, 2, 3))[:, None, None]
        return self.weights * (1 + brightness), self.deltas.expand(len(images), -1, -1)


def annotated_and_dropped(data: NoisyDataset, row: int) -> tuple[list[int], list[int]]:
    """Rows in data.boxes and in the clean boxes of one image, each in the order of ids."""
    kept = [box for box in range(len(data.boxes)) if data.boxes.image_index[box] == row]
    lost = [
        box
        for box in range(len(data.clean.boxes))
        if data.clean.boxes.image_index[box] == row and data.fate[box] == Fate.DROPPED
    ]
    return (
        sorted(kept, key=lambda box: data.boxes.box_id[box]),
        sorted(lost, key=lambda box: data.clean.boxes.box_id[box]),
    )


def matched(iou: list[list[float]], anchors: int) -> list[int]:
    """For each anchor the number of its box, -1 for none; `iou` by box, then anchor."""
    result = []
    for anchor in range(anchors):
        best = max(range(len(iou)), key=lambda box: (iou[box][anchor], -box), default=-1)
        result.append(best if best >= 0 and iou[best][anchor] >= 0.5 else -1)
    for box in reversed(range(len(iou))):
        own = max(range(anchors), key=lambda anchor: (iou[box][anchor], -anchor))
        if iou[box][own] > 0:
            result[own] = box
    return result


def expected_groups(data: NoisyDataset, row: int, anchors: np.ndarray) -> tuple[list[str], list[int]]:
    """Group and class of each anchor on one image, one anchor and box at a time."""
    kept, lost = annotated_and_dropped(data, row)

    def ious(boxes: np.ndarray) -> list[list[float]]:
        unit = (np.clip(boxes / 96, 0, 1)).astype(np.float32).astype(float)
        return [[float(pairwise_iou(box[None], anchor[None])[0, 0]) for anchor in anchors] for box in unit]

    iou_kept, iou_lost = ious(data.boxes.xyxy[kept]), ious(data.clean.boxes.xyxy[lost])
    now, would_be = matched(iou_kept, len(anchors)), matched(iou_kept + iou_lost, len(anchors))
    groups, classes = [], []
    for anchor in range(len(anchors)):
        if now[anchor] >= 0:
            box = kept[now[anchor]]
            groups.append("invented" if data.origin[box] == INVENTED else "annotated")
            classes.append(int(data.boxes.class_id[box]))
        elif would_be[anchor] >= len(kept):
            groups.append("dropped")
            classes.append(int(data.clean.boxes.class_id[lost[would_be[anchor] - len(kept)]]))
        else:
            near = any(iou[anchor] >= NEAR_IOU for iou in iou_lost)
            groups.append("near" if near else "background")
            classes.append(-1)
    return groups, classes


def pull_by_differences(model: Table, batch, loss: Loss) -> np.ndarray:
    """|dL/dlogit| (B, A, C) of the classification loss that is trained, by central differences."""
    with torch.no_grad():
        logits, deltas = model(batch.images)
        targets = match(model.anchors, batch.boxes, batch.labels, batch.valid)

        def total(values: Tensor) -> float:
            return float(classification_losses(values, deltas, targets, model.anchors, loss)[0].sum())

        pull = np.zeros(tuple(logits.shape))
        for place in itertools.product(*map(range, logits.shape)):
            shift = torch.zeros_like(logits)
            shift[place] = 1e-5
            pull[place] = abs(total(logits + shift) - total(logits - shift)) / 2e-5
    return pull


@pytest.mark.parametrize("loss", [Focal(gamma=5, classification_weight=3), Focal(gamma=0, alpha=0.5), MINED])
def test_it_is_what_loops_over_anchors_and_boxes_find(loss: Loss) -> None:
    model, probe = Table(), probe_of(spec_of(loss))
    assert probe.plan.images == 6
    probe.look(model, 0)
    seen = probe.record
    batch, rows = probe._batches.batch_at(0), probe._batches.rows_at(0)
    pull = pull_by_differences(model, batch, loss)
    with torch.no_grad():
        logits, deltas = model(batch.images)
        targets = match(model.anchors, batch.boxes, batch.labels, batch.valid)
        _, hard = classification_losses(logits, deltas, targets, model.anchors, loss)
    numbers = {name: dict.fromkeys(("anchors", "score", "loss", "pull", "counted"), 0.0) for name in GROUPS}
    histogram = np.zeros((len(GROUPS), BINS), dtype=int)
    anchors = model.anchors.double().numpy()
    gamma, alpha = (loss.gamma, loss.alpha) if isinstance(loss, Focal) else (0.0, None)
    for position, row in enumerate(rows):
        groups, classes = expected_groups(NOISY, int(row), anchors)
        for anchor, (group, class_id) in enumerate(zip(groups, classes, strict=True)):
            own = logits[position, anchor].numpy()
            scored = own[class_id] if class_id >= 0 else own.max()
            is_positive = group in ("annotated", "invented")
            cost = 0.0
            for label in range(len(CLASSES)):
                positive = is_positive and label == class_id
                weight = 1.0 if alpha is None else alpha if positive else 1 - alpha
                cost += float(focal_loss(own[label], positive, gamma, weight)) * bool(hard[position, anchor])
            into = numbers[group]
            into["anchors"] += 1
            into["score"] += 1 / (1 + np.exp(-scored))
            into["loss"] += cost
            into["pull"] += pull[position, anchor].sum()
            into["counted"] += bool(hard[position, anchor])
            histogram[GROUPS.index(group), sum(scored >= edge for edge in EDGES)] += 1
    assert min(numbers[name]["anchors"] for name in GROUPS) > 0, "a group that the toy data does not have"
    np.testing.assert_array_equal(seen.histogram[0], histogram)
    for index, name in enumerate(GROUPS):
        expected = numbers[name]
        assert seen.anchors[index] == expected["anchors"]
        assert seen.counted[0, index] == expected["counted"]
        np.testing.assert_allclose(seen.score_sum[0, index], expected["score"], rtol=1e-9)
        np.testing.assert_allclose(seen.loss_sum[0, index], expected["loss"], rtol=1e-5)  # float32 labels' weights
        np.testing.assert_allclose(seen.gradient_sum[0, index], expected["pull"], rtol=1e-5, atol=1e-8)
    np.testing.assert_allclose(seen.gradient_share.sum(axis=1), 1)
    if isinstance(loss, CrossEntropy):
        assert seen.counted.sum() < seen.anchors.sum()


def test_the_pull_of_a_dropped_boxs_anchor_is_the_negatives_closed_form() -> None:
    """The same by the formula, not by differences: gradients of all anchors of an image without boxes."""
    data = apply_recipe(CLEAN, NoiseRecipe(steps=(MissingNoise(rate=1.0),)))
    model, probe = Table(), probe_of(spec_of(Focal(gamma=3)), data)
    probe.look(model, 5)
    with torch.no_grad():
        logits = model(probe._batches.batch_at(0).images)[0].numpy()
    pull = np.abs(focal_gradient(logits, positive=False, gamma=3, weight=0.25)).sum()
    np.testing.assert_allclose(probe.record.gradient_sum.sum(), pull, rtol=1e-5)
    assert probe.record.anchors[probe_records.ANNOTATED] == 0
    assert probe.record.anchors[probe_records.DROPPED] > 0
    assert np.isnan(probe.record.mean_score[0, probe_records.ANNOTATED])


def test_an_anchor_that_is_positive_now_stays_so_even_where_a_dropped_box_fits_better() -> None:
    """And stands for the annotated box, by its class; what is merely close to the dropped one is near."""
    boxes = torch.tensor([[[0.0, 0.0, 0.4, 0.4]]])
    ones, zeros = torch.ones((1, 1), dtype=torch.bool), torch.zeros((1, 1), dtype=torch.int64)
    batch = Batch(torch.zeros(1, 3, 8, 8), boxes, zeros, ones)
    dropped = DroppedBoxes(torch.tensor([[[0.1, 0.0, 0.5, 0.4]]]), zeros + 2, ones)
    anchors = torch.tensor([[0.06, 0.0, 0.46, 0.4], [0.1, 0.0, 0.5, 0.4], [0.25, 0.0, 0.65, 0.4], [0.7, 0.7, 0.9, 0.9]])
    now = match(anchors, boxes, zeros, ones).box_index
    assert now.tolist() == [[0, 0, -1, -1]]
    group, class_id = anchor_groups(anchors, now, batch, ~ones, dropped)
    names = [GROUPS[index] for index in group[0]]
    assert names == ["annotated", "annotated", "near", "background"]
    assert class_id.tolist() == [[0, 0, -1, -1]]


def without_boxes() -> Dataset:
    none = CLEAN.boxes.take(np.zeros(0, dtype=np.int64))
    return Dataset(CLEAN.name, CLEAN.root, CLEAN.classes, CLEAN.images, none)


@pytest.mark.parametrize("loss", [Focal(), MINED])
@pytest.mark.parametrize("data", [apply_recipe(CLEAN, NoiseRecipe()), apply_recipe(without_boxes(), NoiseRecipe())])
def test_groups_that_nothing_belongs_to_are_empty(data: NoisyDataset, loss: Loss) -> None:
    probe = probe_of(spec_of(loss), data)
    probe.look(SsdMobileNet(MICRO, len(CLASSES)), 0)
    seen, absent = probe.record, [probe_records.DROPPED, probe_records.INVENTED, probe_records.NEAR]
    assert seen.anchors[absent].tolist() == [0, 0, 0]
    assert seen.anchors.sum() == 6 * 738
    assert np.isnan(seen.mean_score[0, absent]).all()
    assert seen.gradient_share[0, absent].tolist() == [0, 0, 0]
    assert (seen.anchors[probe_records.ANNOTATED] > 0) == (len(data.boxes) > 0)
    assert np.isfinite(seen.gradient_share).all()


def test_the_model_and_all_random_state_stay_as_they_were() -> None:
    model = SsdMobileNet(MICRO, len(CLASSES)).train()
    model.backbone.eval()
    modes = [module.training for module in model.modules()]
    before = {name: value.clone() for name, value in model.state_dict().items()}
    random_state = torch.random.get_rng_state()
    probe_of(spec_of(Focal())).look(model, 0)
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())
    assert modes == [module.training for module in model.modules()]
    assert all(param.grad is None for param in model.parameters())
    assert torch.equal(random_state, torch.random.get_rng_state())


@pytest.mark.parametrize(
    "detector",
    [Ssd300Vgg16(), SsdLiteMobileNetV3(input_side=96), RetinaNetResNet50(input_side=96)],
    ids=lambda d: d.kind,
)
def test_every_detector_is_probed_alike(detector: DetectorSpec) -> None:
    model = build_detector(detector, len(CLASSES))
    spec = spec_of(Focal(), batch_size=2).model_copy(update={"detector": detector})
    probe = probe_of(spec)
    probe.look(model, 0)
    assert probe.record.anchors.sum() == 2 * len(model.anchors)
    assert probe.record.gradient_sum.sum() > 0


def test_it_sees_the_network_as_training_does() -> None:
    """Batch norm by the statistics of the batch: with averages that are far off, evaluation would see another."""
    model = SsdMobileNet(MICRO, len(CLASSES))
    for name, value in model.state_dict().items():
        if name.endswith("running_mean"):
            value.fill_(100.0)
    probe, other = probe_of(spec_of(Focal())), probe_of(spec_of(Focal()))
    probe.look(model.eval(), 0)
    other.look(SsdMobileNet(MICRO, len(CLASSES)).train(), 0)
    np.testing.assert_array_equal(probe.record.histogram, other.record.histogram)
    assert not model.training


def test_all_batches_of_the_plan_are_looked_at() -> None:
    spec = spec_of(Focal(), steps=2_000, batch_size=3)
    probe = probe_of(spec)
    assert (probe.plan.batches, probe.plan.images) == (4, 12)
    probe.look(SsdMobileNet(MICRO, len(CLASSES)), 0)
    assert probe.record.anchors.sum() == 12 * 738
    positives = probe.record.anchors[[probe_records.ANNOTATED, probe_records.INVENTED]].sum()
    assert positives >= len(NOISY.boxes)  # each is forced onto an anchor, and few share one


@pytest.mark.parametrize("steps", [1, 2, 10, 500, 3_000, 50_000])
@pytest.mark.parametrize("batch_size", [1, 2, 16, 64])
@pytest.mark.parametrize("images", [1, 5, 300, 20_000])
def test_the_plan_keeps_its_budget(steps: int, batch_size: int, images: int) -> None:
    plan = probe_plan(TrainingSpec(steps=steps, batch_size=batch_size), images)
    assert plan.steps[0] == 0
    assert plan.steps[-1] == steps
    assert list(plan.steps) == sorted(set(plan.steps))
    assert 1 <= plan.batch_size <= plan.images <= min(images, MOST_IMAGES + batch_size)
    cost = len(plan.steps) * plan.images * COST_OF_AN_IMAGE / (steps * batch_size)
    assert cost <= MOST_COST or (len(plan.steps) <= 3 and plan.batches == 1)


def test_it_looks_once_at_each_step_of_the_plan() -> None:
    probe = probe_of(spec_of(Focal()))
    assert [done for done in range(21) if probe.is_due(done)] == list(probe.plan.steps) == [0, 10, 20]
    probe.look(Table(), 10)
    assert not probe.is_due(10)


def records_of(folder: Path, spec: RunSpec, **options: object) -> tuple[SsdMobileNet, list[ProbeRecord]]:
    """Train, each point kept as its file would be."""
    told: list[ProbeRecord] = []
    model = train(
        spec,
        NOISY,
        PIXELS,
        SsdMobileNet(MICRO, len(CLASSES), seed=1),
        checkpoints=CheckpointFolder(folder),
        checkpoint_every=3,
        **{"probed": told.append, "report": lambda progress, metric: None, **options},
    )
    return model, told


def assert_same_record(first: ProbeRecord, second: ProbeRecord) -> None:
    for name, values in first.to_arrays().items():
        np.testing.assert_array_equal(values, second.to_arrays()[name], err_msg=name)


@pytest.mark.parametrize("loss", [Focal(), MINED])
def test_weights_are_the_same_bit_by_bit_with_and_without_the_probe(tmp_path: Path, loss: Loss) -> None:
    spec = spec_of(loss, steps=5)
    probed, told = records_of(tmp_path / "probed", spec)
    assert [record.steps.tolist() for record in told] == [[0], [0, 2], [0, 2, 5]]
    plain, _ = records_of(tmp_path / "plain", spec, probed=None)
    assert all(torch.equal(value, plain.state_dict()[name]) for name, value in probed.state_dict().items())


@pytest.mark.parametrize("killed_at", [1, 2, 4])
def test_a_killed_and_resumed_run_ends_with_the_same_probe(tmp_path: Path, killed_at: int) -> None:
    spec = spec_of(Focal(), steps=5)
    _, undisturbed = records_of(tmp_path / "undisturbed", spec)

    class KilledError(Exception):
        """As if the process were gone."""

    def kill(progress: Progress, _metric: MetricRecord | None) -> None:
        if progress.step == killed_at:
            raise KilledError

    with pytest.raises(KilledError):
        records_of(tmp_path / "killed", spec, report=kill, clock=itertools.count().__next__)
    _, told = records_of(tmp_path / "killed", spec)
    assert_same_record(told[-1], undisturbed[-1])


def test_what_a_stopped_run_saw_is_told_anew_when_it_goes_on(tmp_path: Path) -> None:
    """So that the folder of the attempt that goes on holds it from the start."""
    spec = spec_of(Focal(), steps=5)
    with pytest.raises(TrainingStoppedError):
        records_of(tmp_path, spec, should_stop=lambda: True)
    _, told = records_of(tmp_path, spec)
    assert [record.steps.tolist() for record in told] == [[0], [0, 2], [0, 2, 5]]


def test_a_checkpoint_of_before_the_probe_is_gone_on_from(tmp_path: Path) -> None:
    spec = spec_of(Focal(), steps=5)
    with pytest.raises(TrainingStoppedError):
        records_of(tmp_path, spec, probed=None, should_stop=lambda: True)
    _, told = records_of(tmp_path, spec)
    assert told[-1].steps.tolist() == [2, 5]


def test_points_of_other_images_are_not_taken_over() -> None:
    probe = probe_of(spec_of(Focal()))
    probe.go_on_from(probe_records.no_points(images=99))
    assert probe.record.images == 6
