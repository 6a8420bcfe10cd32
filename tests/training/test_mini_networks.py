"""The small VAE and image tower that come along: what they are said to be, and made as they say."""

import json

import numpy as np
import pytest
import torch
from animatex_training.cli_prepare import ASSETS
from animatex_training.mini_vae import LAYOUT_WIDTH, MiniVAE, VAEShape, psnr, save_mini_vae, widened
from animatex_training.mini_vae_data import HELD_OUT, Held, Material, crops, drawn, measure
from animatex_training.mini_vae_run import Run
from animatex_training.mini_vae_train import VAETraining, train_step
from animatex_training.mini_vision_build import folded, network, rounded
from animatex_training.synthetic.stills import Stills
from safetensors import safe_open
from safetensors.torch import load_file, save_file
from torch.nn.functional import batch_norm, conv2d

from animatex_core.convert import convert
from animatex_core.mini_vision import BLOCKS, FEATURES, PREFIX
from animatex_core.pictures import to_tensor
from animatex_core.tensor_files import WeightsError
from animatex_core.vae import load_vae
from animatex_core.vision import load_clip_vision, projection_width
from tests.core.small_job import small_job

VAE, VISION = ASSETS / "mini_vae.safetensors", ASSETS / "mini_vision.safetensors"
pytest.importorskip("diffusers", reason='pip install "animate-x[offline]"')


def facts(path):
    with safe_open(path, "pt") as file:
        return json.loads(file.metadata()["facts"])


def test_the_vae_is_as_good_as_its_file_says():
    vae, told = load_vae(VAE), facts(VAE)
    values = []
    for picture in drawn(HELD_OUT, 10):
        wanted = to_tensor(picture)
        values.append(float(psnr(next(vae.decode(vae.encode(wanted))), wanted)[0]))
    assert np.mean(values) == pytest.approx(told["psnr_drawn"], abs=1.0)
    assert told["psnr_held_humans_box"] > 23 and told["license"].startswith("CC0")


def test_latents_are_of_the_scale_that_noise_has():
    latents = load_vae(VAE).encode(torch.cat([to_tensor(p) for p in drawn(HELD_OUT + 1, 64) if p.shape[0] == 96]))
    assert 0.4 < float(latents.std()) < 1.2 and float(latents.abs().max()) < 8


NARROW = VAEShape((4, 8, 8, 12), (0, 1, 2, 3), (1, 0, 1, 2))


def as_stored(model):
    """The weights as a file keeps them."""
    return {name: tensor.half().float() for name, tensor in model.state_dict().items()}


def test_a_narrow_network_padded_to_the_layout_is_the_same_network(tmp_path):
    torch.manual_seed(0)
    narrow = MiniVAE(NARROW).eval()
    narrow.load_state_dict(as_stored(narrow))
    save_mini_vae(tmp_path / "vae.safetensors", narrow.state_dict(), {})
    assert load_file(tmp_path / "vae.safetensors")["taesd_encoder.0.weight"].shape[0] == LAYOUT_WIDTH
    wide, pictures = load_vae(tmp_path / "vae.safetensors"), torch.rand(2, 3, 32, 24)
    with torch.no_grad():
        latents = narrow.encode(pictures * 2 - 1)
        torch.testing.assert_close(wide.encode(pictures), latents, atol=1e-5, rtol=1e-4)
        decoded = torch.cat(list(wide.decode(latents)))
        torch.testing.assert_close(decoded, ((narrow.decode(latents) + 1) / 2).clamp(0, 1), atol=1e-5, rtol=1e-4)


