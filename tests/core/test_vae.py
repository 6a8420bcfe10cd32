"""The VAE from every kind of file, against a plain implementation by the original names; memory that runs out."""

import logging

import pytest
import torch
from safetensors.torch import save_file
from torch.nn import functional

from animatex_core.tensor_files import WeightsError
from animatex_core.vae import SCALE, OutOfMemory, load_vae, vae_sizes
from animatex_core.vae_names import diffusers_names, vae_tensors
from tests.core.small_files import our_state, save_ours

diffusers = pytest.importorskip("diffusers")
WIDTHS = (32, 64, 64, 96)
PICTURES = torch.rand(3, 3, 32, 24, generator=torch.Generator().manual_seed(1))


class Original:
    """The original network as functions of the tensors of a file, from its published description."""

    def __init__(self, tensors):
        self.tensors = tensors

    def conv(self, name, x, **how):
        return functional.conv2d(x, self.tensors[f"{name}.weight"], self.tensors[f"{name}.bias"], **how)

    def norm(self, name, x):
        return functional.group_norm(x, 32, self.tensors[f"{name}.weight"], self.tensors[f"{name}.bias"], 1e-6)

    def block(self, name, x):
        hidden = self.conv(f"{name}.conv1", functional.silu(self.norm(f"{name}.norm1", x)), padding=1)
        hidden = self.conv(f"{name}.conv2", functional.silu(self.norm(f"{name}.norm2", hidden)), padding=1)
        return hidden + (self.conv(f"{name}.nin_shortcut", x) if f"{name}.nin_shortcut.weight" in self.tensors else x)

    def middle(self, side, x):
        x = self.block(f"{side}.mid.block_1", x)
        normed = self.norm(f"{side}.mid.attn_1.norm", x)
        q, k, v = (self.conv(f"{side}.mid.attn_1.{n}", normed).flatten(2) for n in "qkv")
        weights = (q.transpose(1, 2) @ k / q.shape[1] ** 0.5).softmax(-1)
        x = x + self.conv(f"{side}.mid.attn_1.proj_out", (v @ weights.transpose(1, 2)).view_as(x))
        return self.block(f"{side}.mid.block_2", x)

    def encode(self, x):
        x = self.conv("encoder.conv_in", x, padding=1)
        for level in range(len(WIDTHS)):
            for block in range(2):
                x = self.block(f"encoder.down.{level}.block.{block}", x)
            if level < len(WIDTHS) - 1:
                x = self.conv(f"encoder.down.{level}.downsample.conv", functional.pad(x, (0, 1, 0, 1)), stride=2)
        x = functional.silu(self.norm("encoder.norm_out", self.middle("encoder", x)))
        return self.conv("quant_conv", self.conv("encoder.conv_out", x, padding=1))[:, :4] * SCALE

    def decode(self, x):
        x = self.conv("decoder.conv_in", self.conv("post_quant_conv", x / SCALE), padding=1)
        x = self.middle("decoder", x)
        for level in reversed(range(len(WIDTHS))):
            for block in range(3):
                x = self.block(f"decoder.up.{level}.block.{block}", x)
            if level:
                x = functional.interpolate(x, scale_factor=2.0, mode="nearest")
                x = self.conv(f"decoder.up.{level}.upsample.conv", x, padding=1)
        return self.conv("decoder.conv_out", functional.silu(self.norm("decoder.norm_out", x)), padding=1)


@pytest.fixture(scope="module")
def diffusers_state():
    torch.manual_seed(0)
    model = diffusers.AutoencoderKL(
        down_block_types=("DownEncoderBlock2D",) * 4, up_block_types=("UpDecoderBlock2D",) * 4,
        block_out_channels=WIDTHS, layers_per_block=2,
    )  # fmt: skip
    return {name: torch.randn_like(t) * 0.05 + ("norm" in name) for name, t in model.state_dict().items()}


@pytest.fixture(scope="module")
def state(diffusers_state):
    return {name: tensor.contiguous() for name, tensor in vae_tensors(diffusers_state).items()}


def check(path, state):
    vae, original = load_vae(path), Original(state)
    latents = vae.encode(PICTURES)
    assert latents.shape == (3, 4, 4, 3) and latents.dtype == torch.float32
    expected = original.encode(PICTURES * 2 - 1)
    assert (latents - expected).norm() / expected.norm() < 1e-4
    chunks = list(vae.decode(latents * 5))
    assert [len(chunk) for chunk in chunks] == [2, 1]
    expected = ((original.decode(latents * 5) + 1) / 2).clamp(0, 1)
    assert expected.std() > 0.01
    assert (torch.cat(chunks) - expected).abs().max() < 1e-4
    return vae


