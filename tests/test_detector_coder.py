import math

import torch
from hypothesis import given
from hypothesis import strategies as st

from noisedash.detector.coder import decode, encode

ANCHOR = torch.tensor([[0.2, 0.3, 0.6, 0.5]])
edges = st.lists(st.floats(0, 0.98), min_size=2, max_size=2)
sides = st.lists(st.floats(0.01, 1), min_size=2, max_size=2)


def test_by_hand() -> None:
    box = torch.tensor([[0.3, 0.3, 0.5, 0.7]])
    centre_y_moved = (0.5 - 0.4) / 0.2 * 10
    expected = [[0.0, centre_y_moved, 5 * math.log(0.5), 5 * math.log(2)]]
    assert torch.allclose(encode(box, ANCHOR), torch.tensor(expected), atol=1e-5)


def test_no_delta_is_the_anchor() -> None:
    assert torch.allclose(decode(torch.zeros(1, 4), ANCHOR), ANCHOR)


@given(edges, sides)
def test_decode_undoes_encode(edge: list[float], side: list[float]) -> None:
    top_left = torch.tensor(edge, dtype=torch.float64)
    box = torch.cat([top_left, top_left + torch.tensor(side, dtype=torch.float64)])[None]
    anchor = ANCHOR.double()
    assert torch.allclose(decode(encode(box, anchor), anchor), box, atol=1e-9)


def test_batches_of_boxes_share_the_anchors() -> None:
    boxes = torch.rand(3, 5, 4).sort(dim=-1).values
    anchors = boxes[0] + 0.01
    together = encode(boxes, anchors)
    assert together.shape == (3, 5, 4)
    assert torch.equal(together[1], encode(boxes[1], anchors))


def test_boxes_without_area_and_wild_outputs_stay_finite() -> None:
    assert encode(torch.zeros(1, 4), ANCHOR).isfinite().all()
    wild = decode(torch.tensor([[1e4, -1e4, 1e4, 1e4]]), ANCHOR)
    assert wild.isfinite().all()
    assert torch.allclose(wild[:, 2] - wild[:, 0], torch.tensor(0.4 * 62.5), rtol=1e-3)
