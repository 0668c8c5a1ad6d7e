import math
from typing import Literal

import pytest
import torch
from torchvision.ops import box_convert

from noisedash.detector.anchors import anchor_shapes, anchors, feature_map_sides
from noisedash.spec import SsdMobileNetV1


def cxcywh(spec: SsdMobileNetV1) -> torch.Tensor:
    return box_convert(anchors(spec), "xyxy", "cxcywh")


def test_paper_input_has_1917_anchors() -> None:
    assert anchors(SsdMobileNetV1()).shape == (1917, 4)
    assert 1917 == 3 * 19**2 + 6 * (10**2 + 5**2 + 3**2 + 2**2 + 1)


def test_micro_has_738_anchors() -> None:
    assert len(anchors(SsdMobileNetV1(input_side=96, first_stride=8))) == 738


def test_first_cell_by_hand() -> None:
    root = math.sqrt(2)
    centre = 0.5 / 19
    expected = [
        [centre, centre, 0.1, 0.1],
        [centre, centre, 0.2 * root, 0.2 / root],
        [centre, centre, 0.2 / root, 0.2 * root],
    ]
    assert torch.allclose(cxcywh(SsdMobileNetV1())[:3], torch.tensor(expected), atol=1e-6)


def test_last_cell_by_hand() -> None:
    scale, between = 0.95, math.sqrt(0.95 * 1.0)
    two, three = math.sqrt(2), math.sqrt(3)
    sizes = [
        [scale, scale],
        [scale * two, scale / two],
        [scale / two, scale * two],
        [scale * three, scale / three],
        [scale / three, scale * three],
        [between, between],
    ]
    expected = torch.tensor([[0.5, 0.5, *size] for size in sizes])
    assert torch.allclose(cxcywh(SsdMobileNetV1())[-6:], expected, atol=1e-6)


def test_scales_are_linear_and_the_second_layer_is_between_them() -> None:
    scales = [shapes[0][0] for shapes in anchor_shapes()[1:]]
    assert scales == pytest.approx([0.35, 0.5, 0.65, 0.8, 0.95])
    assert anchor_shapes()[1][5] == pytest.approx((math.sqrt(0.35 * 0.5), 1.0))


def test_shape_runs_fastest_then_column_then_row() -> None:
    found = cxcywh(SsdMobileNetV1())
    step = 1 / 19
    assert torch.allclose(found[3, :2], torch.tensor([1.5 * step, 0.5 * step]))
    assert torch.allclose(found[3 * 19, :2], torch.tensor([0.5 * step, 1.5 * step]))


@pytest.mark.parametrize(
    ("side", "first_stride", "sides"),
    [
        (96, 16, (6, 3, 2, 1, 1, 1)),
        (97, 16, (7, 4, 2, 1, 1, 1)),
        (128, 8, (16, 8, 4, 2, 1, 1)),
        (300, 16, (19, 10, 5, 3, 2, 1)),
        (512, 16, (32, 16, 8, 4, 2, 1)),
    ],
)
def test_feature_maps_halve_rounding_up(side: int, first_stride: Literal[8, 16], sides: tuple[int, ...]) -> None:
    assert feature_map_sides(SsdMobileNetV1(input_side=side, first_stride=first_stride)) == sides
