"""Workflows of ComfyUI's own nodes, in API format: no model is needed to run them."""

import json


def node(kind, title="", **inputs):
    """A node; a (id, slot) tuple is a link."""
    made = {name: list(value) if isinstance(value, tuple) else value for name, value in inputs.items()}
    return {"class_type": kind, "inputs": made, "_meta": {"title": title or kind}}


def save(path, **nodes):
    path.write_text(json.dumps(nodes))
    return path


def inverted(path):
    """Pose pictures in, their negatives out, as pictures."""
    return save(
        path, **{
            "1": node("LoadImage", "Pose pictures", image="x.png"),
            "2": node("ImageInvert", image=("1", 0)),
            "3": node("SaveImage", "output", images=("2", 0), filename_prefix="a2bench"),
        }
    )  # fmt: skip


def driver_through(path):
    """The driver in and out as pictures."""
    nodes = {"1": node("LoadImage", "driver", image="x.png")}
    return save(path, **nodes, **{"2": node("SaveImage", "output", images=("1", 0), filename_prefix="a2bench")})


def video_through(path):
    """The driver as a video in, and out as a video."""
    return save(
        path, **{
            "1": node("LoadVideo", "driver", file="x.mp4"),
            "2": node("GetVideoComponents", video=("1", 0)),
            "3": node("CreateVideo", images=("2", 0), fps=8.0),
            "4": node("SaveVideo", "output", video=("3", 0), filename_prefix="a2bench", format="mp4", codec="h264"),
        }
    )  # fmt: skip


def picture_of_noise(path):
    """A stand-in for text to image: noise of the seed; the prompt is taken and not used."""
    return save(
        path, **{
            "1": node("PrimitiveString", "prompt", value=""),
            "2": node("EmptyImage", width=64, height=96, batch_size=1, color=0x808080),
            "3": node("ImageAddNoise", "seed", image=("2", 0), seed=0, strength=0.5),
            "4": node("SaveImage", "output", images=("3", 0), filename_prefix="a2bench_picture"),
        }
    )  # fmt: skip


def clip_of_noise(path):
    """A stand-in for image to video: the picture five times under noise of the seed."""
    return save(
        path, **{
            "1": node("LoadImage", "reference", image="x.png"),
            "2": node("RepeatImageBatch", image=("1", 0), amount=5),
            "3": node("ImageAddNoise", "seed", image=("2", 0), seed=0, strength=0.1),
            "4": node("SaveImage", "output", images=("3", 0), filename_prefix="a2bench_clip"),
        }
    )  # fmt: skip
