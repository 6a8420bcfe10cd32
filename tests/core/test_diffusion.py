"""The schedule, the noising and the sampler against golden numbers of the released program."""

from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from animatex_core import diffusion

GOLDEN = load_file(Path(__file__).parents[1] / "data" / "golden" / "diffusion.safetensors")


def relative(found, wanted):
    return ((found - wanted).double().norm() / wanted.double().norm()).item()


def test_schedule():
    table = diffusion.alphas_cumprod()
    assert torch.allclose(table, GOLDEN["alphas_cumprod"].double(), rtol=1e-6, atol=1e-12)
    assert table[-1] == 0 and (table.diff() < 0).all()


@pytest.mark.parametrize("steps", [10, 20, 30, 50])
def test_timesteps_and_trajectory(steps):
    timesteps = diffusion.ddim_timesteps(steps)
    assert timesteps == GOLDEN[f"ddim.timesteps{steps}"].tolist()

    def toy(x, t, s):
        return torch.tanh(x * (1.5 - t / 1000)) * s + 0.1 * torch.sin(3 * x + t / 1000)

    visited = []

    def denoise(x, t):
        visited.append(t)
        return diffusion.guide(toy(x, t, 1.0), toy(x, t, 0.4), 2.5)

    found = diffusion.ddim_sample(denoise, GOLDEN["ddim.x_T"], steps)
    assert relative(found, GOLDEN[f"ddim.x_0.steps{steps}"]) < 1e-5
    assert visited == timesteps


def test_noising_and_target():
    x0, t, noise = GOLDEN["q.x0"], GOLDEN["q.t"].long(), GOLDEN["q.noise"]
    x_t, v = diffusion.add_noise(x0, t, noise), diffusion.v_target(x0, t, noise)
    assert relative(x_t, GOLDEN["q.x_t"]) < 1e-6 and relative(v, GOLDEN["q.v"]) < 1e-6
    clean, epsilon = diffusion.clean_and_noise(x_t, v, t)
    assert relative(clean, x0) < 1e-5 and relative(epsilon, noise) < 1e-5


def test_every_step_count_stays_finite():
    # The time steps depend on 1000 // steps alone, so one count for each of its values stands for all 1000.
    for steps in {1000 // steps: steps for steps in range(1, 1001)}.values():
        x = torch.ones(1, 1, 1, 1, 1)
        timesteps = diffusion.ddim_timesteps(steps)
        assert timesteps[-1] == 1 and all(0 < t <= 999 for t in timesteps)
        for timestep in timesteps:
            x = diffusion.ddim_step(x, 0.5 * x, timestep, steps)
        assert torch.isfinite(x).all(), steps


@pytest.mark.parametrize("steps", [0, -1, 1001])
def test_step_counts_outside_the_schedule_are_refused(steps):
    with pytest.raises(ValueError, match="1 to 1000"):
        diffusion.ddim_timesteps(steps)


def test_offset_noise_adds_one_number_per_channel_and_frame():
    shape = (1, 4, 3, 8, 6)
    noise = diffusion.offset_noise(shape, torch.Generator().manual_seed(5))
    plain = torch.randn(shape, generator=torch.Generator().manual_seed(5))
    offset = noise - plain
    assert torch.allclose(offset, offset[..., :1, :1].expand(shape), atol=1e-6)
    assert offset.std() > 0.03
    assert torch.equal(noise, diffusion.offset_noise(shape, torch.Generator().manual_seed(5)))


def test_a_network_that_overflows_is_named_with_its_step():
    def denoise(x, t):
        return x * (float("nan") if t < 500 else 0)

    with pytest.raises(FloatingPointError, match=r"step 6 of 10 \(time step 401\).*precision"):
        diffusion.ddim_sample(denoise, torch.ones(1, 4, 1, 2, 2), 10)
