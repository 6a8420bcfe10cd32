"""Conversion and export: what is written, what is refused, and that a failure leaves nothing behind."""

import errno
import hashlib
import json
import os
import shutil

import pytest
import torch
from safetensors.torch import load_file, save_file

from animatex_core import convert as conversion
from animatex_core.config import TINY, with_unet
from animatex_core.convert import convert, export
from animatex_core.ipi import position_table
from animatex_core.keymap import to_ours
from animatex_core.model import AnimateX
from animatex_core.tensor_files import WeightsError, read_header
from animatex_core.vision import vision_tower
from animatex_core.weights import MismatchError, load_model, load_part, load_state
from tests.core.openclip_reference import OpenClip, names
from tests.core.small_files import SMALL, SMALL_MAMBA, SMALL_UNIANIMATE, our_state, released_state, save_ours

IDS = torch.tensor([[49406, 49407, *[0] * 75]])
POSITIONS = "pose_embedding_before.pos_embed.pos_table"
VAE = {"decoder.mid.block_1.norm1.weight": torch.ones(8), "encoder.conv_in.weight": torch.full((2, 3, 3, 3), 0.3)}


@pytest.fixture(scope="module")
def clip_model():
    return OpenClip()


@pytest.fixture(scope="module")
def files(tmp_path_factory, clip_model):
    """The files that a user has: model, OpenCLIP, an SD 2.x checkpoint, and a model that was converted before."""
    folder = tmp_path_factory.mktemp("released")
    torch.save({"state_dict": released_state(), "step": 1000}, folder / "animate-x_ckpt.pth")
    torch.save(names(clip_model), folder / "open_clip_pytorch_model.bin")
    text = {f"cond_stage_model.model.{n}": t for n, t in names(clip_model).items() if not n.startswith("visual.")}
    checkpoint = text | {f"first_stage_model.{n}": t for n, t in VAE.items()}
    torch.save({"state_dict": checkpoint | {"model.diffusion_model.out.2.bias": torch.ones(4)}}, folder / "sd.ckpt")
    convert(folder / "animate-x_ckpt.pth", folder / "before.safetensors", text=folder / "open_clip_pytorch_model.bin")
    return {
        "model": folder / "animate-x_ckpt.pth", "clip": folder / "open_clip_pytorch_model.bin",
        "sd": folder / "sd.ckpt", "text": folder / "before.safetensors",
    }  # fmt: skip


def expected_state(clip_model, dtype):
    """Computed without the converter: the recipe through the model, in the dtype."""
    state = our_state()
    state["empty_prompt"] = clip_model.context(IDS)
    full = ("empty_prompt", "ipi.query.positions")
    return {name: tensor if name in full else tensor.to(dtype) for name, tensor in state.items()}


@pytest.mark.parametrize("dtype, name", [("fp16", torch.float16), ("bf16", torch.bfloat16), ("fp32", torch.float32)])
def test_the_released_file_becomes_ours(tmp_path, files, clip_model, dtype, name):
    out = tmp_path / "m.safetensors"
    report = convert(files["model"], out, text=files["clip"], dtype=dtype)
    assert report.kind == "animate-x" and report.config == SMALL and report.loadable and report.bundled == ()
    assert "left out what lay beside the tensors: step = 1000" in report.notes
    state, expected = load_file(out), expected_state(clip_model, name)
    assert state.keys() == expected.keys()
    for key, tensor in expected.items():
        assert state[key].dtype == tensor.dtype and state[key].shape == tensor.shape
        assert (
            torch.allclose(state[key], tensor, atol=1e-5) if key == "empty_prompt" else torch.equal(state[key], tensor)
        )
    metadata = read_header(out).metadata
    assert metadata["format"] == "animate-x" and metadata["variant"] == "animate-x"
    assert metadata["dtype"] == str(name).removeprefix("torch.") and metadata["temporal"] == "attention"
    assert metadata["empty_prompt"] == "computed from open_clip_pytorch_model.bin"
    assert metadata["license"].startswith("Apache-2.0") and metadata["format_version"] == "1"
    hashes = {path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in (files["model"], files["clip"])}
    assert json.loads(metadata["source_sha256"]) == hashes
    assert load_model(out).config == SMALL
    assert os.listdir(tmp_path) == ["m.safetensors"]


