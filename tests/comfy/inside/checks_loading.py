"""Files in and out: dtypes, what Save Model writes, wrong files."""

import comfy.model_management as management
import folder_paths
import torch
from checks_conds import run
from checks_inputs import refused
from checks_patches import lora_of
from comfy.sd import load_lora_for_models
from comfy_execution.graph_utils import ExecutionBlocker
from comfy_extras.nodes_model_merging import ModelSave
from kit import relative


def load(kit, name, dtype="default"):
    """Outputs of Load Model."""
    folder_paths.filename_list_cache.clear()
    return kit.call("LoadModel", model_name=name, weight_dtype=dtype)


def check_weight_dtypes(kit):
    conditioning = kit.conditioning(4)
    plain, figures = run(kit, conditioning), {}
    for dtype in ("fp32", "fp16", "bf16", "fp8_e4m3fn", "fp8_e5m2"):
        model = load(kit, kit.model_path.name, dtype)[0]
        weight = model.model.diffusion_model.unet.time_in.weight
        found = run(kit, conditioning, model=model)
        assert torch.isfinite(found).all() and str(weight.dtype)[6:9].replace("flo", "") is not None
        figures[dtype] = {"distance": relative(found, plain), "held as": str(weight.dtype).removeprefix("torch.")}
    assert figures["fp32"]["distance"] == 0
    assert figures["fp16"]["distance"] < figures["fp8_e4m3fn"]["distance"] < 1
    assert figures["fp8_e5m2"]["held as"] == "float8_e5m2"
    return figures


def check_save_model_and_load_it(kit):
    """With a LoRA baked in, as people do; ours loads what core wrote, configuration included."""
    conditioning = kit.conditioning(4)
    model, _ = load_lora_for_models(kit.model, None, lora_of(kit.model), 1.0, 0)
    wanted = run(kit, conditioning, model=model)
    folder_paths.set_output_directory(str(kit.base / "models"))
    ModelSave().save(model, "diffusion_models/saved")
    saved = sorted((kit.base / "models" / "diffusion_models").glob("saved*.safetensors"))[-1]
    found, clip, vae = load(kit, saved.name)
    assert found.model.config == kit.model.model.config
    assert isinstance(clip, ExecutionBlocker) and "Load CLIP Vision" in clip.message
    assert isinstance(vae, ExecutionBlocker) and "Load VAE" in vae.message
    distance = relative(run(kit, conditioning, model=found), wanted)
    assert distance < 1e-6, distance
    return {"distance": distance}


def check_other_files_are_named(kit):
    folder = kit.base / "models" / "diffusion_models"
    from safetensors.torch import save_file

    save_file({"double_blocks.0.img_attn.qkv.weight": torch.zeros(4, 4)}, folder / "other.safetensors")
    refused(lambda: load(kit, "other.safetensors"), "Flux")
    torch.save({"a": torch.zeros(2)}, folder / "released.pth")
    refused(lambda: load(kit, "released.pth"), "Convert Animate-X Weights")
    (folder / "broken.safetensors").write_bytes(kit.model_path.read_bytes()[:5000])
    refused(lambda: load(kit, "broken.safetensors"), "broken.safetensors")
    refused(lambda: load(kit, "gone.safetensors"), "no such file")
    options = kit.nodes["AnimateX_LoadModel"].define_schema().inputs[0].options
    assert {"other.safetensors", "released.pth", kit.model_path.name} <= set(options)
    assert options.index(kit.model_path.name) == 0


def check_the_mini_model_comes_along(kit):
    """Listed without any file of the user's, beside one of the same name, and whole."""
    folders, preflight = kit.pack("nodes.folders"), kit.pack("nodes.preflight")
    node = kit.nodes["AnimateX_LoadModel"]
    same = kit.model_path.with_name(folders.MINI.removesuffix(folders.SHIPPED))
    same.write_bytes(kit.model_path.read_bytes())
    try:
        assert load(kit, same.name)[0].model.config == kit.model.model.config
        assert {folders.MINI, same.name} <= set(node.define_schema().inputs[0].options)
    finally:
        same.unlink()
    assert node.validate_inputs(folders.MINI) is True
    assert "mini" in node.fingerprint_inputs(folders.MINI) and len(node.fingerprint_inputs(folders.MINI).split()) == 4
    model, clip, vae = load(kit, folders.MINI)
    image, pose = kit.call("SampleCharacter", character="bear")
    feature = clip.encode_image(image)["image_embeds"]
    assert feature.shape[-1] == model.model.config.conditions.clip_width and len(pose) == 1
    assert vae.decode(torch.zeros(1, 4, 24, 16)).shape == (1, 192, 128, 3)
    names = folders.files_of
    folders.files_of = lambda *_: []
    try:
        assert preflight.missing_files(model, poses_needed=False) == []
        assert len(preflight.missing_files(None, poses_needed=False)) == 3
        assert folders.model_files() == [folders.MINI]
    finally:
        folders.files_of = names


def check_a_link_to_nowhere_is_no_file(kit):
    """Listed by the host, without a path: Check Before Running goes on to what is there."""
    preflight = kit.pack("nodes.preflight")
    links = [kit.base / "models" / kind / "animate_gone.safetensors" for kind in ("diffusion_models", "vae")]
    before = preflight.missing_files(None, poses_needed=False)
    for link in links:
        link.parent.mkdir(exist_ok=True)
        link.symlink_to(kit.base / "nowhere.safetensors")
    folder_paths.filename_list_cache.clear()
    try:
        assert links[0].name in kit.nodes["AnimateX_LoadModel"].define_schema().inputs[0].options
        assert preflight.missing_files(None, poses_needed=False) == before
        refused(lambda: load(kit, links[0].name), "no such file")
    finally:
        for link in links:
            link.unlink()
        folder_paths.filename_list_cache.clear()


def check_names_of_new_files_stay_in_the_folder(kit):
    target = kit.pack("nodes.loaders")._target
    inside = target("sub/animate-x")
    assert inside == str(kit.base / "models/diffusion_models/sub/animate-x.safetensors"), inside
    for name in ("", "../x", "/etc/x", "a/../../x", "x\0y"):
        refused(lambda name=name: target(name), "filename")


def check_convert_node(kit):
    """A released-layout file becomes one that loads, from inside ComfyUI."""
    core = kit.pack("animatex_core.convert")
    folder = kit.base / "models" / "animatex"
    folder.mkdir(parents=True, exist_ok=True)
    core.export(kit.model_path, folder / "animate-x_ckpt.safetensors")
    folder_paths.filename_list_cache.clear()
    report = kit.call(
        "ConvertWeights", checkpoint="animate-x_ckpt.safetensors", text_encoder=kit.model_path.name, clip_vision="none",
        vae=kit.model_path.name, dtype="fp32", filename="converted",
    )[0]  # fmt: skip
    assert "converted.safetensors" in report
    model, clip, vae = load(kit, "converted.safetensors")
    conditioning = kit.conditioning(4)
    management.unload_all_models()  # a LoRA of another check may still be in the weights
    weights, expected = (m.model.diffusion_model.state_dict() for m in (model, kit.model))
    assert set(weights) == set(expected) and all(torch.equal(weights[name], expected[name]) for name in expected)
    distance = relative(run(kit, conditioning, model=model), run(kit, conditioning))
    assert distance < 1e-4, distance  # not 0: the weights of another file start at other addresses of memory
    assert isinstance(clip, ExecutionBlocker) and not isinstance(vae, ExecutionBlocker)
    return {"distance": distance}
