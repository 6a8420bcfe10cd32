"""Mamba as the temporal module: the scan against its formula, the block, and the whole network around it."""

import logging
import sys
from types import ModuleType

import pytest
import torch
from torch.utils.checkpoint import checkpoint

from animatex_core import layers as layers_module
from animatex_core import selective_scan as scans
from animatex_core.config import RELEASED, TINY, with_unet
from animatex_core.layers import Layers
from animatex_core.mamba import MambaBlock, Scan, over_past
from animatex_core.model import AnimateX
from animatex_core.selective_scan import ScanInputs, fused_kernel, scan_by_kernel, scan_by_torch, selective_scan
from tests.core.networks import random_inputs, relative, tiny_model

MAMBA = with_unet(TINY, temporal="mamba")
# What the tests of mamba-ssm allow between its kernel and its own formula: relative, absolute.
TOLERANCES = {torch.float32: (6e-4, 2e-3), torch.float16: (3e-3, 5e-3), torch.bfloat16: (3e-2, 5e-2)}


def draw(rows=3, frames=5, channels=4, states=2, dtype=torch.float64, seed=0, device="cpu"):
    """Inputs of a scan, in the order of its fields; steps and decays of the size that a network has."""
    generator = torch.Generator().manual_seed(seed)

    def normal(*shape):
        return torch.randn(*shape, generator=generator, dtype=torch.float64)

    drawn = [
        normal(rows, frames, channels), normal(rows, frames, channels), normal(rows, frames, states),
        normal(rows, frames, states), normal(channels), -normal(channels, states).exp(), normal(channels),
    ]  # fmt: skip
    return [t.to(device, dtype) for t in drawn]


def naive(x, raw_step, write, read, step_bias, decay, skip):
    """The formula, a number at a time."""
    y = torch.zeros_like(x)
    for n, c in ((n, c) for n in range(x.shape[0]) for c in range(x.shape[2])):
        state = [0.0] * decay.shape[1]
        for t in range(x.shape[1]):
            step = torch.log1p(torch.exp(raw_step[n, t, c] + step_bias[c]))
            for s in range(len(state)):
                state[s] = torch.exp(step * decay[c, s]) * state[s] + step * write[n, t, s] * x[n, t, c]
            y[n, t, c] = sum(read[n, t, s] * state[s] for s in range(len(state))) + skip[c] * x[n, t, c]
    return y


def as_published(x, step, a, b, c, d, delta_bias, delta_softplus):
    """What mamba-ssm documents: time last, A [channels, states], in float32 whatever the inputs are."""
    assert delta_softplus and {a.dtype, d.dtype, delta_bias.dtype} == {torch.float32}
    assert {b.dtype, c.dtype, step.dtype} == {x.dtype} and all(t.is_contiguous() for t in (x, step, a, b, c, d))
    step = torch.nn.functional.softplus(step.float() + delta_bias[:, None])
    state, outputs = x.new_zeros(x.shape[0], *a.shape, dtype=torch.float32), []
    for t in range(x.shape[2]):
        written = torch.einsum("nc,ns,nc->ncs", step[..., t], b[..., t].float(), x[..., t].float())
        state = torch.exp(step[..., t, None] * a) * state + written
        outputs.append(torch.einsum("ncs,ns->nc", state, c[..., t].float()) + d * x[..., t].float())
    return torch.stack(outputs, dim=-1).to(x.dtype)


def test_the_scan_is_the_naive_recurrence():
    inputs = draw()
    assert torch.allclose(scan_by_torch(ScanInputs(*inputs)), naive(*inputs), rtol=1e-12, atol=1e-12)


def test_gradients_in_double_precision():
    inputs = [t.requires_grad_() for t in draw()]
    assert torch.autograd.gradcheck(lambda *given: scan_by_torch(ScanInputs(*given)), inputs)


def test_rows_in_chunks_change_nothing(monkeypatch):
    inputs = [t.requires_grad_() for t in draw(rows=7)]
    gradient = torch.randn(7, 5, 4, dtype=torch.float64)
    whole = scan_by_torch(ScanInputs(*inputs))
    wanted = torch.autograd.grad(whole, inputs, gradient)
    monkeypatch.setattr(scans, "STATE_NUMBERS_CPU", 2 * 4 * 2)
    starts = []
    monkeypatch.setattr(scans._Rows, "start", counting(scans._Rows.start, starts))
    chunked = scan_by_torch(ScanInputs(*inputs))
    found = torch.autograd.grad(chunked, inputs, gradient)
    assert starts == [1, 1, 1, 1, *[6] * 7]  # two rows at a time, and one where all frames' states are kept
    # vectors of a processor take the last rows otherwise than those before: the last digit may differ
    assert torch.allclose(chunked, whole, rtol=1e-12, atol=1e-14)
    assert all(torch.allclose(a, b, rtol=1e-12) for a, b in zip(found, wanted, strict=True))