def test_layouts_of_the_source_do_not_matter(tmp_path, files):
    plain = released_state()
    sources = {
        "bare.pth": plain,
        "nested.pth": {"state_dict": plain, "step": 1, "optimizer": {"lr": 1.0}, "ema": plain},
        "module.pth": {"state_dict": {f"module.{n}": t for n, t in plain.items()}},
        "compiled.pth": {"model": {f"module._orig_mod.{n}": t for n, t in plain.items()}},
        "beside.pth": {f"module.{n}": t for n, t in plain.items()} | {"model_ema.decay": torch.ones(1)},
    }
    for name, content in sources.items():
        torch.save(content, tmp_path / name)
    save_file(plain, tmp_path / "released.safetensors")
    written = []
    for name in (*sources, "released.safetensors"):
        report = convert(tmp_path / name, tmp_path / "out.safetensors", text=files["text"], dtype="fp32")
        written.append(load_file(tmp_path / "out.safetensors"))
        if name == "beside.pth":
            assert any("model_ema.decay" in note for note in report.notes)
        if name == "nested.pth":
            assert any("optimizer (dict), ema (dict)" in note for note in report.notes)
    for state in written[1:]:
        assert state.keys() == written[0].keys() and all(torch.equal(state[n], t) for n, t in written[0].items())


def test_the_prompt_from_every_kind_of_file(tmp_path, files, clip_model):
    tower = conversion.text_tower(names(clip_model))
    save_file({f"text_model.{n}": t.contiguous() for n, t in tower.items()}, tmp_path / "text_encoder.safetensors")
    expected = clip_model.context(IDS)
    for text in (files["clip"], files["sd"], tmp_path / "text_encoder.safetensors", files["text"]):
        convert(files["model"], tmp_path / "m.safetensors", text=text)
        assert torch.allclose(load_state(tmp_path / "m.safetensors").state["empty_prompt"], expected, atol=1e-5)
    convert(files["model"], tmp_path / "m.safetensors", vae=files["sd"], dtype="fp32")
    facts = load_state(tmp_path / "m.safetensors").metadata
    assert facts["empty_prompt"] == "computed from sd.ckpt"


def test_without_a_text_tower_it_says_where_one_is(tmp_path, files):
    save_file(VAE, tmp_path / "vae.safetensors")
    for more in ({}, {"text": tmp_path / "vae.safetensors"}):
        with pytest.raises(WeightsError, match=r"no text tower.*--text: open_clip_pytorch_model\.bin.*v2-1_512-ema"):
            convert(files["model"], tmp_path / "m.safetensors", **more)
    save_file({"transformer.resblocks.0.ln_1.weight": torch.ones(8), "token_embedding.weight": torch.ones(49408, 8),
               "positional_embedding": torch.ones(77, 8)}, tmp_path / "other.safetensors")  # fmt: skip
    with pytest.raises(WeightsError, match=r"other\.safetensors: the text tower"):
        convert(files["model"], tmp_path / "m.safetensors", text=tmp_path / "other.safetensors")
    assert not (tmp_path / "m.safetensors").exists()


def test_bundles(tmp_path, files, clip_model):
    out = tmp_path / "m.safetensors"
    report = convert(files["model"], out, text=files["sd"], clip=files["clip"], bundle_vae=True)
    assert report.bundled == ("vae", "clip_vision") and report.loadable
    vae, vision = load_part(out, "vae"), load_part(out, "clip_vision")
    assert {n: t.dtype for n, t in vae.items()} == dict.fromkeys(VAE, torch.float16)
    assert all(torch.equal(vae[name], tensor.half()) for name, tensor in VAE.items())
    assert all(torch.equal(vision[n], t.half()) for n, t in vision_tower(names(clip_model)).items())
    again = convert(out, tmp_path / "again.safetensors", dtype="bf16", bundle_vae=True)
    assert again.bundled == ("vae",)
    with pytest.raises(WeightsError, match="no vae to bundle: give a file that holds one as --vae"):
        convert(files["model"], tmp_path / "x.safetensors", text=files["text"], bundle_vae=True)
    with pytest.raises(WeightsError, match="no clip vision to bundle: give a file that holds one as --clip"):
        convert(files["model"], tmp_path / "x.safetensors", text=files["text"], clip=files["sd"])


