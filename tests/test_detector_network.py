import math

import pytest
import torch
from torch import nn
from torch.nn.functional import relu6

from noisedash.detector.anchors import feature_map_sides
from noisedash.detector.mobilenet import ConvBatchNorm, MobileNetV1, relu6_, same_padding
from noisedash.detector.ssd import SsdMobileNet
from noisedash.spec import SsdMobileNetV1

MICRO = SsdMobileNetV1(input_side=96, depth_multiplier=0.25, first_stride=8, repeated_blocks=2)


def parameters(module: nn.Module) -> int:
    return sum(parameter.numel() for parameter in module.parameters())


@pytest.mark.parametrize("multiplier", [1.0, 0.75, 0.5, 0.25])
@pytest.mark.parametrize("side", [96, 129, 300, 512])
def test_outputs_fit_the_anchors(multiplier: float, side: int) -> None:
    model = SsdMobileNet(SsdMobileNetV1(input_side=side, depth_multiplier=multiplier), classes=3).eval()
    with torch.no_grad():
        logits, deltas = model(torch.zeros(1, 3, side, side))
    assert logits.shape == (1, len(model.anchors), 3)
    assert deltas.shape == (1, len(model.anchors), 4)


def test_relu6_and_its_gradient_equal_torchs_at_the_bends_too() -> None:
    values = torch.cat([torch.tensor([0.0, -0.0, 6.0, 6.001, -1e-9]), torch.linspace(-9, 9, 50)]).double()
    sources = [values.clone().requires_grad_() for _ in range(2)]
    clamped = [relu6_(sources[0] * 1), nn.functional.relu6(sources[1] * 1)]
    gradient = torch.linspace(1, 2, len(values)).double()
    for outputs in clamped:
        outputs.backward(gradient)
    assert torch.equal(*clamped)
    assert torch.equal(sources[0].grad, sources[1].grad)


@pytest.mark.parametrize("first_stride", [8, 16])
@pytest.mark.parametrize("repeated_blocks", [1, 5])
def test_feature_maps_have_the_sides_that_the_anchors_assume(first_stride: int, repeated_blocks: int) -> None:
    spec = SsdMobileNetV1.model_validate(
        {"input_side": 131, "depth_multiplier": 0.25, "first_stride": first_stride, "repeated_blocks": repeated_blocks}
    )
    with torch.no_grad():
        middle, last = SsdMobileNet(spec, classes=2).eval().backbone(torch.zeros(1, 3, 131, 131))
    assert (middle.shape[-1], last.shape[-1]) == feature_map_sides(spec)[:2]
    assert (middle.shape[1], last.shape[1]) == (128, 256)


@pytest.mark.parametrize(("multiplier", "convolutions"), [(1.0, 3_185_088), (0.75, 1_800_144)])
def test_backbone_has_as_many_weights_as_slim_says(multiplier: float, convolutions: int) -> None:
    backbone = MobileNetV1(SsdMobileNetV1(depth_multiplier=multiplier), decay=0.9)
    found = [module.weight.numel() for module in backbone.modules() if isinstance(module, nn.Conv2d)]
    assert sum(found) == convolutions


def test_micro_network() -> None:
    model = SsdMobileNet(MICRO, classes=7)
    assert parameters(model) == 339_483
    assert len(model.anchors) == 738
    assert feature_map_sides(MICRO) == (12, 6, 3, 2, 1, 1)


def test_minimum_depth_holds_in_the_extra_layers_too() -> None:
    model = SsdMobileNet(MICRO, classes=7)
    depths = [(extra.reduce.conv.out_channels, extra.shrink.conv.out_channels) for extra in model.extras]
    assert depths == [(64, 128), (32, 64), (32, 64), (16, 32)]
    assert model.backbone.stem.conv.out_channels == 16


def test_same_padding_puts_the_odd_zero_last() -> None:
    assert same_padding(300, 3, 2) == (0, 1)
    assert same_padding(75, 3, 2) == (1, 1)
    assert same_padding(10, 1, 1) == (0, 0)
    assert same_padding(2, 3, 2) == (0, 1)
    assert same_padding(1, 3, 2) == (1, 1)


