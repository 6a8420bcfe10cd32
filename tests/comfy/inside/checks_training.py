"""What training exports, in the host."""

import comfy.lora
import comfy.sd
import comfy.utils
from checks_conds import run
from kit import relative

LORA, MERGED = "trained_lora.safetensors", "trained_merged.safetensors"


def check_trained_lora(kit):
    """ComfyUI's own loader takes every tensor of the file, and the result is the network with the LoRA worked in."""
    state = comfy.utils.load_torch_file(str(kit.base / "models/loras" / LORA))
    layers = {name.rpartition(".lora_")[0] for name in state if ".lora_" in name}
    keys = comfy.lora.model_lora_keys_unet(kit.model.model, {})
    loaded = comfy.lora.load_lora(dict(state), keys, log_missing=False)
    assert len(loaded) == len(layers) > 50, (len(loaded), len(layers))
    model, _ = comfy.sd.load_lora_for_models(kit.model, None, state, 1.0, 0)
    merged = kit.call("LoadModel", model_name=MERGED, weight_dtype="default")[0]
    conditioning = kit.conditioning(4)
    plain, adapted = run(kit, conditioning), run(kit, conditioning, model=model)
    figures = {
        "layers": len(layers),
        "change": relative(adapted, plain),
        "distance to merged": relative(adapted, run(kit, conditioning, model=merged)),
    }
    assert figures["change"] > 1e-3 and figures["distance to merged"] < 1e-4, figures
    return figures
