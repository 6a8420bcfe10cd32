"""Every file that people have lying about is called by its name."""

import zipfile

import pytest
import torch
from safetensors.torch import save_file

from animatex_core.config import TINY
from animatex_core.identify import identify
from tests.core.small_files import SMALL, SMALL_UNIANIMATE, our_state, released_state, save_ours


def names(*wanted):
    return {name: torch.ones(1) for name in wanted}


def test_a_converted_file(tmp_path):
    bundled = names("vae.decoder.conv_in.weight", "clip_vision.visual_projection.weight")
    state = our_state(TINY, dtype=torch.float16)
    report = identify(save_ours(tmp_path / "m.safetensors", state | bundled, TINY, variant="animate-x"))
    assert report.kind == "animate-x" and report.variant == "animate-x" and report.loadable
    assert report.config == TINY and report.bundled == ("vae", "clip_vision")
    assert report.tensors == len(state) + 2 and report.parameters == sum(t.numel() for t in state.values()) + 2
    assert report.dtype == "float16, 2 float32"
    lines = report.lines()
    assert lines[0].endswith("m.safetensors: Animate-X, converted")
    assert "bundled: vae, clip_vision" in lines and "variant: animate-x" in lines


def test_an_incomplete_file_lists_what_is_wrong(tmp_path):
    state = our_state() | {"unet.stranger": torch.ones(1), "unet.out.bias": torch.ones(5)}
    del state["unet.time_in.bias"]
    report = identify(save_ours(tmp_path / "m.safetensors", state))
    assert not report.loadable
    assert report.missing == ("unet.time_in.bias",) and report.unexpected == ("unet.stranger",)
    assert report.misshapen == {"unet.out.bias": ((4,), (5,))}
    assert "problem: 1 missing: unet.time_in.bias" in report.lines()


def test_the_released_file_nested_beside_its_step(tmp_path):
    state = {f"module.{name}": tensor for name, tensor in released_state().items()}
    torch.save({"state_dict": state, "step": 1000, "optimizer": {}}, tmp_path / "animate-x_ckpt.pth")
    report = identify(tmp_path / "animate-x_ckpt.pth")
    assert report.kind == "animate-x-released" and report.container == "PyTorch archive"
    assert report.config == SMALL and not report.problems and not report.loadable
    assert "beside the tensors: step = 1000, optimizer (dict)" in report.lines()
    assert "animate-x convert" in report.advice
    closed = identify(tmp_path / "animate-x_ckpt.pth", pickles=False)
    assert closed.kind == "archive" and closed.tensors == 0


def test_uni_animate(tmp_path):
    save_file(released_state(SMALL_UNIANIMATE), tmp_path / "released.safetensors")
    report = identify(tmp_path / "released.safetensors")
    assert report.kind == "uni-animate-released" and report.config == SMALL_UNIANIMATE and not report.problems
    report = identify(save_ours(tmp_path / "m.safetensors", our_state(SMALL_UNIANIMATE), SMALL_UNIANIMATE))
    assert report.kind == "animate-x" and report.variant == "uni-animate" and report.loadable
    assert "no IPI" in "\n".join(report.lines())


def test_saved_by_the_hosts_save_node(tmp_path):
    save_file({f"model.diffusion_model.{n}": t for n, t in our_state().items()}, tmp_path / "m.safetensors")
    report = identify(tmp_path / "m.safetensors")
    assert report.kind == "animate-x-modelsave" and report.config == SMALL and report.loadable


