"""A prepared data set of rendered clips, on networks of random weights."""

import json

from animatex_training.prepare import prepare
from animatex_training.prepare_settings import PrepareSettings
from animatex_training.sources import find_sources
from animatex_training.synthetic_clips import make_clips, write_clips

from animatex_core.contact_sheet import save_picture
from animatex_core.pose.io import load_openpose, save_openpose
from animatex_core.video import read_frames
from tests.core.small_job import small_job

SIZE = (64, 96)


def settings(networks, **changes):
    """Small: one size, short clips, decoded in this process."""
    values = {
        "sizes": (SIZE,), "shortest": 8, "longest": 32, "references": 4, "isolated": False,
        "clip": networks / "clip.safetensors", "vae": networks / "vae.safetensors",
    }  # fmt: skip
    return PrepareSettings(**{**values, **changes})


def write_networks(folder):
    """A small CLIP and VAE."""
    folder.mkdir(parents=True, exist_ok=True)
    small_job(folder)
    return folder


def write_videos(folder, count=3, frames=20, seed=3):
    """Rendered clips and their poses."""
    return write_clips(folder, make_clips(count, seed=seed, frames=frames, width=SIZE[0], height=SIZE[1]))


def write_pairs(folder, count=2, frames=20):
    """Rendered clips, each with a picture of its figure and another figure that drives, and a manifest; its path."""
    own, others = folder / "own", folder / "others"
    write_videos(own, count, frames, seed=3)
    write_videos(others, count, frames, seed=5)
    rows = []
    for clip in sorted(own.glob("*.json")):
        picture = own / f"{clip.stem}_image.png"
        video = next(path for path in own.glob(f"{clip.stem}.*") if path != clip)
        save_picture(picture, list(read_frames(video))[-1])
        save_openpose(own / f"{clip.stem}_image.json", load_openpose(clip).frames(slice(-1, None)))
        other = others / clip.name
        rows.append({
            "video": f"own/{video.name}", "poses": f"own/{clip.name}",
            "image": f"own/{picture.name}", "image_pose": f"own/{clip.stem}_image.json",
            "driver": f"others/{video.name}", "driver_poses": f"others/{other.name}",
        })  # fmt: skip
    manifest = folder / "manifest.jsonl"
    manifest.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return manifest


def prepared(root, count=3, frames=20, **changes):
    """A whole data set in `root`/data; returns its folder."""
    write_videos(root / "videos", count, frames)
    networks = write_networks(root / "networks")
    prepare(find_sources(root / "videos"), root / "data", settings(networks, **changes))
    return root / "data"