def test_a_widened_network_does_the_same_and_has_more_to_learn_with(tmp_path):
    torch.manual_seed(0)
    narrow = MiniVAE(NARROW).eval()
    narrow.load_state_dict(as_stored(narrow))
    shape = {"widths": NARROW.widths, "encoder_blocks": NARROW.encoder_blocks, "decoder_blocks": NARROW.decoder_blocks}
    save_mini_vae(tmp_path / "vae.safetensors", narrow.state_dict(), {"training": shape})
    wide = MiniVAE(VAEShape((8, 8, 16, 16), NARROW.encoder_blocks, NARROW.decoder_blocks)).eval()
    wide.load_state_dict(widened(tmp_path / "vae.safetensors", wide.shape))
    pictures = torch.rand(1, 3, 32, 24) * 2 - 1
    with torch.no_grad():
        torch.testing.assert_close(wide.encode(pictures), narrow.encode(pictures), atol=1e-5, rtol=1e-4)
        latents = narrow.encode(pictures)
        torch.testing.assert_close(wide.decode(latents), narrow.decode(latents), atol=1e-5, rtol=1e-4)
    with pytest.raises(ValueError, match="is no part of"):
        widened(tmp_path / "vae.safetensors", VAEShape((4, 4, 8, 8)))
    with pytest.raises(ValueError, match="widths of the mini VAE"):
        VAEShape((8, 8, 8, 65))


def a_training(**changes):
    small = {"widths": (4, 8, 8, 8), "encoder_blocks": (0, 1, 1, 1), "decoder_blocks": (0, 1, 1, 1)}
    return VAETraining(**{**small, "batch": 2, "side": 16, "bf16": False, **changes})


def trained(run, steps, material=None):
    batches = crops(run.settings, material or Material(), run.step)
    return [train_step(run, run.settings, next(batches)) for _ in range(steps)]


def test_training_goes_on_exactly_where_it_stopped(tmp_path):
    chosen = a_training(steps=12)
    straight, first, second = Run(chosen), Run(chosen), Run(chosen)
    stills = Stills(np.random.default_rng(0).integers(0, 256, (3, 24, 16, 3), np.uint8), np.ones((3, 24, 16), bool))
    material = Material(stills, drawn(5, 2))
    losses = trained(straight, 6, material)
    assert trained(first, 3, material) == losses[:3]
    first.save(tmp_path / "run.safetensors")
    second.load(tmp_path / "run.safetensors")
    assert trained(second, 3, material) == losses[3:]
    for name, tensor in straight.averaged().state_dict().items():
        assert torch.equal(tensor, second.averaged().state_dict()[name])
    with pytest.raises(ValueError, match="other settings"):
        Run(a_training(steps=12, seed=1)).load(tmp_path / "run.safetensors")
    Run(a_training(steps=20, batch=1, rate=1e-4)).load(tmp_path / "run.safetensors")


def test_training_learns_and_is_measured_in_the_box_of_the_silhouette(tmp_path):
    run = Run(a_training(steps=60, batch=4, rate=4e-3))
    losses = trained(run, 60)
    assert np.mean(losses[-10:]) < 0.7 * np.mean(losses[:10])
    save_mini_vae(tmp_path / "vae.safetensors", run.averaged().state_dict(), {})
    pictures, silhouettes = np.full((1, 32, 24, 3), 128, np.uint8), np.zeros((1, 32, 24), bool)
    silhouettes[0, 8:16, 8:16] = True
    pictures[0, 8:16, 8:16] = (255, 0, 0)
    found = measure(tmp_path / "vae.safetensors", Held({"one": Stills(pictures, silhouettes)}))
    assert set(found) == {"psnr_one", "psnr_one_box", "psnr_drawn", "latent_mean", "latent_deviation"}
    assert found["psnr_one_box"] < found["psnr_one"]


def test_the_image_tower_stands_in_for_clip():
    tower = load_clip_vision(VISION)
    assert (tower.size, tower.projection, projection_width(VISION)) == (224, FEATURES, FEATURES)
    one, two = drawn(3, 2)
    found = tower.encode([one, two, one])
    assert found.shape == (3, FEATURES) and torch.equal(found[0], found[2])
    assert float((found[0] - found[1]).norm() / found[0].norm()) > 0.2
    assert facts(VISION)["cosine_to_fp32"] > 0.98 and facts(VISION)["license"].startswith("Apache-2.0")


