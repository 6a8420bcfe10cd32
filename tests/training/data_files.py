"""A prepared data set of rendered clips, on networks of random weights."""

from animatex_training.prepare import prepare
from animatex_training.prepare_settings import PrepareSettings
from animatex_training.sources import find_sources
from animatex_training.synthetic_clips import make_clips, write_clips

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


def prepared(root, count=3, frames=20, **changes):
    """A whole data set in `root`/data; returns its folder."""
    write_videos(root / "videos", count, frames)
    networks = write_networks(root / "networks")
    prepare(find_sources(root / "videos"), root / "data", settings(networks, **changes))
    return root / "data"
