"""What people wire around a model."""

import comfy.ldm.modules.attention as comfy_attention
import comfy.lora
import comfy.model_management as management
import comfy.model_patcher
import comfy.sd
import torch
from checks_conds import run
from checks_samplers import released
from checks_windows import MANUAL
from comfy_api.torch_helpers import set_torch_compile_wrapper
from comfy_extras import nodes_easycache as caches
from comfy_extras.nodes_context_windows import ContextWindowsManualNode
from comfy_extras.nodes_model_advanced import ModelSamplingDiscrete, RescaleCFG
from comfy_extras.nodes_torch_compile import skip_torch_compile_dict
from kit import relative

LORA_LAYERS = (
    "diffusion_model.unet.encoder.0.spatial.block.self_attention.query",
    "diffusion_model.unet.encoder.0.temporal.block.feed_forward.up",
    "diffusion_model.unet.middle.res.conv1",
    "diffusion_model.ipi.query.lift1",
    "diffusion_model.ipi.reader.layers.0.key_value",
)


def lora_of(model, layers=LORA_LAYERS, rank=2):
    """A LoRA of random numbers, in the format that training writes."""
    weights, state = model.model.state_dict(), {}
    generator = torch.Generator().manual_seed(1)
    for layer in layers:
        out, inner, *kernel = weights[f"{layer}.weight"].shape
        state[f"{layer}.lora_up.weight"] = torch.randn(out, rank, *[1] * len(kernel), generator=generator)
        state[f"{layer}.lora_down.weight"] = torch.randn(rank, inner, *kernel, generator=generator) * 0.3
        state[f"{layer}.alpha"] = torch.tensor(float(rank))
    return state


def check_lora_keys_cover_every_matrix(kit):
    keys = comfy.lora.model_lora_keys_unet(kit.model.model, {})
    names = {n for n in kit.model.model.state_dict() if n.startswith("diffusion_model.") and n.endswith(".weight")}
    assert names == {keys[name.removesuffix(".weight")] for name in names}
    assert "lora_unet_ipi_query_lift1" in keys
    return {"matrices": len(names)}


def check_lora_on_unet_and_ipi(kit):
    conditioning, plain = kit.conditioning(4), None
    figures = {}
    for part in ("unet", "ipi"):
        layers = [layer for layer in LORA_LAYERS if f".{part}." in layer]
        model, _ = comfy.sd.load_lora_for_models(kit.model, None, lora_of(kit.model, layers), 1.0, 0)
        assert len(model.patches) == len(layers)
        plain = run(kit, conditioning)
        figures[part] = relative(run(kit, conditioning, model=model), plain)
        assert figures[part] > 1e-4, figures
        assert torch.equal(run(kit, conditioning), plain)  # taking it away leaves nothing behind
    return figures


def counting(model, calls):
    """The model, noting each call of its wrapped network."""

    def count(executor, *rest, **named):
        calls.append(1)
        return executor(*rest, **named)

    counted = model.clone()
    counted.add_wrapper_with_key("diffusion_model", "count", count)
    return counted


def check_easycache_and_lazycache(kit):
    conditioning, figures = kit.conditioning(4), {}
    steps = {"steps": 20, "sampler": "ddim", "scheduler": "ddim_uniform"}
    plain = run(kit, conditioning, **steps)
    for name, node in (("easy", caches.EasyCacheNode), ("lazy", caches.LazyCacheNode)):
        calls = []
        model = counting(node.execute(kit.model, 0.1, 0.5, 0.95, False)[0], calls)
        found = run(kit, conditioning, model=model, **steps)
        figures[name] = {"distance": round(relative(found, plain), 4), "network calls": len(calls)}
    assert all(figure["distance"] < 0.3 and figure["network calls"] < 20 for figure in figures.values()), figures
    return figures


def check_lazycache_with_windows(kit):
    conditioning = kit.conditioning(16)
    windows = ContextWindowsManualNode.execute(kit.model, **MANUAL)[0]
    cached = caches.LazyCacheNode.execute(windows, 0.1, 0.5, 0.95, False)[0]
    steps = {"steps": 10, "sampler": "ddim", "scheduler": "ddim_uniform"}
    calls, cached_calls = [], []
    plain = run(kit, conditioning, model=counting(windows, calls), **steps)
    found = run(kit, conditioning, model=counting(cached, cached_calls), **steps)
    names = ("positive", "negative", "latent")
    inputs = dict(zip(names, conditioning, strict=True)) | {"seed": 1, "steps": 10, "cfg": 2.5}
    lazy = caches.LazyCacheNode.execute(kit.model, 0.1, 0.5, 0.95, False)[0]
    ours, plainly = (
        kit.call("Sampler", model=model, window_length=8, window_overlap=3, **inputs)[0]["samples"]
        for model in (lazy, kit.model)
    )
    figures = {
        "context windows": round(relative(found, plain), 4),
        "network calls": [len(cached_calls), len(calls)],
        "our sampler": round(relative(ours, plainly), 4),
    }
    assert figures["context windows"] < 0.3 and figures["our sampler"] < 0.3, figures
    assert len(cached_calls) < len(calls), figures
    return figures


