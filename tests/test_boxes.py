"""Box arithmetic, against torchvision."""

import numpy as np
import torch
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays
from torchvision.ops import box_area as torchvision_area
from torchvision.ops import box_iou

from noisedash.boxes import box_area, pairwise_iou, xywh_to_xyxy, xyxy_to_xywh

SIDES = st.floats(0, 1000, allow_subnormal=False).map(lambda value: round(value, 3))


@st.composite
def boxes(draw: st.DrawFn) -> np.ndarray:
    count = draw(st.integers(0, 6))
    return xywh_to_xyxy(draw(arrays.arrays(np.float64, (count, 4), elements=SIDES)))


@given(boxes(), boxes())
def test_iou_equals_torchvision_s(first: np.ndarray, second: np.ndarray) -> None:
    peer = box_iou(torch.from_numpy(first), torch.from_numpy(second)).nan_to_num(0).numpy()
    np.testing.assert_allclose(pairwise_iou(first, second), peer, atol=1e-12)


@given(boxes())
def test_area_equals_torchvision_s_and_formats_round_trip(xyxy: np.ndarray) -> None:
    np.testing.assert_allclose(box_area(xyxy), torchvision_area(torch.from_numpy(xyxy)).numpy(), atol=1e-9)
    np.testing.assert_allclose(xywh_to_xyxy(xyxy_to_xywh(xyxy)), xyxy, atol=1e-9)


def test_empty_and_inverted_boxes() -> None:
    nothing = np.zeros((0, 4))
    assert pairwise_iou(nothing, np.ones((3, 4))).shape == (0, 3)
    assert box_area(nothing).shape == (0,)
    inverted = np.array([[5.0, 5.0, 1.0, 9.0]])
    assert box_area(inverted).tolist() == [0.0]
    assert pairwise_iou(inverted, inverted).tolist() == [[0.0]]
