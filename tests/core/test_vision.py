"""The image tower, against a plain implementation of OpenCLIP's, from every kind of file that holds one."""

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import save_file

from animatex_core.tensor_files import WeightsError
from animatex_core.vision import load_clip_vision, preprocess, vision_tower
from tests.core.openclip_reference import OpenClip, names
from tests.core.small_files import our_state, save_ours

PICTURES = np.random.default_rng(0).integers(0, 256, (3, 37, 21, 3), np.uint8)


@pytest.fixture(scope="module")
def model():
    return OpenClip(vision=128, size=56)


def vision_only(model):
    return {name: tensor for name, tensor in names(model).items() if name.startswith("visual.")}


def transformers_names(model):
    return {name: tensor.contiguous() for name, tensor in vision_tower(names(model)).items()}


def check(path, model):
    tower = load_clip_vision(path)
    assert (tower.size, tower.projection) == (56, 48)
    found, expected = tower.encode(PICTURES), model.visual(preprocess(PICTURES, 56))
    assert found.shape == (3, 48) and found.dtype == torch.float32
    assert (found - expected).norm() / expected.norm() < 1e-5
    return tower


def test_from_openclip_and_transformers_names(tmp_path, model):
    save_file(names(model), tmp_path / "open_clip_model.safetensors")
    check(tmp_path / "open_clip_model.safetensors", model)
    save_file(vision_only(model), tmp_path / "visual.safetensors")
    check(tmp_path / "visual.safetensors", model)
    places = {"vision_model.embeddings.position_ids": torch.arange(17)[None]}
    save_file(transformers_names(model) | places, tmp_path / "clip_vision_h.safetensors")
    check(tmp_path / "clip_vision_h.safetensors", model)


def test_bundled_in_a_model_file(tmp_path, model):
    bundled = {f"clip_vision.{name}": tensor for name, tensor in transformers_names(model).items()}
    check(save_ours(tmp_path / "m.safetensors", our_state() | bundled), model)


def test_chunks_and_sequences_of_pictures_give_the_same(tmp_path, model):
    save_file(vision_only(model), tmp_path / "v.safetensors")
    tower = check(tmp_path / "v.safetensors", model)
    whole = tower.encode(PICTURES)
    assert torch.allclose(tower.encode(PICTURES, batch=2), whole, atol=1e-5)
    assert torch.allclose(tower.encode([PICTURES[0], PICTURES[1][:20], PICTURES[2]])[[0, 2]], whole[[0, 2]], atol=1e-5)
    assert tower.encode([]).shape == (0, 48)
    half = load_clip_vision(tmp_path / "v.safetensors", dtype=torch.bfloat16).encode(PICTURES)
    assert half.dtype == torch.float32 and (half - whole).norm() / whole.norm() < 0.05


def test_pictures_are_stretched_and_normalised_as_released():
    square = np.asarray(Image.fromarray(PICTURES[1]).resize((224, 224), Image.Resampling.BILINEAR)) / 255
    mean, deviation = (0.48145466, 0.4578275, 0.40821073), (0.26862954, 0.26130258, 0.27577711)
    expected = ((square - mean) / deviation).transpose(2, 0, 1)
    assert np.abs(preprocess(PICTURES)[1].numpy() - expected).max() < 1e-5


def test_files_without_a_tower_are_named(tmp_path, model):
    torch.save(names(model), tmp_path / "open_clip_pytorch_model.bin")
    with pytest.raises(
        WeightsError, match=r"model\.bin: a PyTorch archive, which only conversion opens: .*--clip FILE"
    ):
        load_clip_vision(tmp_path / "open_clip_pytorch_model.bin")
    save_file({"decoder.mid.block_1.norm1.weight": torch.ones(1)}, tmp_path / "vae.safetensors")
    with pytest.raises(WeightsError, match=r"vae\.safetensors: no CLIP vision tower in it: a VAE"):
        load_clip_vision(tmp_path / "vae.safetensors")
    with pytest.raises(WeightsError, match="no CLIP vision tower in it: Animate-X, converted"):
        load_clip_vision(save_ours(tmp_path / "m.safetensors", our_state()))


@pytest.mark.parametrize(
    "change, words",
    [
        ({"visual.proj": None}, "not complete: visual_projection.weight missing"),
        ({"visual.transformer.resblocks.1.ln_2.bias": None}, "1 missing: vision_model.encoder.layers.1.layer_norm2"),
        ({"visual.positional_embedding": torch.ones(12, 128)}, "11 places, expected a square"),
    ],
)
def test_broken_towers_are_refused(tmp_path, model, change, words):
    tensors = {n: t for n, t in (vision_only(model) | change).items() if t is not None}
    save_file(tensors, tmp_path / "v.safetensors")
    with pytest.raises(WeightsError, match=rf"v\.safetensors: .*{words}"):
        load_clip_vision(tmp_path / "v.safetensors")
