import json
from dataclasses import replace

import pytest
import torch

from noisedash.detector.ssd import SsdMobileNet
from noisedash.training.bench import CASES, CLASSES, OPPONENTS, bench_train, torchvision_ssd

TINY = replace(CASES[0], batch_size=2, steps=1)


def test_one_row_for_each_loss_and_opponent() -> None:
    threads = torch.get_num_threads()
    rows = list(bench_train(threads=1, repeats=1, cases=(TINY,)))
    assert torch.get_num_threads() == threads
    assert {(row["loss"], row["against"]) for row in rows} == {
        (loss, opponent) for loss in ("focal", "ce") for opponent in (*OPPONENTS, "probe")
    }
    for row in rows:
        assert json.loads(json.dumps(row)) == row
        if row["against"] == "probe":
            looked_at = row["points"] * row["images"] / (row["steps"] * row["batch_size"])
            assert row["share_of_training"] == pytest.approx(looked_at * row["cost_of_an_image"], abs=1e-4, rel=0.01)
            continue
        assert row["ratio"] == pytest.approx(row["ours_images_per_s"] / row["their_images_per_s"], rel=0.05)


def test_the_peer_is_the_same_network_with_a_background_column() -> None:
    ours, theirs = SsdMobileNet(TINY.detector, CLASSES), torchvision_ssd(TINY.detector).eval()
    parameters = [sum(param.numel() for param in model.parameters()) for model in (ours, theirs)]
    background = sum(head.out_channels // CLASSES * (head.in_channels + 1) for head in ours.class_heads)
    assert parameters[1] == parameters[0] + background
    with torch.no_grad():
        outputs = theirs.head(list(theirs.backbone(torch.zeros(1, 3, 96, 96)).values()))
    assert outputs["cls_logits"].shape == (1, len(ours.anchors), CLASSES + 1)
    assert outputs["bbox_regression"].shape == (1, len(ours.anchors), 4)
