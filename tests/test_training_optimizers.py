import itertools
import math

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from torch import nn

from noisedash.spec import AdamW, Optimizer, RmsPropTf, Sgd
from noisedash.training.optimizers import TfRmsProp, build_optimizer, learning_rate_at, set_learning_rate

Array = NDArray[np.float64]
SETTINGS = {"decay": 0.9, "momentum": 0.9, "epsilon": 1.0}


def apply_rms_prop(var: Array, ms: Array, mom: Array, grad: Array, lr: float, rho: float, momentum: float, eps: float):
    """TensorFlow's ApplyRMSProp as its documentation states it."""
    ms = ms + (np.square(grad) - ms) * (1 - rho)
    mom = momentum * mom + lr * grad * (1 / np.sqrt(ms + eps))
    return var - mom, ms, mom


@pytest.mark.parametrize("epsilon", [1.0, 1e-10])
@pytest.mark.parametrize("weight_decay", [0.0, 0.01])
def test_rmsprop_follows_tensorflows_formula(epsilon: float, weight_decay: float) -> None:
    rng = np.random.default_rng(3)
    var, ms, mom = rng.normal(size=(4, 3)), np.ones((4, 3)), np.zeros((4, 3))
    weight = nn.Parameter(torch.tensor(var))
    optimizer = TfRmsProp([weight], 0.004, 0.9, 0.9, epsilon, weight_decay)
    for step in range(20):
        gradient = rng.normal(size=(4, 3)) * 3
        rate = 0.004 / (1 + step)
        set_learning_rate(optimizer, rate)
        weight.grad = torch.tensor(gradient)
        optimizer.step()
        var, ms, mom = apply_rms_prop(var, ms, mom, gradient + weight_decay * var, rate, 0.9, 0.9, epsilon)
        np.testing.assert_allclose(weight.detach().numpy(), var, rtol=1e-12)


def test_rmsprop_is_not_torchs() -> None:
    weights = [nn.Parameter(torch.ones(3)) for _ in range(2)]
    ours = TfRmsProp(weights[:1], 0.1, 0.9, 0.9, 1.0)
    torchs = torch.optim.RMSprop(weights[1:], lr=0.1, alpha=0.9, momentum=0.9, eps=1.0)
    for optimizer, weight in zip((ours, torchs), weights, strict=True):
        weight.grad = torch.tensor([0.1, 1.0, 10.0])
        optimizer.step()
    expected = 1 - 0.1 * np.array([0.1, 1, 10]) / np.sqrt(0.9 + 0.1 * np.array([0.01, 1, 100]) + 1)
    np.testing.assert_allclose(weights[0].detach().numpy(), expected, rtol=1e-6)
    assert not torch.allclose(weights[0], weights[1], rtol=0.05)


def test_rmsprop_leaves_parameters_without_gradient_alone() -> None:
    idle, trained = nn.Parameter(torch.ones(2)), nn.Parameter(torch.ones(2))
    optimizer = TfRmsProp([{"params": [idle]}, {"params": [trained]}], 0.1, **SETTINGS)
    trained.grad = torch.ones(2)
    optimizer.step()
    assert idle.tolist() == [1.0, 1.0]
    assert trained[0].item() < 1


@pytest.mark.parametrize(
    "spec", [RmsPropTf(weight_decay=0.5), Sgd(weight_decay=0.5, momentum=0.0), AdamW(weight_decay=0.5)]
)
def test_only_kernels_decay(spec: Optimizer) -> None:
    model = nn.Sequential(nn.Conv2d(3, 4, 3, groups=1), nn.BatchNorm2d(4))
    optimizer = build_optimizer(model, spec)
    before = [param.detach().clone() for param in model.parameters()]
    for param in model.parameters():
        param.grad = torch.zeros_like(param)
    optimizer.step()
    changed = [not torch.equal(param, old) for param, old in zip(model.parameters(), before, strict=True)]
    assert changed == [True, False, False, False]


def test_sgd_and_adamw_equal_torchs_plain_ones() -> None:
    peers = {
        Sgd(learning_rate=0.1, momentum=0.8): lambda params: torch.optim.SGD(params, lr=0.1, momentum=0.8),
        AdamW(learning_rate=0.1): lambda params: torch.optim.AdamW(params, lr=0.1, weight_decay=0.0),
    }
    for spec, build_peer in peers.items():
        torch.manual_seed(0)
        ours, peer = nn.Linear(5, 4), nn.Linear(5, 4)
        peer.load_state_dict(ours.state_dict())
        optimizers = [build_optimizer(ours, spec), build_peer(peer.parameters())]
        for _ in range(5):
            inputs = torch.randn(3, 5)
            for model, optimizer in zip((ours, peer), optimizers, strict=True):
                optimizer.zero_grad()
                model(inputs).square().sum().backward()
                optimizer.step()
        torch.testing.assert_close(ours.weight, peer.weight, rtol=1e-5, atol=1e-6)


def test_learning_rate_without_warmup_is_constant() -> None:
    assert [learning_rate_at(step, 10, Sgd(learning_rate=0.5)) for step in range(10)] == [0.5] * 10


def test_learning_rate_warms_up_then_falls_along_a_cosine() -> None:
    spec = AdamW(learning_rate=2.0, warmup_steps=10, schedule="cosine")
    rates = [learning_rate_at(step, 110, spec) for step in range(110)]
    assert rates[:10] == pytest.approx([0.2 * step for step in range(1, 11)])
    assert rates[10] == 2.0
    assert rates[60] == pytest.approx(1.0)
    assert rates[-1] == pytest.approx(1 + math.cos(math.pi * 0.99))
    assert all(later < earlier for earlier, later in itertools.pairwise(rates[10:]))


def test_warmup_longer_than_the_run_never_reaches_the_peak() -> None:
    spec = AdamW(learning_rate=1.0, warmup_steps=100, schedule="cosine")
    assert learning_rate_at(9, 10, spec) == pytest.approx(0.1)
