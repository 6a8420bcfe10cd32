"""Conversion and loading at the released size: memory and time, as printed and as bounded."""

import json
import threading
import time
from pathlib import Path

import pytest
import torch

from animatex_core.config import RELEASED
from animatex_core.convert import convert
from animatex_core.weights import load_model
from tests.core.openclip_reference import OpenClip

pytestmark = pytest.mark.slow
MANIFEST = Path(__file__).parents[1] / "data" / "golden" / "unet_manifest.json"
STATUS = Path("/proc/self/status")
LARGEST = 1280 * 2560 * 9


def anonymous_memory():
    """Bytes of RssAnon: what the process holds itself, mapped files left out."""
    line = next(line for line in STATUS.read_text().splitlines() if line.startswith("RssAnon"))
    return int(line.split()[1]) * 1024


class Peak:
    """Samples anonymous memory in a thread while the block runs."""

    def __enter__(self):
        self.most, self.start, self.over = 0, time.perf_counter(), threading.Event()
        self.before = anonymous_memory()
        self.thread = threading.Thread(target=self._watch, daemon=True)
        self.thread.start()
        return self

    def _watch(self):
        while not self.over.wait(0.01):
            self.most = max(self.most, anonymous_memory())

    def __exit__(self, *_):
        self.over.set()
        self.thread.join()
        self.seconds = time.perf_counter() - self.start


def save(path, shapes, numbers, **beside):
    """A checkpoint of these shapes; every tensor maps the same file of numbers, so that writing it needs no memory."""
    state = {}
    for name, shape in shapes.items():
        flat = torch.from_file(str(numbers), shared=False, size=max(1, torch.Size(shape).numel()))
        state[name] = flat.view(shape)
    torch.save({"state_dict": state, **beside}, path)


@pytest.mark.skipif(not STATUS.exists(), reason="memory is sampled in /proc")
def test_memory_and_time_at_the_released_size(tmp_path):
    numbers = tmp_path / "numbers.bin"
    torch.randn(LARGEST * 2).mul_(0.02).numpy().tofile(numbers)
    model, text, out = tmp_path / "animate-x_ckpt.pth", tmp_path / "text.bin", tmp_path / "animate-x.safetensors"
    save(model, json.loads(MANIFEST.read_text()), numbers, step=1000)
    with torch.device("meta"):
        tower = OpenClip(text=1024, text_layers=24, vision_layers=1)
    save(text, {n: t.shape for n, t in tower.state_dict().items() if not n.startswith("visual.")}, numbers)
    try:
        with Peak() as converting:
            report = convert(model, out, text=text)
        assert report.loadable and report.config == RELEASED
        print(f"\nsource {model.stat().st_size / 1e9:.2f} GB, text tower {text.stat().st_size / 1e9:.2f} GB")
        print(f"converted to {out.stat().st_size / 1e9:.2f} GB in {converting.seconds:.0f} s, RssAnon at most "
              f"{converting.most / 1e9:.2f} GB ({converting.before / 1e9:.2f} before)")  # fmt: skip
        assert converting.most < 6e9
        with Peak() as loading:
            loaded = load_model(out, check_finite=False)
        with Peak() as scanning:
            load_model(out)
        print(f"loaded in {loading.seconds:.1f} s, with the scan in {scanning.seconds:.1f} s, RssAnon grew by "
              f"{(scanning.most - loading.before) / 1e6:.0f} MB")  # fmt: skip
        assert sum(p.numel() for p in loaded.parameters()) > 1.8e9
        assert loading.seconds < 10 and scanning.seconds < 20
        assert scanning.most - loading.before < 500e6
    finally:
        for path in (numbers, model, text, out):
            path.unlink(missing_ok=True)
