import torch
from torch import nn

from noisedash.detector.calibration import calibrate_batch_norm
from noisedash.detector.ssd import SsdMobileNet
from noisedash.spec import SsdMobileNetV1

IMAGES = torch.rand(16, 3, 96, 96, generator=torch.Generator().manual_seed(0)) * 2 - 1


def folded_network() -> SsdMobileNet:
    """A network as the importer leaves it: batch norms that only add a bias, on maps of any scale."""
    model = SsdMobileNet(SsdMobileNetV1(input_side=96, depth_multiplier=0.25), classes=3)
    with torch.no_grad():
        for module in model.modules():
            if isinstance(module, nn.BatchNorm2d):
                module.bias.normal_(0.3, 0.2, generator=torch.Generator().manual_seed(1))
    return model


def test_evaluation_stays_and_training_agrees_with_it() -> None:
    model = folded_network().eval()
    with torch.no_grad():
        before = model(IMAGES)[0]
        training_before = model.train()(IMAGES)[0]
    model = folded_network().train()
    calibrate_batch_norm(model, IMAGES)
    assert model.training
    with torch.no_grad():
        training_after = model(IMAGES)[0]
        after = model.eval()(IMAGES)[0]
    error_before, error_after = (training_before - before).abs().mean(), (training_after - before).abs().mean()
    assert torch.allclose(after, before, atol=1e-3)
    assert error_after < 0.02 * error_before


def test_hooks_are_gone_and_modes_are_back() -> None:
    model = folded_network().eval()
    calibrate_batch_norm(model, IMAGES)
    state = {name: value.clone() for name, value in model.state_dict().items()}
    model(IMAGES[:4])
    assert not model.training
    assert all(torch.equal(value, state[name]) for name, value in model.state_dict().items())


def test_a_constant_channel_stays_finite() -> None:
    model = folded_network()
    calibrate_batch_norm(model, torch.zeros(2, 3, 96, 96))
    assert all(value.isfinite().all() for value in model.state_dict().values())