def test_original_names_alone_in_a_checkpoint_and_bundled(tmp_path, state):
    save_file(state | {"model_ema.decay": torch.ones(1)}, tmp_path / "vae.safetensors")
    check(tmp_path / "vae.safetensors", state)
    inside = {f"first_stage_model.{name}": tensor for name, tensor in state.items()}
    inside["model.diffusion_model.input_blocks.0.0.weight"] = torch.ones(1)
    save_file(inside, tmp_path / "v2-1_512-ema-pruned.safetensors")
    check(tmp_path / "v2-1_512-ema-pruned.safetensors", state)
    bundled = {f"vae.{name}": tensor for name, tensor in state.items()}
    check(save_ours(tmp_path / "m.safetensors", our_state() | bundled), state)


def test_diffusers_names_new_and_old(tmp_path, state, diffusers_state):
    save_file(diffusers_state, tmp_path / "diffusion_pytorch_model.safetensors")
    check(tmp_path / "diffusion_pytorch_model.safetensors", state)
    first = {"to_q": "query", "to_k": "key", "to_v": "value", "to_out.0": "proj_attn"}
    old = {}
    for name, tensor in diffusers_state.items():
        for new, before in first.items():
            name = name.replace(f"attentions.0.{new}.", f"attentions.0.{before}.")
        old[name] = tensor
    assert old.keys() != diffusers_state.keys()
    save_file(old, tmp_path / "old.safetensors")
    check(tmp_path / "old.safetensors", state)


def test_names_are_a_bijection(state, diffusers_state):
    pairs = diffusers_names(state)
    assert set(pairs) == set(state) and set(pairs.values()) == set(diffusers_state)


def test_sizes(state):
    assert vae_sizes(state) == (WIDTHS, 2)


@pytest.mark.parametrize("scale, shift", [(None, None), (0.18215, 0.0), (0.5, 0.25)])
def test_a_tiny_vae(tmp_path, scale, shift):
    torch.manual_seed(0)
    model = diffusers.AutoencoderTiny(encoder_block_out_channels=(16,) * 4, decoder_block_out_channels=(16,) * 4)
    tensors = {}
    for name, tensor in model.state_dict().items():
        side, _, number, rest = name.split(".", 3)
        tensors[f"taesd_{side}.{int(number) + (side == 'decoder')}.{rest}"] = tensor
    if scale is not None:
        tensors |= {"vae_scale": torch.tensor(scale), "vae_shift": torch.tensor(shift)}
    save_file(tensors, tmp_path / "taesd.safetensors")
    bundled = {f"vae.{name}": tensor for name, tensor in tensors.items()}
    for path in (tmp_path / "taesd.safetensors", save_ours(tmp_path / "m.safetensors", our_state() | bundled)):
        vae = load_vae(path)
        # As ComfyUI: its latents are raw / scale + shift, and the model sees them times 0.18215.
        raw = model.encode(PICTURES * 2 - 1).latents
        expected = (raw / (scale or 1.0) + (shift or 0.0)) * 0.18215
        assert torch.allclose(vae.encode(PICTURES), expected, atol=1e-5)
        decoded = ((model.decode(raw).sample + 1) / 2).clamp(0, 1)
        assert torch.allclose(torch.cat(list(vae.decode(expected))), decoded, atol=1e-4)


def test_half_precision_stays_close(tmp_path, state):
    save_file(state, tmp_path / "vae.safetensors")
    full, half = load_vae(tmp_path / "vae.safetensors"), load_vae(tmp_path / "vae.safetensors", dtype=torch.bfloat16)
    latents = full.encode(PICTURES)
    assert (half.encode(PICTURES) - latents).norm() / latents.norm() < 0.05


class Scarce:
    """A network with memory for so many pictures at a time, or for tiles only."""

    def __init__(self, pictures, tiles=True):
        self.pictures, self.tiles, self.tiled, self.calls = pictures, tiles, False, []

    def decode(self, latents):
        self.calls.append((len(latents), self.tiled))
        if len(latents) > self.pictures and not (self.tiled and self.tiles):
            raise OutOfMemory("out of memory")
        return latents[:, :3]

    encode = decode

    def tile(self):
        self.tiled = True


