"""The context of the empty prompt, against a plain implementation of OpenCLIP's text tower."""

import pytest
import torch

from animatex_core.prompt import empty_prompt, text_tower
from animatex_core.tensor_files import WeightsError
from tests.core.openclip_reference import OpenClip, names

IDS = torch.tensor([[49406, 49407, *[0] * 75]])


def transformers_names(model):
    """The tower by the names that transformers saves."""
    return {f"text_model.{name}": tensor for name, tensor in text_tower(names(model)).items()}


@pytest.mark.parametrize("width", [64, 128])
@pytest.mark.parametrize("prefix", ["", "cond_stage_model.model.", "text."])
def test_equals_the_plain_implementation(width, prefix):
    model = OpenClip(text=width)
    tower = text_tower({prefix + name: tensor for name, tensor in names(model).items()})
    found = empty_prompt(tower, 77, width)
    expected = model.context(IDS)
    assert found.shape == (1, 77, width) and found.dtype == torch.float32
    assert (found - expected).norm() / expected.norm() < 1e-6


def test_weights_in_half_precision_are_computed_in_full():
    model = OpenClip().half()
    found = empty_prompt(text_tower(names(model)), 77, 64)
    assert (found - model.float().context(IDS)).abs().max() < 1e-5


@pytest.mark.parametrize("layers, used", [(24, 23), (23, 23), (3, 2)])
def test_the_last_block_is_left_out_unless_it_is_gone_already(layers, used):
    model = OpenClip(text_layers=layers, vision_layers=1)
    tensors = transformers_names(model)
    model.transformer.resblocks = model.transformer.resblocks[:used]
    model.transformer.resblocks.append(torch.nn.Identity())  # the reference leaves out its last
    found = empty_prompt(text_tower(tensors | {"text_model.embeddings.position_ids": torch.arange(77)[None]}), 77, 64)
    assert (found - model.context(IDS)).abs().max() < 1e-5


def test_files_without_a_text_tower():
    vision = {name: tensor for name, tensor in names(OpenClip()).items() if name.startswith("visual.")}
    assert text_tower(vision) is None
    assert text_tower({"token_embedding.weight": torch.ones(1)}) is None


@pytest.mark.parametrize(
    "change, words",
    [
        ({"positional_embedding": None}, "not complete: embeddings.position_embedding.weight missing"),
        ({"transformer.resblocks.1.attn.in_proj_bias": None}, "3 missing: encoder.layers.1.self_attn.k_proj.bias"),
        ({"ln_final.weight": torch.ones(5)}, r"final_layer_norm.weight \[64\] expected, \[5\] found"),
        ({"transformer.resblocks.0.attn.in_proj_weight": torch.ones(100, 64)}, "query, key and value of equal size"),
        ({"token_embedding.weight": torch.ones(49408, 32)}, "another CLIP"),
        ({"token_embedding.weight": torch.ones(100, 64)}, "another CLIP"),
        ({"positional_embedding": torch.ones(50, 64)}, "fewer than 77 tokens"),
        ({"ln_final.bias": torch.full((64,), float("nan"))}, "not finite"),
    ],
)
def test_broken_towers_are_refused(change, words):
    tensors = names(OpenClip()) | change
    with pytest.raises(WeightsError, match=words):
        empty_prompt(text_tower({n: t for n, t in tensors.items() if t is not None}), 77, 64)