def source_weights(seed=0):
    """By the package's names, random."""
    generator = torch.Generator().manual_seed(seed)
    shapes, entering = {"_conv_stem": (32, 3, 3, 3)}, 32
    norms = {"_bn0": 32, "_bn1": FEATURES}
    for number, (leaving, kernel, _, expansion) in enumerate(BLOCKS):
        there, wide = f"_blocks.{number}.", entering * expansion
        if expansion > 1:
            shapes[f"{there}_expand_conv"], norms[f"{there}_bn0"] = (wide, entering, 1, 1), wide
        shapes[f"{there}_depthwise_conv"], norms[f"{there}_bn1"] = (wide, 1, kernel, kernel), wide
        shapes[f"{there}_project_conv"], norms[f"{there}_bn2"] = (leaving, wide, 1, 1), leaving
        entering = leaving
    shapes["_conv_head"] = (FEATURES, entering, 1, 1)
    found = {
        f"{n}.weight": torch.randn(s, generator=generator) * (2 / np.prod(s[1:])) ** 0.5 for n, s in shapes.items()
    }
    for name, width in norms.items():
        found[f"{name}.weight"] = torch.rand(width, generator=generator) + 0.5
        found[f"{name}.bias"] = torch.randn(width, generator=generator) * 0.1
        found[f"{name}.running_mean"] = torch.randn(width, generator=generator) * 0.1
        found[f"{name}.running_var"] = torch.rand(width, generator=generator) + 0.5
    return found


def test_batch_norms_are_folded_in_and_weights_rounded():
    source = source_weights()
    exact = folded(source)
    small = network(rounded(exact)).state_dict()
    x = torch.rand(1, 32, 9, 7)
    running, norm = ("running_mean", "running_var"), "_blocks.1._bn0."
    wanted = batch_norm(conv2d(x[:, :16], source["_blocks.1._expand_conv.weight"]),
                        *(source[norm + name] for name in (*running, "weight", "bias")), eps=1e-3)  # fmt: skip
    found = network(exact).blocks[1].expand(x[:, :16])
    torch.testing.assert_close(found, wanted, atol=1e-4, rtol=1e-4)
    for name, tensor in exact.items():
        off = (small[name.removeprefix(PREFIX)] - tensor).abs().flatten(1 if tensor.ndim > 1 else 0)
        assert float((off / tensor.abs().amax()).max()) <= 0.5 / 127 + 1e-6, name
    assert set(dict(rounded(exact))) > set(exact) and len(exact) == 2 * (1 + 1 + 15 + 16 + 16)


def test_it_travels_inside_a_model_file(tmp_path):
    job = small_job(tmp_path)
    out = tmp_path / "bundled.safetensors"
    convert(job.model, out, clip=VISION, vae=VAE, dtype="fp16")
    picture = drawn(11, 1)
    alone, inside = load_clip_vision(VISION).encode(picture), load_clip_vision(out).encode(picture)
    assert float((alone - inside).norm() / alone.norm()) < 0.01
    assert out.stat().st_size < job.model.stat().st_size / 2 + VISION.stat().st_size + VAE.stat().st_size + 200_000
    pictures = torch.rand(1, 3, 16, 16)
    torch.testing.assert_close(load_vae(VAE).encode(pictures), load_vae(out).encode(pictures), atol=1e-3, rtol=1e-3)


def test_an_incomplete_tower_is_refused(tmp_path):
    tensors = load_file(VISION)
    del tensors[f"{PREFIX}head.bias"]
    save_file(tensors, tmp_path / "less.safetensors")
    with pytest.raises(WeightsError, match=r"less\.safetensors.*head\.bias"):
        load_clip_vision(tmp_path / "less.safetensors")
    tensors = load_file(VISION)
    del tensors[f"{PREFIX}head.scale"]
    save_file(tensors, tmp_path / "less.safetensors")
    with pytest.raises(WeightsError, match="without a scale"):
        load_clip_vision(tmp_path / "less.safetensors")