def test_memory_that_runs_out_costs_time_only(tmp_path, state, caplog):
    save_file(state, tmp_path / "vae.safetensors")
    vae = load_vae(tmp_path / "vae.safetensors")
    latents = torch.linspace(-1, 1, 5 * 4 * 4).view(5, 4, 2, 2)
    expected = (latents[:, :3] + 1) / 2
    ladders = {
        2: [(2, False), (2, False), (1, False)],
        1: [(2, False), *[(1, False)] * 5],
        0: [(2, False), (1, False), *[(1, True)] * 5],
    }
    for pictures, calls in ladders.items():
        vae.network = Scarce(pictures)
        with caplog.at_level(logging.WARNING):
            assert torch.allclose(torch.cat(list(vae.decode(latents))), expected)
        assert vae.network.calls == calls
    assert "one picture at a time" in caplog.text and "in tiles" in caplog.text
    vae.network = Scarce(0, tiles=False)
    with pytest.raises(OutOfMemory, match="even in tiles, at 2x2"):
        list(vae.decode(latents))


def test_memory_of_the_failed_attempt_is_free_before_the_next(tmp_path, state):
    import gc
    import weakref

    save_file(state, tmp_path / "vae.safetensors")
    vae = load_vae(tmp_path / "vae.safetensors")
    seen = []

    class Hoarder(Scarce):
        def decode(self, latents):
            assert all(alive() is None for alive in seen)
            held = torch.zeros(10)
            seen.append(weakref.ref(held))
            return super().decode(latents)

    vae.network = Hoarder(0)
    gc.disable()
    try:
        assert len(list(vae.decode(torch.zeros(2, 4, 2, 2)))) == 2
    finally:
        gc.enable()
    assert len(seen) == 4


def test_tiles_are_512_pixels_wide_and_blend(tmp_path, state):
    save_file(state, tmp_path / "vae.safetensors")
    vae = load_vae(tmp_path / "vae.safetensors")
    model = vae.network.model
    assert (model.tile_sample_min_size, model.tile_latent_min_size) == (512, 64)
    model.tile_sample_min_size, model.tile_latent_min_size = 128, 16
    latents = torch.randn(1, 4, 16, 20, generator=torch.Generator().manual_seed(2))
    whole = next(vae.decode(latents))
    vae.network.tile()
    tiled = next(vae.decode(latents))
    assert tiled.shape == whole.shape == (1, 3, 128, 160)
    assert 0 < (tiled - whole).abs().mean() < 0.1


def test_wrong_input_is_named(tmp_path, state):
    save_file(state, tmp_path / "vae.safetensors")
    vae = load_vae(tmp_path / "vae.safetensors")
    with pytest.raises(ValueError, match=r"multiples of 8, got \[1, 3, 30, 24\]"):
        vae.encode(torch.zeros(1, 3, 30, 24))
    with pytest.raises(ValueError, match=r"expected latents \[n, 4, h, w\], got \[4, 3, 3\]"):
        next(vae.decode(torch.zeros(4, 3, 3)))


@pytest.mark.parametrize(
    "change, words",
    [
        ({"encoder.conv_in.weight": None}, "encoder.conv_in.weight missing"),
        ({"encoder.mid.attn_1.q.bias": None}, "1 missing: encoder.mid_block.attentions.0.to_q.bias"),
        ({"decoder.conv_in.weight": torch.ones(96, 16, 3, 3)}, "16 latent channels"),
        ({"decoder.norm_out.weight": torch.ones(5)}, r"conv_norm_out.weight \[32\] expected, \[5\] found"),
    ],
)
def test_broken_files_are_refused(tmp_path, state, change, words):
    save_file({n: t for n, t in (state | change).items() if t is not None}, tmp_path / "vae.safetensors")
    with pytest.raises(WeightsError, match=rf"vae\.safetensors: .*{words}"):
        load_vae(tmp_path / "vae.safetensors")


def test_files_without_a_vae_are_named(tmp_path, state):
    torch.save(state, tmp_path / "vae.ckpt")
    with pytest.raises(WeightsError, match=r"vae\.ckpt: a PyTorch archive, which only conversion opens: .*--vae FILE"):
        load_vae(tmp_path / "vae.ckpt")
    with pytest.raises(WeightsError, match=r"m\.safetensors: no VAE in it: Animate-X, converted"):
        load_vae(save_ours(tmp_path / "m.safetensors", our_state()))