def counting(function, seen):
    def counted(self, frames=1):
        seen.append(frames)
        return function(self, frames)

    return counted


def test_nothing_of_the_states_is_kept_for_the_gradient():
    inputs = [t.requires_grad_() for t in draw(rows=6, frames=9, channels=8, states=16, dtype=torch.float32)]
    kept = []
    with torch.autograd.graph.saved_tensors_hooks(lambda t: kept.append(t.numel()) or t, lambda t: t):
        scan_by_torch(ScanInputs(*inputs))
    assert kept and max(kept) <= 6 * 9 * 16


@pytest.mark.parametrize("dtype", TOLERANCES)
def test_the_kernel_is_called_as_it_is_documented(dtype):
    inputs = ScanInputs(*draw(rows=5, frames=33, channels=8, states=16, dtype=dtype))
    ours, theirs = scan_by_torch(inputs), scan_by_kernel(as_published, inputs)
    assert ours.dtype == theirs.dtype == dtype
    relative_bound, absolute_bound = TOLERANCES[dtype]
    assert torch.allclose(ours, theirs, rtol=relative_bound, atol=absolute_bound)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_half_precision_rounds_inputs_and_outputs_only(dtype):
    inputs = draw(rows=5, frames=33, channels=8, states=16, dtype=dtype)
    exact = scan_by_torch(ScanInputs(*(t.double() for t in inputs)))
    assert relative(scan_by_torch(ScanInputs(*inputs)).double(), exact) < 2 * torch.finfo(dtype).eps


@pytest.mark.gpu
@pytest.mark.parametrize("dtype", TOLERANCES)
def test_the_real_kernel_agrees_with_plain_torch(dtype):
    pytest.importorskip("mamba_ssm", reason='pip install "animate-x[mamba]"')
    inputs = [t.requires_grad_() for t in draw(64, 33, 128, 16, dtype, device="cuda")]
    relative_bound, absolute_bound = TOLERANCES[dtype]
    outputs = [scan(ScanInputs(*inputs)) for scan in (scan_by_torch, selective_scan)]
    assert torch.allclose(*outputs, rtol=relative_bound, atol=absolute_bound)
    gradient = torch.randn_like(outputs[0])
    for ours, theirs in zip(*(torch.autograd.grad(y, inputs, gradient) for y in outputs), strict=True):
        assert relative(theirs, ours) < 5 * relative_bound


def test_a_missing_and_a_broken_mamba_ssm(monkeypatch, caplog):
    monkeypatch.setitem(sys.modules, "mamba_ssm", None)
    fused_kernel.cache_clear()
    with caplog.at_level(logging.INFO):
        assert fused_kernel() is None
    assert "plain torch" in caplog.text and not [r for r in caplog.records if r.levelno >= logging.WARNING]
    package, ops, broken = (ModuleType(name) for name in ("mamba_ssm", "mamba_ssm.ops", "broken"))
    for module in (package, ops, broken):
        monkeypatch.setitem(sys.modules, module.__name__, module)
    monkeypatch.setitem(sys.modules, "mamba_ssm.ops.selective_scan_interface", broken)
    fused_kernel.cache_clear()
    assert fused_kernel() is None
    assert "mamba-ssm cannot be used" in caplog.text
    broken.selective_scan_fn = as_published
    fused_kernel.cache_clear()
    assert fused_kernel() is as_published
    fused_kernel.cache_clear()


@pytest.mark.parametrize("frames", [1, 2, 4, 9])
def test_the_filter_is_a_depthwise_convolution_over_the_past(frames):
    x, taps, bias = torch.randn(3, frames, 6), torch.randn(6, 4), torch.randn(6)
    padded = torch.nn.functional.pad(x.transpose(1, 2), (3, 0))
    wanted = torch.nn.functional.conv1d(padded, taps[:, None], bias, groups=6).transpose(1, 2)
    assert torch.allclose(over_past(x, taps, bias), wanted, atol=1e-5)


def block(seed=0):
    torch.manual_seed(seed)
    return MambaBlock(32, MAMBA.unet, Layers()).double()


@torch.no_grad()
def test_one_scan_looks_back_and_the_block_both_ways():
    scan, whole = Scan(32, 2, MAMBA.unet, Layers()).double(), block()
    x = torch.randn(2, 7, 32, dtype=torch.float64)
    changed = x.clone()
    changed[:, 3] += 1
    moved = (scan(changed) - scan(x)).abs().amax((0, 2))
    assert not moved[:3].any() and (moved[3:] > 0).all()
    assert ((whole(changed) - whole(x)).abs().amax((0, 2)) > 0).all()


