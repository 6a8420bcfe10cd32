"""Loading the model, and converting the released files into the one that is loaded."""

from __future__ import annotations

import os

import folder_paths
from comfy_api.latest import io
from comfy_execution.graph_utils import ExecutionBlocker

from ..animatex_core.convert import DTYPES, convert
from ..animatex_core.identify import OURS, identify
from . import comfy_loading, folders
from .progress import bytes_progress
from .schema import schema

NO_CLIP = (
    "This model file holds no CLIP vision: use ComfyUI's Load CLIP Vision with clip_vision_h.safetensors (CLIP ViT-H) "
    "instead of this output"
)
NO_VAE = (
    "This model file holds no VAE: use ComfyUI's Load VAE with an SD 1.x VAE (vae-ft-mse-840000-ema-pruned) "
    "instead of this output"
)
NONE = "none"


class LoadModel(io.ComfyNode):
    """Load Animate-X Model."""

    @classmethod
    def define_schema(cls) -> io.Schema:
        """The node as people see it."""
        names = folders.model_files()
        return schema(
            node_id="AnimateX_LoadModel",
            display_name="Load Animate-X Model",
            description=(
                "Loads a converted Animate-X model from models/diffusion_models or models/animatex, or the mini model "
                "that comes along. The MODEL works with KSampler, LoRAs, context windows, caches and Save Model like "
                "any other."
            ),
            search_aliases=[
                "animate-x loader",
                "animatex",
                "unianimate",
                "character animation model",
                "load pose model",
            ],
            inputs=[
                io.Combo.Input(
                    "model_name",
                    options=names,
                    default=names[0],
                    tooltip=(
                        "A .safetensors file made by Convert Animate-X Weights, or saved with Save Model. Released "
                        "files (.pth) are listed too; they need that conversion once. [animate-x]: the mini model of "
                        "this pack, for 128x192."
                    ),
                ),
                io.Combo.Input(
                    "weight_dtype",
                    options=list(comfy_loading.WEIGHT_DTYPES),
                    default="default",
                    tooltip=(
                        "How weights are held. 'default' is what ComfyUI picks for your device; fp8 halves memory and "
                        "costs some quality; fp32 is for comparisons."
                    ),
                ),
            ],
            outputs=[
                io.Model.Output(
                    display_name="model", tooltip="The network with its pose, reference and motion encoders."
                ),
                io.ClipVision.Output(
                    display_name="clip_vision", tooltip="When the file holds one; else Load CLIP Vision."
                ),
                io.Vae.Output(display_name="vae", tooltip="When the file holds one; else use Load VAE."),
            ],
        )

    @classmethod
    def validate_inputs(cls, model_name: str | None) -> bool | str:
        """Before anything runs; ComfyUI alone would say that the value is not in its list. None: it comes by a link."""
        if model_name is None or model_name in folders.model_files():
            return True
        return (
            f"there is no {model_name} in models/diffusion_models or models/animatex. Convert Animate-X Weights makes "
            "it from the released files; press R to refresh"
        )

    @classmethod
    def fingerprint_inputs(cls, model_name: str, **_: object) -> str:
        """A changed file is loaded again."""
        try:
            status = os.stat(folders.model_path(model_name))
        except (OSError, ValueError):
            return model_name
        return f"{model_name} {status.st_mtime_ns} {status.st_size}"

    @classmethod
    def execute(cls, model_name: str, weight_dtype: str) -> io.NodeOutput:
        """Load the file's parts; one that it lacks says what to use instead when something needs it."""
        if model_name == folders.NOTHING:
            raise ValueError(
                "No model file was found in models/diffusion_models or models/animatex. Put the released Animate-X "
                "checkpoint there and connect Convert Animate-X Weights once; then press R to refresh"
            )
        path = folders.model_path(model_name)
        if not path.lower().endswith(folders.SAFE):
            raise ValueError(
                f"{model_name} is not converted yet: pick it in Convert Animate-X Weights, run that once, press R to "
                "refresh, and choose the new .safetensors file here"
            )
        clip_vision, vae = comfy_loading.load_clip_vision(path), comfy_loading.load_vae(path)
        return io.NodeOutput(
            comfy_loading.load_patcher(path, weight_dtype),
            ExecutionBlocker(NO_CLIP) if clip_vision is None else clip_vision,
            ExecutionBlocker(NO_VAE) if vae is None else vae,
        )