@pytest.mark.parametrize(
    "content, kind, title",
    [
        (names("first_stage_model.decoder.mid.block_1.norm1.weight", "model.diffusion_model.input_blocks.0.0.weight",
               "cond_stage_model.model.ln_final.weight"), "sd-checkpoint", "Stable Diffusion 2.x"),
        (names("first_stage_model.decoder.mid.block_1.norm1.weight", "model.diffusion_model.input_blocks.0.0.weight",
               "cond_stage_model.transformer.text_model.final_layer_norm.weight"), "sd-checkpoint", "1.x"),
        (names("first_stage_model.decoder.mid.block_1.norm1.weight", "model.diffusion_model.input_blocks.0.0.weight",
               "conditioner.embedders.1.model.ln_final.weight"), "sd-checkpoint", "of the Stable Diffusion family"),
        (names("decoder.mid.block_1.norm1.weight", "encoder.conv_in.weight"), "sd-vae", "a VAE"),
        (names("first_stage_model.decoder.mid.block_1.norm1.weight"), "sd-vae", "a VAE"),
        ({"decoder.mid.block_1.norm1.weight": torch.ones(1), "decoder.conv_in.weight": torch.ones(2, 16, 3, 3)},
         "vae", "a VAE with 16 latent channels"),
        (names("decoder.mid_block.resnets.0.norm1.weight"), "sd-vae-diffusers", "a VAE"),
        (names("taesd_decoder.1.weight"), "taesd", "a tiny VAE"),
        (names("visual.transformer.resblocks.0.ln_1.weight", "transformer.resblocks.0.ln_1.weight",
               "token_embedding.weight"), "openclip", "OpenCLIP, vision and text"),
        (names("visual.transformer.resblocks.0.ln_1.weight"), "openclip-vision", "an OpenCLIP vision tower"),
        (names("transformer.resblocks.0.ln_1.weight", "token_embedding.weight"), "openclip-text", "text tower"),
        (names("vision_model.encoder.layers.0.mlp.fc1.weight", "visual_projection.weight"), "clip-vision", "vision"),
        (names("vision_model.encoder.layers.0.mlp.fc1.weight", "text_model.encoder.layers.0.mlp.fc1.weight"),
         "clip", "CLIP, vision and text"),
        ({"text_model.encoder.layers.0.self_attn.k_proj.weight": torch.ones(1),
          "text_model.embeddings.token_embedding.weight": torch.ones(2, 1024)}, "clip-text", "text encoder"),
        ({"text_model.encoder.layers.0.self_attn.k_proj.weight": torch.ones(1),
          "text_model.embeddings.token_embedding.weight": torch.ones(2, 768)}, "clip-text", "768 wide"),
        (names("diffusion_model.unet.out.lora_A.weight"), "lora", "a LoRA"),
        (names("lora_unet_down_blocks_0_x.lora_down.weight"), "lora", "a LoRA"),
        (names("input_blocks.0.0.weight", "input_blocks.1.0.temopral_conv.conv1.0.weight"), "lineage", "lineage"),
        (names("model.diffusion_model.input_blocks.0.0.weight", "time_embed.0.weight"), "unet", "an image UNet"),
        (names("down_blocks.0.resnets.0.norm1.weight", "conv_in.weight"), "unet", "diffusers"),
        (names("down_blocks.0.motion_modules.0.norm.weight"), "animatediff", "AnimateDiff"),
        (names("blocks.0.self_attn.q.weight"), "wan", "video transformer"),
        (names("layer.weight"), "unknown", "something else, with tensors such as layer.weight"),
    ],
)  # fmt: skip
def test_other_models_are_called_by_their_names(tmp_path, content, kind, title):
    for path, save in ((tmp_path / "x.safetensors", save_file), (tmp_path / "x.ckpt", torch.save)):
        save(content, path)
        report = identify(path)
        assert (report.kind, title in report.title, report.loadable) == (kind, True, False), report.lines()


def test_files_that_are_not_opened(tmp_path):
    (tmp_path / "dw-ll_ucoco_384.onnx").write_bytes(b"\x08\x08")
    report = identify(tmp_path / "dw-ll_ucoco_384.onnx")
    assert report.kind == "onnx" and "by its name alone" in report.title


def test_lines_are_printable_ascii(tmp_path):
    report = identify(save_ours(tmp_path / "m.safetensors", our_state(), license="\u00e9\x1b[31m\nred"))
    assert "license: \\xe9 [31m red" in report.lines()


def test_a_torchscript_program_is_named(tmp_path):
    with zipfile.ZipFile(tmp_path / "dw.torchscript.pt", "w") as archive:
        archive.writestr("dw/data.pkl", b"")
        archive.writestr("dw/constants.pkl", b"")
    with pytest.raises(ValueError, match="a TorchScript program, not weights"):
        identify(tmp_path / "dw.torchscript.pt")