@pytest.mark.parametrize(
    ("rows", "expected"),
    [
        ([[1.0, 2.0], [3.0, 4.0]], [[1.0 * 1 + 2 * 2 + 3 * 4 + 4 * 5]]),
        (
            [[1.0, 0.0, 0.0], [0.0, 0.0, 0.0], [0.0, 0.0, 1.0]],
            [[5.0, 0.0], [0.0, 5.0]],
        ),
    ],
)
def test_stride_two_by_hand(rows: list[list[float]], expected: list[list[float]]) -> None:
    """The kernel counts 1 to 9; on an even side its corner lies on the first pixel, on an odd one its centre does."""
    layer = ConvBatchNorm(1, 1, 3, 2, decay=0.9).eval()
    with torch.no_grad():
        layer.conv.weight.copy_(torch.arange(1.0, 10.0).view(1, 1, 3, 3))
        assert torch.equal(layer._convolved(torch.tensor(rows)[None, None])[0, 0], torch.tensor(expected))


def test_outputs_are_clipped_at_six_after_batch_norm() -> None:
    layer = ConvBatchNorm(1, 1, 1, 1, decay=0.75)
    nn.init.constant_(layer.conv.weight, 10.0)
    maps = torch.tensor([-1.0, 0.0, 0.1, 2.0]).view(1, 1, 2, 2)
    assert layer.norm.eps == 0.001
    assert layer.norm.momentum == pytest.approx(0.25)
    found = layer.eval()(maps).flatten().tolist()
    assert found == pytest.approx([0.0, 0.0, 1 / math.sqrt(1.001), 6.0])


def test_own_relu6_equals_torchs() -> None:
    maps = torch.tensor([-1.0, -0.0, 0.0, 1e-8, 3.0, 6.0, 6.5, torch.inf, -torch.inf, torch.nan], requires_grad=True)
    weight = torch.arange(1.0, 11.0)
    found, expected = relu6_(maps * 1), relu6(maps)
    assert torch.equal(found.nan_to_num(-1), expected.nan_to_num(-1))
    gradients = [torch.autograd.grad((clipped * weight).sum(), maps)[0] for clipped in (found, expected)]
    assert torch.equal(gradients[0].nan_to_num(-1), gradients[1].nan_to_num(-1))


def test_a_single_value_per_channel_can_be_trained() -> None:
    model = SsdMobileNet(MICRO, classes=2).train()
    logits, _ = model(torch.zeros(1, 3, 96, 96))
    torch.autograd.backward(logits.sum())
    assert all(value.isfinite().all() for value in model.state_dict().values())


def test_a_seed_gives_the_same_weights_and_leaves_the_generator_alone() -> None:
    torch.manual_seed(5)
    before = torch.get_rng_state()
    first = SsdMobileNet(MICRO, classes=7, seed=1).state_dict()
    assert torch.equal(torch.get_rng_state(), before)
    torch.manual_seed(6)
    again = SsdMobileNet(MICRO, classes=7, seed=1).state_dict()
    other = SsdMobileNet(MICRO, classes=7, seed=2).state_dict()
    assert all(torch.equal(value, again[name]) for name, value in first.items())
    assert not torch.equal(first["backbone.stem.conv.weight"], other["backbone.stem.conv.weight"])


def test_initial_weights_are_truncated_normal() -> None:
    model = SsdMobileNet(SsdMobileNetV1(), classes=20)
    within = {"box_heads.1.weight": 0.03, "extras.0.shrink.conv.weight": 0.03, "backbone.stem.conv.weight": 0.09}
    state = model.state_dict()
    for name, deviation in within.items():
        assert state[name].abs().max() <= 2 * deviation
        assert state[name].std() == pytest.approx(0.88 * deviation, rel=0.06), "cut at two deviations"
    assert torch.count_nonzero(state["box_heads.0.bias"]) == 0


def test_class_heads_start_at_the_prior() -> None:
    for prior in (0.5, 0.01):
        model = SsdMobileNet(SsdMobileNetV1(input_side=96, depth_multiplier=0.25, class_prior=prior), classes=3)
        assert torch.allclose(torch.sigmoid(model.class_heads[2].bias), torch.tensor(prior))


def test_batch_images_do_not_mix_in_evaluation() -> None:
    model = SsdMobileNet(MICRO, classes=7).eval()
    images = torch.rand(3, 3, 96, 96)
    with torch.no_grad():
        together, alone = model(images)[0], model(images[1:2])[0]
    assert torch.allclose(together[1], alone[0], atol=1e-5)
