"""The selective scan of Mamba (Gu and Dao 2023, arXiv 2312.00752): a recurrence whose coefficients follow the input.

    step[t]  = softplus(raw_step[t] + step_bias)
    state[t] = exp(step[t] decay) state[t - 1] + step[t] write[t] x[t]        state[-1] = 0
    y[t]     = read[t] . state[t] + skip x[t]

Every channel has a few states of its own. On CUDA the kernel of mamba-ssm computes it where that package is importable;
everywhere else plain torch does, frame by frame for some rows at a time. The states of a clip are far larger than what
goes in and comes out, so nothing of them is kept for the gradient: the backward pass computes those of its rows again.
"""

from __future__ import annotations

import functools
import logging
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, autocast
from torch.autograd.function import once_differentiable
from torch.nn import functional

LOG = logging.getLogger(__name__)

# Numbers in the states of a chunk of rows: 268 MB in float32 on a GPU. On a CPU 8 MB: with less the backward pass,
# which holds the states of all frames, has so few rows that calls cost more than numbers.
STATE_NUMBERS = 1 << 26
STATE_NUMBERS_CPU = 1 << 21
KERNEL_DTYPES = (torch.float32, torch.float16, torch.bfloat16)

Kernel = Callable[..., Tensor]


@dataclass(frozen=True)
class ScanInputs:
    """What a scan over n sequences reads. The kinds without n are the module's own weights."""

    x: Tensor  # [n, frames, channels]
    raw_step: Tensor  # [n, frames, channels]
    write: Tensor  # [n, frames, states]
    read: Tensor  # [n, frames, states]
    step_bias: Tensor  # [channels]
    decay: Tensor  # [channels, states], negative
    skip: Tensor  # [channels]


def selective_scan(inputs: ScanInputs) -> Tensor:
    """y, shaped like x and in its dtype; steps and states are float32 at least."""
    x = inputs.x
    kernel = fused_kernel() if x.is_cuda and x.dtype in KERNEL_DTYPES else None
    return scan_by_torch(inputs) if kernel is None else scan_by_kernel(kernel, inputs)


@functools.cache
def fused_kernel() -> Kernel | None:
    """The scan of mamba-ssm, or None when the package is missing or does not fit the installed torch."""
    try:
        from mamba_ssm.ops.selective_scan_interface import selective_scan_fn  # pyright: ignore[reportMissingImports]
    except ModuleNotFoundError as error:
        LOG.info("the selective scan runs in plain torch: %s", error)
        return None
    except (ImportError, OSError, RuntimeError, AttributeError) as error:
        LOG.warning("mamba-ssm cannot be used, the selective scan runs in plain torch: %s", error)
        return None
    return selective_scan_fn


def scan_by_kernel(kernel: Kernel, inputs: ScanInputs) -> Tensor:
    """`selective_scan` by a kernel whose last axis is time and whose weights are float32."""
    i, dtype = inputs, inputs.x.dtype
    x, step, write, read = (t.to(dtype).transpose(1, 2).contiguous() for t in (i.x, i.raw_step, i.write, i.read))
    decay, skip, bias = (t.float().contiguous() for t in (i.decay, i.skip, i.step_bias))
    return kernel(x, step, decay, write, read, skip, delta_bias=bias, delta_softplus=True).transpose(1, 2)


@torch.compiler.disable()
def scan_by_torch(inputs: ScanInputs) -> Tensor:
    """`selective_scan` in plain torch. Compilers leave it alone: they would unroll every frame."""
    i, exact = inputs, torch.promote_types(inputs.x.dtype, torch.float32)
    decay = i.decay.to(exact).t().contiguous()
    y: Any = _Scan.apply(i.x, i.raw_step, i.write, i.read, i.step_bias.to(exact), decay)
    return torch.addcmul(y, i.x, i.skip.to(i.x.dtype))


@dataclass(frozen=True)
class _Rows:
    """Some sequences, in the precision of the states."""

    x: Tensor
    raw_step: Tensor
    write: Tensor
    read: Tensor
    step_bias: Tensor
    decay: Tensor  # [states, channels]: channels are contiguous

    def prepared(self) -> tuple[Tensor, Tensor]:
        """step, and step times x."""
        step = functional.softplus(self.raw_step + self.step_bias)
        return step, step * self.x

    def advance(self, state: Tensor, t: int, step: Tensor, weighted: Tensor) -> Tensor:
        """One frame: state [n, states, channels] in place."""
        state.mul_((step[:, t, None] * self.decay).exp_())
        return state.addcmul_(self.write[:, t, :, None], weighted[:, t, None])

    def start(self, frames: int = 1) -> Tensor:
        """States of zero, [frames, n, states, channels]."""
        return self.x.new_zeros(frames, self.x.shape[0], *self.decay.shape)


