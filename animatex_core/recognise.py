"""Names for the files that people mistake for a model of ours, and what each of them is good for here."""

from __future__ import annotations

import re
from dataclasses import dataclass

from .inventory import Shapes, families


@dataclass(frozen=True)
class Other:
    """A file that is not the network: a short name, words, and what to do with it."""

    kind: str
    title: str
    advice: str = ""


_TEXT = "holds the text tower: give it to convert as --text"
_VAE = "a VAE: give it as --vae"
_VISION = "a CLIP vision tower: give it as --clip"
_NO_USE = "not used by Animate-X"

# First fit wins: every pattern must be found at the start of some name.
_OTHERS: tuple[tuple[tuple[str, ...], Other], ...] = (
    ((r".*(lora_down|lora_up|lora_A|lora_B|hada_w1_a|lokr_w1)\b",), Other("lora", "a LoRA", "load it beside a model")),
    (
        (r"first_stage_model\.", r"model\.diffusion_model\.", r"cond_stage_model\.model\."),
        Other("sd-checkpoint", "a Stable Diffusion 2.x checkpoint", f"{_TEXT}, and a VAE: --vae"),
    ),
    (
        (r"first_stage_model\.", r"model\.diffusion_model\.", r"cond_stage_model\."),
        Other("sd-checkpoint", "a Stable Diffusion 1.x checkpoint", "its VAE can be used: --vae"),
    ),
    (
        (r"first_stage_model\.", r"model\.diffusion_model\."),
        Other("sd-checkpoint", "a checkpoint of the Stable Diffusion family", "only the VAE of 1.x or 2.x is used"),
    ),
    ((r"(first_stage_model\.|vae\.)?decoder\.mid\.block_1\.",), Other("sd-vae", "a VAE (original names)", _VAE)),
    ((r"decoder\.mid_block\.resnets\.0\.",), Other("sd-vae-diffusers", "a VAE (diffusers names)", _VAE)),
    ((r"taesd_(en|de)coder\.",), Other("taesd", "a tiny VAE (TAESD layout)", _VAE)),
    (
        (r"visual\.transformer\.resblocks\.", r"(transformer\.resblocks|token_embedding)\b"),
        Other("openclip", "OpenCLIP, vision and text", f"{_TEXT}; {_VISION}"),
    ),
    ((r"visual\.transformer\.resblocks\.",), Other("openclip-vision", "an OpenCLIP vision tower", _VISION)),
    (
        (r"(cond_stage_model\.model\.)?transformer\.resblocks\.", r"(cond_stage_model\.model\.)?token_embedding\."),
        Other("openclip-text", "an OpenCLIP text tower", _TEXT),
    ),
    (
        (r"vision_model\.encoder\.layers\.", r"text_model\.encoder\.layers\."),
        Other("clip", "CLIP, vision and text (transformers names)", f"{_TEXT}; {_VISION}"),
    ),
    ((r"vision_model\.encoder\.layers\.",), Other("clip-vision", "a CLIP vision tower (transformers names)", _VISION)),
    ((r"(text_model\.)?encoder\.layers\.0\.self_attn\.", r"(text_model\.)?embeddings\.token_embedding\."),
     Other("clip-text", "a CLIP text encoder (transformers names)", f"if it is that of SD 2.x, it {_TEXT}")),
    ((r".*temopral_conv\.",), Other("lineage", "a video UNet of the same lineage without pose encoders", _NO_USE)),
    ((r".*motion_modules\.",), Other("animatediff", "an AnimateDiff motion module", _NO_USE)),
    ((r".*(input_hint_block|controlnet_cond_embedding|zero_convs)\b",), Other("controlnet", "a ControlNet", _NO_USE)),
    ((r"image_proj\b", r"ip_adapter\b"), Other("ip-adapter", "an IP-Adapter", _NO_USE)),
    ((r"(model\.diffusion_model\.)?input_blocks\.0\.0\.",), Other("unet", "an image UNet (Stable Diffusion)", _NO_USE)),
    ((r"down_blocks\.0\.", r"conv_in\."), Other("unet", "an image UNet (diffusers names)", _NO_USE)),
    ((r".*encoder\.block\.0\.layer\.0\.SelfAttention",), Other("t5", "a T5 text encoder", _NO_USE)),
    ((r".*\bblocks\.0\.(self_attn|cross_attn)\.",), Other("wan", "a video transformer (Wan)", _NO_USE)),
    ((r".*\bdouble_blocks\.0\.",), Other("flux", "an image transformer (Flux)", _NO_USE)),
)  # fmt: skip


def recognise(shapes: Shapes) -> Other:
    """What a file without the network is, by its names."""
    for patterns, other in _OTHERS:
        if all(any(re.match(pattern, name) for name in shapes) for pattern in patterns):
            return _detail(other, shapes)
    names = families(shapes)
    return Other("unknown", f"something else, with tensors such as {names[:300]}")


def _detail(other: Other, shapes: Shapes) -> Other:
    """Add what the shapes tell, where two models share their names."""
    if other.kind in ("sd-vae", "sd-vae-diffusers"):
        channels = next((s[1] for n, s in shapes.items() if n.endswith("decoder.conv_in.weight") and len(s) > 1), 4)
        if channels != 4:
            return Other("vae", f"a VAE with {channels} latent channels", "Animate-X needs that of SD 1.x or 2.x (4)")
    if other.kind == "clip-text":
        width = next((s[-1] for n, s in shapes.items() if n.endswith("token_embedding.weight") and s), 1024)
        if width != 1024:
            return Other("clip-text", f"a CLIP text encoder {width} wide", "Animate-X needs the one of SD 2.x (1024)")
    return other