def check_torch_compile(kit):
    """As the node does it but without code generation, which needs a compiler: the graph is captured and run.

    With the attention that hosts use on GPUs; that of CPUs asks for free memory, where no graph can go on.
    """
    conditioning, model = kit.conditioning(2), kit.model.clone()
    attention, optimized = comfy_attention.attention_pytorch, comfy_attention.optimized_attention
    comfy_attention.optimized_attention = attention
    graphs = torch._dynamo.utils.counters["stats"]
    try:
        plain = run(kit, conditioning, steps=3)
        torch._dynamo.reset()
        graphs.clear()
        set_torch_compile_wrapper(model, backend="eager", options={"guard_filter_fn": skip_torch_compile_dict})
        distance = relative(run(kit, conditioning, steps=3, model=model), plain)
        first = graphs["unique_graphs"]
        run(kit, conditioning, steps=6, model=model)
        again = graphs["unique_graphs"]
    finally:
        comfy_attention.optimized_attention = optimized
    assert distance < 1e-5, distance
    assert 0 < first == again < 20, (first, again)  # captured in few pieces, and not again at other steps
    return {"distance": distance, "graphs": first}


def check_sampling_patches(kit):
    conditioning = kit.conditioning(4)
    plain = run(kit, conditioning, steps=4)
    other = ModelSamplingDiscrete().patch(kit.model, "v_prediction", False)[0]
    rescale = RescaleCFG.execute if hasattr(RescaleCFG, "execute") else RescaleCFG().patch
    rescaled = rescale(kit.model, 0.7)[0]
    figures = {}
    for name, model in (("ModelSamplingDiscrete", other), ("RescaleCFG", rescaled)):
        found = run(kit, conditioning, steps=4, model=model)
        figures[name] = relative(found, plain)
        assert torch.isfinite(found).all() and figures[name] > 1e-4, figures
    positive, negative, latent = conditioning
    ours = [
        kit.call("Sampler", model=m, positive=positive, negative=negative, latent=latent, seed=1, steps=3, cfg=2.5)[0]
        for m in (kit.model, rescaled)
    ]
    assert relative(ours[1]["samples"], ours[0]["samples"]) > 1e-4
    return figures


def check_unload_and_reload(kit):
    conditioning = kit.conditioning(4)
    plain = run(kit, conditioning)
    management.unload_all_models()
    assert torch.equal(run(kit, conditioning), plain)


def check_weights_cast_at_use(kit):
    """Low memory: every layer casts its own weights, in the steps and in the encoders."""
    conditioning = kit.conditioning(4)
    plain = run(kit, conditioning)
    for module in kit.model.model.modules():
        if hasattr(module, "comfy_cast_weights"):
            module.comfy_cast_weights = True
    try:
        distance = relative(run(kit, conditioning), plain)
    finally:
        for module in kit.model.model.modules():
            if hasattr(module, "comfy_cast_weights"):
                module.comfy_cast_weights = False
    assert distance < 1e-6, distance


def check_low_memory_with_a_lora(kit):
    """Half of the weights stay outside and are cast and patched as they are used, as on a small GPU."""
    conditioning, kind = kit.conditioning(4), comfy.model_patcher.ModelPatcher
    model, _ = comfy.sd.load_lora_for_models(kit.model, None, lora_of(kit.model), 1.0, 0)
    wanted = run(kit, conditioning, model=model)
    management.unload_all_models()
    load, budget = kind.load, model.model_size() // 2

    def load_half(self, device_to=None, lowvram_model_memory=0, force_patch_weights=False, full_load=False):
        return load(self, device_to, budget, force_patch_weights, False)

    kind.load = load_half
    try:
        found = run(kit, conditioning, model=model)
        outside = [m for m in model.model.modules() if hasattr(m, "prev_comfy_cast_weights")]
        patched = sum(bool(getattr(m, "weight_function", ())) for m in outside)
    finally:
        kind.load = load
        management.unload_all_models()
    distance = relative(found, wanted)
    assert distance < 1e-5 and len(outside) > 50 and 0 < patched <= len(LORA_LAYERS), (distance, len(outside), patched)
    assert torch.equal(run(kit, conditioning, model=model), wanted)
    return {"distance": distance, "layers outside": len(outside), "of them with a LoRA": patched}


def check_cancel_and_run_again(kit):
    conditioning = kit.conditioning(4)
    for sample in (run, released):
        plain, seen = sample(kit, conditioning, steps=4), []

        def interrupt(executor, *rest, seen=seen, **named):
            seen.append(1)
            if len(seen) == 2:
                management.interrupt_current_processing()
            return executor(*rest, **named)

        model = kit.model
        kit.model = model.clone()
        kit.model.add_wrapper_with_key("diffusion_model", "interrupt", interrupt)
        try:
            sample(kit, conditioning, steps=4)
            raise AssertionError("was not cancelled")
        except management.InterruptProcessingException:
            pass
        finally:
            kit.model = model
            management.interrupt_current_processing(False)
        assert len(seen) <= 3 and not kit.model.model.encoded
        assert torch.equal(sample(kit, conditioning, steps=4), plain)


def check_previews_and_progress(kit):
    import comfy.utils

    shown = []
    comfy.utils.set_progress_bar_global_hook(lambda value, total, preview, **_: shown.append((value, total, preview)))
    try:
        released(kit, kit.conditioning(4), steps=5)
    finally:
        comfy.utils.set_progress_bar_global_hook(None)
    steps = [(value, total) for value, total, preview in shown if preview is not None]
    assert steps == [(i, 5) for i in range(1, 6)], steps
    assert shown[-1][2][1].size == (8, 12)


def check_attention_override_is_used(kit):
    seen = []

    def override(function, *args, **named):
        seen.append(1)
        return function(*args, **named)

    model = kit.model.clone()
    model.model_options["transformer_options"]["optimized_attention_override"] = override
    conditioning = kit.conditioning(4)
    assert torch.equal(run(kit, conditioning, model=model, steps=1), run(kit, conditioning, steps=1))
    assert seen