@torch.no_grad()
def test_the_two_directions_are_mirror_images():
    module, x = block().mixer, torch.randn(2, 7, 32, dtype=torch.float64)
    wanted = module(x)
    module.ahead, module.back = module.back, module.ahead
    assert torch.allclose(module(x.flip(1)).flip(1), wanted, atol=1e-12)


def test_gradients_of_the_block_reach_every_parameter():
    module = block()
    module(torch.randn(2, 6, 32, dtype=torch.float64)).square().sum().backward()
    assert all(p.grad is not None and p.grad.abs().sum() > 0 for p in module.parameters())


def test_gradients_are_the_same_when_activations_are_computed_again():
    module, x = block(), torch.randn(2, 6, 32, dtype=torch.float64)
    wanted = torch.autograd.grad(module(x).square().sum(), list(module.parameters()))
    again = checkpoint(module, x, use_reentrant=False)
    found = torch.autograd.grad(again.square().sum(), list(module.parameters()))
    assert all(torch.equal(a, b) for a, b in zip(found, wanted, strict=True))


def test_training_starts_with_the_published_values():
    scan = Scan(64, 4, RELEASED.unet, Layers())
    steps = torch.nn.functional.softplus(scan.step_bias)
    assert steps.min().item() == pytest.approx(1e-3, rel=1e-3) and steps.max().item() == pytest.approx(0.1, rel=1e-3)
    assert torch.allclose(scan.decay_log.exp(), torch.arange(1.0, 17).expand(64, 16))
    assert (scan.skip == 1).all() and scan.taps.abs().max() <= 0.5 < 1.05 * scan.taps.abs().max()


def latents(frames=5, height=12, width=8):
    return torch.randn(1, 4, frames, height, width, generator=torch.Generator().manual_seed(3))


def predict(model, frames=5, dtype=torch.float32):
    inputs = random_inputs(frames).to("cpu", dtype)
    with torch.inference_mode():
        return model(latents(frames).to(dtype), torch.tensor([500]), model.encode(inputs, frames, 12, 8))


@pytest.mark.parametrize("frames", [1, 2, 40])
def test_the_network_runs_with_any_number_of_frames(frames):
    v = predict(tiny_model(MAMBA), frames)
    assert v.shape == (1, 4, frames, 12, 8) and torch.isfinite(v).all()


def test_chunks_change_nothing(monkeypatch):
    """In double precision: in single, products of another height sum in another order, which a processor decides."""
    model = tiny_model(MAMBA, dtype=torch.float64)
    monkeypatch.setattr(layers_module, "CHUNK_NUMBERS_CPU", 1 << 40)
    whole = predict(model, dtype=torch.float64)
    monkeypatch.setattr(layers_module, "CHUNK_NUMBERS_CPU", 5000)
    assert relative(predict(model, dtype=torch.float64), whole) < 1e-12


@pytest.mark.parametrize(("dtype", "bound"), [(torch.bfloat16, 0.05), (torch.float16, 0.006)])
def test_half_precision_stays_near_single(dtype, bound):
    half = predict(tiny_model(MAMBA, dtype=dtype), dtype=dtype)
    assert half.dtype == dtype and relative(half.float(), predict(tiny_model(MAMBA))) < bound


def test_autocast_keeps_the_scan_in_single_precision():
    model = tiny_model(MAMBA)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        found = predict(model)
    assert relative(found.float(), predict(model)) < 0.05


def test_only_the_attention_over_time_is_another():
    attention, mamba = (AnimateX(c, Layers(device="meta")).state_dict() for c in (TINY, MAMBA))
    gone, come = set(attention) - set(mamba), set(mamba) - set(attention)
    assert all("temporal.block.self_attention" in n or "temporal.block.cross_" in n for n in gone)
    assert all("temporal.block.mixer" in n for n in come)
    assert all(attention[n].shape == mamba[n].shape for n in set(attention) & set(mamba))
    assert relative(predict(tiny_model(MAMBA)), predict(tiny_model())) > 1e-2


def test_the_released_size_has_about_as_many_parameters_as_with_attention():
    def temporal(config):
        state = AnimateX(config, Layers(device="meta")).state_dict()
        return sum(t.numel() for name, t in state.items() if "temporal.block" in name)

    share = temporal(with_unet(RELEASED, temporal="mamba")) / temporal(RELEASED)
    assert 0.9 < share < 1, share