def test_a_tiny_vae_is_bundled_with_its_scale_in_full(tmp_path, files):
    tiny = {"taesd_decoder.1.weight": torch.ones(2, 4, 3, 3), "vae_scale": torch.tensor(0.18215)}
    save_file(tiny, tmp_path / "taesd.safetensors")
    convert(files["model"], tmp_path / "m.safetensors", text=files["text"], vae=tmp_path / "taesd.safetensors")
    bundled = load_part(tmp_path / "m.safetensors", "vae")
    assert bundled["vae_scale"].dtype == torch.float32 and bundled["vae_scale"] == tiny["vae_scale"]
    assert bundled["taesd_decoder.1.weight"].dtype == torch.float16


def test_ours_to_another_dtype_keeps_configuration_prompt_and_what_training_wrote(tmp_path):
    state = our_state(TINY)
    save_ours(tmp_path / "m.safetensors", state, TINY, training="steps=3", license="CC0")
    convert(tmp_path / "m.safetensors", tmp_path / "half.safetensors", dtype="bf16")
    loaded = load_state(tmp_path / "half.safetensors")
    assert loaded.config == TINY
    assert (loaded.metadata["training"], loaded.metadata["license"]) == ("steps=3", "CC0")
    assert torch.equal(loaded.state["empty_prompt"], state["empty_prompt"])
    assert loaded.metadata["empty_prompt"] == "kept from m.safetensors"


def test_uni_animate(tmp_path, files):
    torch.save(released_state(SMALL_UNIANIMATE), tmp_path / "unianimate.pth")
    report = convert(tmp_path / "unianimate.pth", tmp_path / "m.safetensors", text=files["text"], dtype="fp32")
    assert report.variant == "uni-animate" and report.config == SMALL_UNIANIMATE
    model = load_model(tmp_path / "m.safetensors")
    assert isinstance(model, AnimateX) and model.ipi is None


@pytest.mark.parametrize("config", [SMALL, SMALL_UNIANIMATE, SMALL_MAMBA, TINY])
def test_export_returns_to_the_released_names_bit_for_bit(tmp_path, config):
    released = released_state(config)
    save_ours(tmp_path / "m.safetensors", our_state(config), config)
    report = export(tmp_path / "m.safetensors", tmp_path / "released.safetensors")
    assert report.kind == ("uni-animate-released" if config.ipi is None else "animate-x-released")
    exported = load_file(tmp_path / "released.safetensors")
    assert exported.keys() == released.keys()
    assert all(torch.equal(exported[n], t) and exported[n].shape == t.shape for n, t in released.items())
    convert(
        tmp_path / "released.safetensors", tmp_path / "back.safetensors", text=tmp_path / "m.safetensors", dtype="fp32"
    )
    back, before = load_file(tmp_path / "back.safetensors"), load_file(tmp_path / "m.safetensors")
    assert back.keys() == before.keys() and all(torch.equal(back[n], t) for n, t in before.items())


def test_export_of_another_model(tmp_path):
    save_file(VAE, tmp_path / "vae.safetensors")
    with pytest.raises(WeightsError, match="no converted Animate-X model but a VAE"):
        export(tmp_path / "vae.safetensors", tmp_path / "m.safetensors")


def refused(tmp_path, files, state, words, error=WeightsError, **options):
    torch.save({"state_dict": state}, tmp_path / "broken.pth")
    before = set(os.listdir(tmp_path))
    with pytest.raises(error, match=words) as caught:
        convert(tmp_path / "broken.pth", tmp_path / "m.safetensors", text=files["text"], **options)
    assert set(os.listdir(tmp_path)) == before
    return caught.value