class _Scan(torch.autograd.Function):
    """The recurrence without the skip."""

    @staticmethod
    def forward(
        ctx: Any, x: Tensor, raw_step: Tensor, write: Tensor, read: Tensor, step_bias: Tensor, decay: Tensor
    ) -> Tensor:
        ctx.save_for_backward(x, raw_step, write, read, step_bias, decay)
        y = torch.empty_like(x)
        with autocast(x.device.type, enabled=False):
            for part in _parts(x, decay, 1):
                y[part] = _outputs(_rows(part, (x, raw_step, write, read), step_bias, decay))
        return y

    @staticmethod
    @once_differentiable
    def backward(  # pyright: ignore[reportIncompatibleMethodOverride]  (the decorator hides the names)
        ctx: Any, grad: Tensor
    ) -> tuple[Tensor, ...]:
        *of_rows, step_bias, decay = ctx.saved_tensors
        into_rows = [torch.empty_like(t) for t in of_rows]
        into_weights = torch.zeros_like(step_bias), torch.zeros_like(decay)
        with autocast(grad.device.type, enabled=False):
            for part in _parts(of_rows[0], decay, grad.shape[1]):
                rows = _rows(part, of_rows, step_bias, decay)
                found = _gradients(rows, grad[part].to(decay.dtype), *into_weights)
                for target, gradient in zip(into_rows, found, strict=True):
                    target[part] = gradient
        return *into_rows, *into_weights


def _parts(x: Tensor, decay: Tensor, frames_kept: int) -> Iterator[slice]:
    budget = STATE_NUMBERS_CPU if x.device.type == "cpu" else STATE_NUMBERS
    rows = max(1, budget // (decay.numel() * frames_kept))
    return (slice(first, first + rows) for first in range(0, x.shape[0], rows))


def _rows(part: slice, of_rows: Any, step_bias: Tensor, decay: Tensor) -> _Rows:
    x, raw_step, write, read = (t[part].to(decay.dtype) for t in of_rows)
    return _Rows(x, raw_step, write, read, step_bias, decay)


def _outputs(rows: _Rows) -> Tensor:
    """y without the skip."""
    step, weighted = rows.prepared()
    state, y = rows.start()[0], torch.empty_like(rows.x)
    for t in range(y.shape[1]):
        rows.advance(state, t, step, weighted)
        y[:, t] = (rows.read[:, t, None] @ state)[:, 0]
    return y


def _gradients(
    rows: _Rows, grad: Tensor, into_bias: Tensor, into_decay: Tensor
) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Gradients of x, raw_step, write and read; those of step_bias and decay are added to what there is."""
    (step, weighted), frames = rows.prepared(), grad.shape[1]
    into_weighted, into_step, into_write, into_read = (
        torch.empty_like(t) for t in (weighted, step, rows.write, rows.read)
    )
    states = rows.start(frames + 1)  # states[t] is before frame t
    for t in range(frames):
        after = rows.advance(states[t + 1].copy_(states[t]), t, step, weighted)
        into_read[:, t] = (after @ grad[:, t, :, None])[..., 0]
    flowing = torch.zeros_like(states[0])  # gradient of the state after frame t
    for t in reversed(range(frames)):
        flowing.addcmul_(rows.read[:, t, :, None], grad[:, t, None])
        into_write[:, t] = (flowing @ weighted[:, t, :, None])[..., 0]
        into_weighted[:, t] = (rows.write[:, t, None] @ flowing)[:, 0]
        flowing.mul_((step[:, t, None] * rows.decay).exp_())
        through_decay = states[t].mul_(flowing)  # gradient of step times decay; nobody reads this state again
        into_step[:, t] = (through_decay * rows.decay).sum(1)
        into_decay.add_((through_decay * step[:, t, None]).sum(0))
    into_step.addcmul_(into_weighted, rows.x).mul_(torch.sigmoid(rows.raw_step + rows.step_bias))
    into_bias.add_(into_step.sum((0, 1)))
    return into_weighted * step, into_step, into_write, into_read
