"""Noising, target, loss weights and condition dropout."""

from dataclasses import replace
from pathlib import Path

import pytest
import torch
from animatex_training import objective
from animatex_training.config import ObjectiveSettings
from animatex_training.config_file import network_config
from animatex_training.initial import initial_network
from animatex_training.network import encode_kept
from animatex_training.objective import Keep, Noised, draw_kept, loss_weights, noise_batch, sample_losses
from safetensors.torch import load_file

from animatex_core.diffusion import alphas_cumprod
from animatex_core.model import Inputs
from tests.training.fakes import Clips, Draw, collate, small_config

GOLDEN = load_file(Path(__file__).parents[1] / "data" / "golden" / "diffusion.safetensors")


def relative(found, wanted):
    return float((found - wanted).double().norm() / wanted.double().norm())


def test_noised_latents_and_target_equal_the_golden_numbers(monkeypatch):
    noises = iter(GOLDEN["q.noise"])
    times = iter(GOLDEN["q.t"].long())
    monkeypatch.setattr(objective, "offset_noise", lambda shape, generator, strength: next(noises)[None])
    monkeypatch.setattr(objective.torch, "randint", lambda *shape, generator: next(times))
    noised = noise_batch(GOLDEN["q.x0"], range(5), ObjectiveSettings())
    assert torch.equal(noised.timesteps, GOLDEN["q.t"].long())
    assert relative(noised.x, GOLDEN["q.x_t"]) < 1e-6 and relative(noised.target, GOLDEN["q.v"]) < 1e-6


def test_loss_is_the_mean_square_of_v_per_sample():
    v, target = GOLDEN["q.x0"], GOLDEN["q.v"]
    keep = Keep(*torch.ones(4, 5))
    noised = Noised(GOLDEN["q.x_t"], GOLDEN["q.t"].long(), target, keep)
    weight = torch.ones(target[:, 0].shape)
    wanted = (v - target).square().mean((1, 2, 3, 4))
    assert torch.allclose(sample_losses(v, noised, weight, 0.0), wanted)
    weight[4, 1, 2, 3] = 9
    wanted[4] += 8 * (v - target)[4, :, 1, 2, 3].square().sum() / v[4].numel()
    assert torch.allclose(sample_losses(v, noised, weight, 0.0), wanted)


def test_min_snr_weights_are_those_of_the_golden_schedule():
    alpha = GOLDEN["alphas_cumprod"].double()
    snr = alpha / (1 - alpha)
    wanted = torch.where(snr < 5, snr, 5.0) / (snr + 1)
    found = loss_weights(torch.arange(1000), 5.0)
    assert torch.allclose(found.double(), wanted, rtol=1e-5, atol=1e-9)
    assert found[-1] == 0 and found.max() < 1
    assert torch.equal(loss_weights(torch.arange(1000), 0.0), torch.ones(1000))
    assert alphas_cumprod()[-1] == 0


def test_a_sample_meets_the_same_noise_in_any_batch():
    latents = torch.arange(3 * 4 * 2 * 4 * 4.0).view(3, 4, 2, 4, 4) / 100
    settings = ObjectiveSettings()
    together = noise_batch(latents, [7, 8, 9], settings)
    alone = noise_batch(latents[1:2], [8], settings)
    assert torch.equal(together.x[1:2], alone.x) and together.timesteps[1] == alone.timesteps[0]
    assert not torch.equal(together.x[0], together.x[1])


def test_shares_of_dropped_conditions():
    generator = torch.Generator().manual_seed(0)
    lots = torch.tensor([draw_kept(ObjectiveSettings(), generator) for _ in range(20000)])
    assert (lots[:, 3] == 1).all()  # never the IPI or the reference's latent
    conditions = lots[:, :3]
    share = 0.1 + 0.8 / 8
    assert abs((conditions.sum(1) == 0).float().mean() - share) < 0.01
    assert abs((conditions.sum(1) == 3).float().mean() - share) < 0.01
    assert (abs(conditions.mean(0) - 0.5) < 0.015).all()
    pose, reference = conditions[:, 0], conditions[:, 1]
    assert abs((pose * (1 - reference)).mean() - 0.8 / 4) < 0.01  # on their own, not together


def test_unconditional_samples_drop_the_motion_when_asked():
    generator = torch.Generator().manual_seed(0)
    settings = ObjectiveSettings(drop_all=1.0, keep_all=0.0, drop_motion=True)
    assert draw_kept(settings, generator) == (0, 0, 0, 0)


def network_and_batch():
    network = initial_network(network_config(small_config().model), "", 3)
    batch = collate([Clips()[Draw(i, i)] for i in range(2)])
    latent = torch.rand(2, 4, 4, 4, generator=torch.Generator().manual_seed(0))
    return network, batch, replace(batch.inputs, reference_latent=latent)


def same(found, wanted):
    for name in ("pixels", "reference", "context", "motion"):
        assert torch.allclose(getattr(found, name), getattr(wanted, name), atol=1e-6), name


@pytest.mark.parametrize(
    ("keep", "left_out"),
    [
        ((1, 1, 1, 1), ()),
        ((0, 1, 1, 1), ("pose",)),
        ((1, 0, 1, 1), ("reference",)),
    ],
)
def test_a_dropped_condition_is_one_that_was_never_given(keep, left_out):
    network, batch, inputs = network_and_batch()
    frames, height, width = batch.latents.shape[2:]
    found = encode_kept(
        network, inputs, Keep(*torch.tensor(keep, dtype=torch.float32)[:, None].expand(4, 2)), batch.latents
    )
    without = replace(inputs, **dict.fromkeys(left_out))
    same(found, network.encode(without, frames, height, width, batch=2, like=batch.latents))


def test_dropped_image_tokens_are_zero_and_the_ipi_still_sees_the_reference():
    network, batch, inputs = network_and_batch()
    full = encode_kept(network, inputs, Keep(*torch.ones(4, 2)), batch.latents)
    found = encode_kept(
        network, inputs, Keep(torch.ones(2), torch.ones(2), torch.zeros(2), torch.ones(2)), batch.latents
    )
    text = network.config.conditions.text_tokens
    assert not found.context[:, text:].any() and torch.equal(found.motion, full.motion)
    assert torch.equal(found.pixels, full.pixels) and torch.equal(found.context[:, :text], full.context[:, :text])


def test_all_dropped_is_the_unconditional_pass():
    network, batch, inputs = network_and_batch()
    frames, height, width = batch.latents.shape[2:]
    found = encode_kept(network, inputs, Keep(*torch.zeros(4, 2)), batch.latents)
    same(found, network.encode(Inputs(), frames, height, width, batch=2, like=batch.latents))


def test_samples_drop_on_their_own():
    network, batch, inputs = network_and_batch()
    mixed = Keep(torch.tensor([1.0, 0]), torch.ones(2), torch.ones(2), torch.ones(2))
    found = encode_kept(network, inputs, mixed, batch.latents)
    full = encode_kept(network, inputs, Keep(*torch.ones(4, 2)), batch.latents)
    assert torch.allclose(found.pixels[0], full.pixels[0]) and not torch.allclose(found.pixels[1], full.pixels[1])


@pytest.mark.parametrize("shift", [1.0, 2.0, 3.0])
def test_shifted_time_steps_keep_their_ends_and_order(shift):
    moved = [objective.shifted(t, shift) for t in range(1000)]
    assert (moved[0], moved[-1]) == (0, 999) and moved == sorted(moved)
    assert moved == list(range(1000)) if shift == 1 else abs(moved[500] / 999 - shift / (shift + 1)) < 1e-3