def test_broken_numbers_are_named_and_leave_nothing(tmp_path, files):
    for value in (float("nan"), float("inf")):
        state = released_state()
        state["out.2.weight"].view(-1)[5] = value
        for dtype in ("fp16", "fp32"):
            refused(tmp_path, files, state, rf"broken\.pth: out\.2\.weight: holds {value}", dtype=dtype)


def test_numbers_too_large_for_half_precision(tmp_path, files):
    state = released_state()
    state["middle_block.3.in_layers.2.weight"].view(-1)[7] = -1e5
    words = r"middle_block\.3\.in_layers\.2\.weight: its largest number 100000 does not fit float16.*bf16 or fp32"
    refused(tmp_path, files, state, words)
    convert(tmp_path / "broken.pth", tmp_path / "wide.safetensors", text=files["text"], dtype="bf16")
    state["middle_block.3.in_layers.2.weight"].view(-1)[7] = 65519.0  # rounds to the largest number of float16
    torch.save(state, tmp_path / "edge.pth")
    convert(tmp_path / "edge.pth", tmp_path / "edge.safetensors", text=files["text"])
    assert load_model(tmp_path / "edge.safetensors").unet.middle_out.conv1.weight.max() == 65504


def test_missing_misshapen_and_unexpected_tensors(tmp_path, files):
    state = released_state()
    del state["time_embed.0.bias"]
    state["out.2.bias"] = torch.ones(5)
    state["stray"] = torch.ones(2)
    error = refused(tmp_path, files, state, "no complete animate-x model", MismatchError)
    assert error.difference.missing == ("time_embed.0.bias",) and error.difference.unexpected == ("stray",)
    assert error.difference.misshapen == {"out.2.bias": ((4,), (5,))}
    refused(tmp_path, files, state, "1 missing: time_embed.0.bias", MismatchError, drop_unexpected=True)

    state = released_state() | {"stray.0": torch.ones(2)}
    refused(tmp_path, files, state, "1 unexpected: stray.0. To leave the unexpected ones out: --drop-unexpected")
    report = convert(
        tmp_path / "broken.pth", tmp_path / "m.safetensors", text=files["text"], drop_unexpected=True
    )  # fmt: skip
    assert report.loadable and "left out 1 unexpected tensors: stray.0" in report.notes


def test_a_transposed_and_an_integer_tensor(tmp_path, files):
    state = released_state()
    state["time_embed.0.weight"] = state["time_embed.0.weight"].T
    refused(tmp_path, files, state, r"time_embed\.0\.weight \[128, 32\] expected, \[32, 128\] found", MismatchError)
    state = released_state() | {"out.2.bias": torch.ones(4, dtype=torch.int64)}
    refused(tmp_path, files, state, r"out\.2\.bias: expected floating-point numbers, found torch\.int64")


def test_tensors_that_are_views_are_written_as_they_read(tmp_path, files):
    state = released_state()
    state["time_embed.0.weight"] = state["time_embed.0.weight"].T.contiguous().T
    state["out.2.bias"] = torch.arange(8.0)[::2]
    torch.save(state, tmp_path / "views.pth")
    convert(tmp_path / "views.pth", tmp_path / "m.safetensors", text=files["text"], dtype="fp32")
    loaded = load_state(tmp_path / "m.safetensors").state
    assert torch.equal(loaded["unet.time_in.weight"], released_state()["time_embed.0.weight"])
    assert loaded["unet.out.bias"].tolist() == [0.0, 2.0, 4.0, 6.0]


@pytest.mark.parametrize("length", [5, 9, 49])
def test_tables_of_positions_of_any_length_are_kept(tmp_path, files, length):
    torch.save(released_state() | {POSITIONS: position_table(length, 64)}, tmp_path / "m.pth")
    report = convert(tmp_path / "m.pth", tmp_path / "m.safetensors", text=files["text"])
    assert report.config.ipi.positions == length
    assert torch.equal(load_model(tmp_path / "m.safetensors", dtype=torch.float32).ipi.query.positions,
                       position_table(length, 64))  # fmt: skip