class ConvertWeights(io.ComfyNode):
    """Convert Animate-X Weights."""

    @classmethod
    def define_schema(cls) -> io.Schema:
        """The node as people see it."""
        names = _sources(folders.MODEL_KINDS) or [folders.NOTHING]
        texts = [NONE, *_sources((*folders.MODEL_KINDS, "text_encoders", "checkpoints", "clip_vision"))]
        clips = [NONE, *_sources((*folders.MODEL_KINDS, "clip_vision"))]
        vaes = [NONE, *_sources((*folders.MODEL_KINDS, "vae", "checkpoints"))]
        return schema(
            node_id="AnimateX_ConvertWeights",
            display_name="Convert Animate-X Weights (once)",
            description=(
                "Turns the released checkpoint into one .safetensors file in models/diffusion_models. Needed once. "
                "Nothing in the files is executed, and nothing is downloaded."
            ),
            search_aliases=["convert checkpoint", "pth to safetensors", "animate-x convert", "pickle"],
            is_output_node=True,
            inputs=[
                io.Combo.Input(
                    "checkpoint",
                    options=names,
                    default=names[0],
                    tooltip="animate-x_ckpt.pth (or a UniAnimate checkpoint) in models/animatex.",
                ),
                io.Combo.Input(
                    "text_encoder",
                    options=texts,
                    default=NONE,
                    tooltip=(
                        "The file with the text tower of CLIP ViT-H, from which the context of the empty prompt is "
                        "computed: open_clip_pytorch_model.bin or v2-1_512-ema-pruned.ckpt. 'none' searches the others."
                    ),
                ),
                io.Combo.Input(
                    "clip_vision",
                    options=clips,
                    default=NONE,
                    tooltip="Put this CLIP vision (ViT-H) into the new file, so that one file is enough.",
                ),
                io.Combo.Input(
                    "vae", options=vaes, default=NONE, tooltip="Put this SD 1.x or 2.x VAE into the new file as well."
                ),
                io.Combo.Input(
                    "dtype",
                    options=list(DTYPES),
                    default="fp16",
                    tooltip="fp16 is what most cards run (3.6 GB); bf16 where it is preferred; fp32 to compare.",
                ),
                io.String.Input(
                    "filename",
                    default="animate-x",
                    tooltip="Name of the new file in models/diffusion_models; an earlier conversion is replaced.",
                ),
            ],
            outputs=[io.String.Output(display_name="report", tooltip="What was written, and its checksums' sources.")],
        )

    @classmethod
    def validate_inputs(
        cls, checkpoint: str | None, text_encoder: str | None, clip_vision: str | None, vae: str | None
    ) -> bool | str:
        """Before anything runs: files that are not there, and where they belong. None comes by a link."""
        try:
            if checkpoint is not None:
                _checkpoint(checkpoint)
            for name in filter(None, (text_encoder, clip_vision, vae)):
                _source(name)
        except ValueError as error:
            return str(error)
        return True

    @classmethod
    def execute(
        cls, checkpoint: str, text_encoder: str, clip_vision: str, vae: str, dtype: str, filename: str
    ) -> io.NodeOutput:
        """Convert, with progress; the new file appears when it is whole."""
        report = convert(
            _checkpoint(checkpoint),
            _target(filename),
            text=_source(text_encoder),
            vae=_source(vae),
            clip=_source(clip_vision),
            dtype=dtype,
            progress=bytes_progress(),
        )
        text = "\n".join(report.lines())
        return io.NodeOutput(text, ui={"text": (text,)})


def _checkpoint(name: str) -> str:
    """The path of the file to convert. Raises ValueError when there is none."""
    if name == folders.NOTHING:
        raise ValueError(
            "No checkpoint was found: put animate-x_ckpt.pth into models/animatex and press R to refresh the list"
        )
    return folders.path_of(name, folders.MODEL_KINDS)


def _source(name: str) -> str | None:
    """The path of another file that goes into the new one, or None. Raises ValueError when it is not there."""
    kinds = (*folders.MODEL_KINDS, "text_encoders", "clip_vision", "vae", "checkpoints")
    return None if name == NONE else folders.path_of(name, kinds)


def _sources(kinds: tuple[str, ...]) -> list[str]:
    return folders.files_of(kinds, folders.SAFE + folders.UNCONVERTED)


def _target(filename: str) -> str:
    """The new file in models/diffusion_models. Raises ValueError for a name that leads elsewhere."""
    places = folder_paths.get_folder_paths("diffusion_models")
    # The first one is models/unet, the folder's old name, in every ComfyUI that nobody has configured.
    folder = os.path.abspath(next((place for place in places if os.path.basename(place) != "unet"), places[0]))
    name = filename.strip().removesuffix(".safetensors")
    path = os.path.abspath(os.path.join(folder, f"{name}.safetensors"))
    if not name or "\0" in name or not _inside(path, folder):
        raise ValueError(f"filename: expected a plain name for a file in models/diffusion_models, got {filename!r}")
    _check_replaced(path)
    os.makedirs(os.path.dirname(path), exist_ok=True)
    return path


def _inside(path: str, folder: str) -> bool:
    try:
        return os.path.commonpath([folder, path]) == folder
    except ValueError:  # on another drive
        return False


def _check_replaced(path: str) -> None:
    """Only an earlier conversion may be replaced. Raises ValueError naming what else has the name."""
    if not os.path.exists(path):
        return
    try:
        ours = identify(path, pickles=False).kind in OURS
    except ValueError:
        ours = False
    if not ours:
        raise ValueError(f"filename: {path} is there and is no Animate-X model: give the new file another name")


NODES = [LoadModel, ConvertWeights]
