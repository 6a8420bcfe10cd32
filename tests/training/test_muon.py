"""Muon: updates whose directions are all of one length, and AdamW for what is no matrix."""

import numpy as np
import pytest
import torch
from animatex_training.config import OptimiserSettings
from animatex_training.muon import LENGTH, Muon, orthogonal
from animatex_training.optimiser import make_optimiser, set_rates
from torch import nn


def nearest(matrix):
    """The nearest orthogonal matrix, from a singular value decomposition in double precision."""
    u, _, v = np.linalg.svd(matrix.astype(np.float64), full_matrices=False)
    return u @ v


def matrix(m, n, seed=0):
    """Its singular values fall from 1 to a hundredth."""
    rng = np.random.default_rng(seed)
    u, v = nearest(rng.normal(size=(m, n))), nearest(rng.normal(size=(n, n)))
    rank = min(m, n)
    left = u if m >= n else nearest(rng.normal(size=(m, m)))
    right = v[:rank] if m >= n else nearest(rng.normal(size=(m, n)))
    return (left[:, :rank] * np.geomspace(1, 0.01, rank)) @ right[:rank]


@pytest.mark.parametrize("shape", [(24, 24), (16, 64), (64, 16)])
def test_orthogonal(shape):
    given = np.stack([matrix(*shape, seed) for seed in range(3)])
    found = orthogonal(torch.from_numpy(given).float()).double().numpy()
    assert found.shape == given.shape
    for one, made in zip(given, found, strict=True):
        lengths = np.linalg.svd(made, compute_uv=False)
        assert lengths.min() > 0.65
        assert lengths.max() < 1.25
        wanted = nearest(one)
        alike = (made * wanted).sum() / np.linalg.norm(made) / np.linalg.norm(wanted)
        assert alike > 0.97  # of the matrix itself: 0.6


def test_a_gradient_of_nothing_moves_nothing():
    assert torch.equal(orthogonal(torch.zeros(2, 4, 8)), torch.zeros(2, 4, 8))


class Small(nn.Module):
    def __init__(self):
        super().__init__()
        torch.manual_seed(0)
        self.conv, self.linear, self.other = nn.Conv2d(4, 8, 3), nn.Linear(6, 4), nn.Linear(6, 4)

    def gradients(self, seed):
        generator = torch.Generator().manual_seed(seed)
        for parameter in self.parameters():
            parameter.grad = torch.randn(parameter.shape, generator=generator)


def stepped(kind, steps=3, **options):
    network = Small()
    settings = OptimiserSettings(kind=kind, rate=0.01, ipi_rate=0.01, **options)
    optimiser = make_optimiser(network, settings)
    for step in range(steps):
        network.gradients(step)
        set_rates(optimiser, settings, step, steps)
        optimiser.step()
    return network


def test_against_the_formula():
    """Momentum, Nesterov's look ahead, decay and scale in NumPy, one weight at a time."""
    found, start = stepped("muon", weight_decay=0.1), Small()
    for name in ("conv.weight", "linear.weight", "other.weight"):
        weight = start.get_parameter(name).detach().double().numpy()
        flat, momentum = weight.reshape(len(weight), -1), 0.0
        for step in range(3):
            start.gradients(step)
            gradient = start.get_parameter(name).grad.double().numpy().reshape(flat.shape)
            momentum = 0.9 * momentum + 0.1 * gradient
            ahead = 0.1 * gradient + 0.9 * momentum
            update = orthogonal(torch.from_numpy(ahead)[None].float())[0].double().numpy()
            flat = flat * (1 - 0.01 * 0.1) - 0.01 * LENGTH * max(flat.shape) ** 0.5 * update
        made = found.get_parameter(name).detach().double().numpy()
        np.testing.assert_allclose(made.reshape(flat.shape), flat, atol=2e-4)  # bfloat16 inside
        assert np.abs(made - weight).max() > 5e-3


def test_what_is_no_matrix_is_stepped_by_adamw():
    muon, adamw = stepped("muon"), stepped("adamw")
    for name in ("conv.bias", "linear.bias"):
        assert torch.equal(muon.get_parameter(name), adamw.get_parameter(name))
    assert not torch.equal(muon.conv.weight, adamw.conv.weight)


def test_the_update_is_as_long_as_said():
    """So that rates of AdamW serve: 0.2 of the rate, root mean square, whatever the gradient's size."""
    network = Small()
    before = network.linear.weight.detach().clone()
    network.linear.weight.grad = 1e-4 * torch.randn(4, 6, generator=torch.Generator().manual_seed(1))
    Muon([{"params": [network.linear.weight], "matrices": True}], lr=0.01, weight_decay=0.0).step()
    length = (network.linear.weight - before).square().mean().sqrt()
    assert 0.65 * 0.2 * 0.01 < length < 1.25 * 0.2 * 0.01


def test_steps_with_infinities_are_left_out_while_the_scale_is_found():
    """As fp16 has them at first: GradScaler has to skip the matrices too."""
    network, scaler = Small(), torch.amp.GradScaler("cpu", init_scale=2.0)
    optimiser = make_optimiser(network, OptimiserSettings(kind="muon", rate=0.01, ipi_rate=0.01))
    before = [p.detach().clone() for p in network.parameters()]
    scaler.scale(torch.ones(()))
    network.gradients(0)
    network.conv.weight.grad[0, 0, 0, 0] = torch.inf
    scaler.unscale_(optimiser)
    scaler.step(optimiser)
    assert all(torch.equal(p, b) for p, b in zip(network.parameters(), before, strict=True))
    assert not optimiser.state


def test_learned_tokens_and_filters_are_no_matrices():
    network = nn.Module()
    network.query, network.linear = nn.Parameter(torch.ones(1, 4, 8)), nn.Linear(3, 2)
    groups = make_optimiser(network, OptimiserSettings(kind="muon")).param_groups
    assert [[p.shape for p in group["params"]] for group in groups if group["matrices"]] == [[(2, 3)]]
    assert [[p.shape for p in group["params"]] for group in groups if not group["matrices"]] == [[(1, 4, 8), (2,)]]


def test_without_a_gradient_nothing_moves():
    network = Small()
    optimiser = make_optimiser(network, OptimiserSettings(kind="muon", rate=0.01, weight_decay=0.1))
    before = network.conv.weight.detach().clone()
    optimiser.step()
    assert torch.equal(network.conv.weight, before)