def test_another_model_is_named(tmp_path, files):
    with pytest.raises(WeightsError, match="no Animate-X or UniAnimate model but OpenCLIP, vision and text"):
        convert(files["clip"], tmp_path / "m.safetensors", text=files["text"])
    with pytest.raises(WeightsError, match=r"but a Stable Diffusion 2\.x checkpoint"):
        convert(files["sd"], tmp_path / "m.safetensors")
    assert os.listdir(tmp_path) == []


def test_where_it_writes(tmp_path, files):
    for out, words in (
        (tmp_path / "m.pth", "must end in .safetensors"),
        (tmp_path / "absent" / "m.safetensors", "there is no folder"),
    ):
        with pytest.raises(WeightsError, match=words):
            convert(files["model"], out, text=files["text"])
    (tmp_path / "folder.safetensors").mkdir()
    with pytest.raises(WeightsError, match="is a folder"):
        convert(files["model"], tmp_path / "folder.safetensors", text=files["text"])
    source = save_ours(tmp_path / "m.safetensors", our_state())
    content = source.read_bytes()
    with pytest.raises(WeightsError, match="is a source of the conversion"):
        convert(source, tmp_path / "." / "m.safetensors")
    assert source.read_bytes() == content
    with pytest.raises(ValueError, match="dtype must be one of fp16, bf16, fp32, got 'fp8'"):
        convert(source, tmp_path / "x.safetensors", dtype="fp8")


def fail(*_, **__):
    raise OSError(errno.ENOSPC, "No space left on device")


def test_a_full_disk_is_seen_before_and_survived_after(tmp_path, files, monkeypatch):
    out = tmp_path / "m.safetensors"
    out.write_bytes(b"before")
    with monkeypatch.context() as patch:
        patch.setattr(shutil, "disk_usage", lambda _: shutil._ntuple_diskusage(10, 9, 1))
        with pytest.raises(WeightsError, match=r"m\.safetensors: needs 0\.\d+ GB, the disk has 0\.00 GB left"):
            convert(files["model"], out, text=files["text"])
    with monkeypatch.context() as patch:
        patch.setattr(os, "fsync", fail)
        with pytest.raises(ValueError, match=r"m\.safetensors: the disk is full, nothing was kept"):
            convert(files["model"], out, text=files["text"])
    assert os.listdir(tmp_path) == ["m.safetensors"] and out.read_bytes() == b"before"


def test_an_interrupt_leaves_the_file_before(tmp_path, files):
    out = tmp_path / "m.safetensors"
    out.write_bytes(b"before")

    def interrupt(what, done, total):
        if done > total - 100_000:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        convert(files["model"], out, text=files["text"], progress=interrupt)
    assert os.listdir(tmp_path) == ["m.safetensors"] and out.read_bytes() == b"before"


def test_progress_reaches_its_end(tmp_path, files):
    seen = []
    convert(files["model"], tmp_path / "m.safetensors", text=files["clip"], progress=lambda *step: seen.append(step))
    assert {what for what, _, _ in seen} == {
        "reading animate-x_ckpt.pth",
        "reading open_clip_pytorch_model.bin",
        "writing",
    }
    numbers = [step[1:] for step in seen]
    assert numbers == sorted(numbers) and len({total for _, total in numbers}) == 1
    assert numbers[-1][0] == numbers[-1][1] > files["model"].stat().st_size + files["clip"].stat().st_size


def test_configurations_that_shapes_cannot_tell_are_refused_without_metadata(tmp_path, files):
    torch.save(released_state(with_unet(SMALL, entrance_heads=3)), tmp_path / "m.pth")
    with pytest.raises(WeightsError, match=r"m\.pth: "):
        convert(tmp_path / "m.pth", tmp_path / "m.safetensors", text=files["text"])


def test_the_stray_axis_of_released_convolutions_is_gone(tmp_path, files):
    convert(files["model"], tmp_path / "m.safetensors", text=files["text"])
    name = "unet.middle.temporal.enter.weight"
    assert to_ours(name, released_state()["middle_block.2.proj_in.weight"]).ndim == 2
    assert len(read_header(tmp_path / "m.safetensors").entries[name].shape) == 2
