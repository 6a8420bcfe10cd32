"""Networks other than the released one: Mamba over time, the ablations of the IPI."""

from dataclasses import replace

import folder_paths
import torch
from checks_conds import run
from checks_loading import load
from checks_patches import lora_of
from comfy.sd import load_lora_for_models
from comfy_extras.nodes_model_merging import ModelSave
from kit import Recorder, relative
from safetensors.torch import save_file

MIXER = "diffusion_model.unet.encoder.0.temporal.block.mixer"
MAMBA_LAYERS = (f"{MIXER}.enter", f"{MIXER}.ahead.project", f"{MIXER}.back.step", f"{MIXER}.out")


def write_variant(kit, name, **changes):
    """A file of the tiny network with changes of `unet` or `ipi`; its core configuration."""
    core = kit.pack("animatex_core.config")
    tiny = core.TINY
    config = replace(tiny, **{part: replace(getattr(tiny, part), **fields) for part, fields in changes.items()})
    torch.manual_seed(0)
    state = kit.pack("animatex_core.model").AnimateX(config).state_dict()
    folder = kit.base / "models" / "diffusion_models"
    save_file({n: t.contiguous() for n, t in state.items()}, folder / name, {"config": config.to_json()})
    return folder / name


def like_the_core(kit, path, model, conditioning):
    """Largest distance between what the host's network predicts and what the core's does of the same file."""
    recorder = Recorder(model)
    run(kit, conditioning, model=recorder.model)
    core, network = kit.pack("animatex_core.model"), kit.pack("animatex_core.weights").load_model(path)
    distances = []
    for x, timesteps, given, out, _, _ in recorder.calls:
        samples = given["pixels"].shape[0]
        conditions = core.Conditions(given["pixels"], given["reference"], given["tokens"], given.get("motion"))
        clips = x.unflatten(0, (samples, -1)).transpose(1, 2)
        v = network(clips, timesteps.reshape(samples, -1)[:, 0], conditions, given["motion_scale"])
        distances.append(relative(out, v.transpose(1, 2).flatten(0, 1)))
    return max(distances)


def check_mamba_equals_the_core_in_every_dtype(kit):
    conditioning = kit.conditioning(4)
    path = write_variant(kit, "mamba.safetensors", unet={"temporal": "mamba"})
    model = load(kit, path.name)[0]
    assert model.model.config.unet.temporal == "mamba"
    figures = {"core": like_the_core(kit, path, model, conditioning)}
    plain = run(kit, conditioning, model=model)
    for dtype in ("fp16", "bf16", "fp8_e4m3fn"):
        figures[dtype] = relative(run(kit, conditioning, model=load(kit, path.name, dtype)[0]), plain)
    assert figures["core"] < 1e-5 and figures["fp16"] < 0.01 and figures["fp8_e4m3fn"] < 0.5, figures
    return figures


def check_mamba_takes_loras_saves_and_casts(kit):
    conditioning = kit.conditioning(4)
    model = load(kit, write_variant(kit, "mamba.safetensors", unet={"temporal": "mamba"}).name)[0]
    plain = run(kit, conditioning, model=model)
    for module in model.model.modules():
        if hasattr(module, "comfy_cast_weights"):
            module.comfy_cast_weights = True
    cast = relative(run(kit, conditioning, model=model), plain)
    patched, _ = load_lora_for_models(model, None, lora_of(model, MAMBA_LAYERS), 1.0, 0)
    assert len(patched.patches) == len(MAMBA_LAYERS)
    wanted = run(kit, conditioning, model=patched)
    folder_paths.set_output_directory(str(kit.base / "models"))
    ModelSave().save(patched, "diffusion_models/mamba_saved")
    saved = sorted((kit.base / "models" / "diffusion_models").glob("mamba_saved*.safetensors"))[-1]
    found = load(kit, saved.name)[0]
    assert found.model.config == model.model.config
    figures = {"cast": cast, "lora": relative(wanted, plain)}
    figures["saved"] = relative(run(kit, conditioning, model=found), wanted)
    assert figures["cast"] < 1e-6 and figures["lora"] > 1e-6 and figures["saved"] < 1e-5, figures
    return figures


def check_ablations_of_the_ipi_load_and_equal_the_core(kit):
    conditioning, figures = kit.conditioning(4), {}
    for kind in ("pose", "learned", "clip"):
        path = write_variant(kit, f"{kind}.safetensors", ipi={"query": kind})
        figures[kind] = like_the_core(kit, path, load(kit, path.name)[0], conditioning)
    path = write_variant(kit, "parallel.safetensors", unet={"motion_attention": "parallel"})
    figures["parallel"] = like_the_core(kit, path, load(kit, path.name)[0], conditioning)
    assert max(figures.values()) < 1e-5, figures
    return figures
