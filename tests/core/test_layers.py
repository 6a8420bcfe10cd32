"""Attention as the layers have it by default."""

import pytest
import torch
from torch.nn import functional

from animatex_core import layers
from animatex_core.layers import fused_attention, heads_of
from tests.core.networks import relative


def query_key_value(rows, heads, length, width=16):
    generator = torch.Generator().manual_seed(length)
    return [heads_of(torch.randn(rows, length, heads * width, generator=generator), heads) for _ in range(3)]


@pytest.mark.parametrize(
    ("heads", "length"), [(1, 1), (1, 5), (3, 5), (2, layers.SHORT_CPU), (2, layers.SHORT_CPU + 1)]
)
def test_short_sequences_equal_the_fused_kernel(heads, length):
    tensors = query_key_value(7, heads, length)
    assert relative(fused_attention(*tensors), functional.scaled_dot_product_attention(*tensors)) < 1e-6


def test_short_sequences_go_another_way(monkeypatch):
    def refuse(*_):
        raise AssertionError("the fused kernel")

    monkeypatch.setattr(functional, "scaled_dot_product_attention", refuse)
    assert fused_attention(*query_key_value(3, 2, 5)).shape == (3, 2, 5, 16)
    with pytest.raises(AssertionError, match="fused"):
        fused_attention(*query_key_value(3, 2, layers.SHORT_CPU + 1))


def test_a_cpu_that_learns_in_half_precision_takes_two_products(monkeypatch):
    monkeypatch.setattr(layers.functional, "scaled_dot_product_attention", lambda *_: torch.zeros(()))
    longer = [t.bfloat16() for t in query_key_value(3, 2, layers.SHORT_CPU + 1)]
    assert fused_attention(*longer).shape == ()
    assert fused_attention(*(t.requires_grad_() for t in longer)).shape == (3, 2, layers.SHORT_CPU + 1, 16)
