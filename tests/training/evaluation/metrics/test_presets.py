"""The two presets: what they yield, what they refuse, and that they are never mixed."""

import gc
import json
import weakref
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
from animatex_training.evaluation.frames import write_clip
from animatex_training.evaluation.metrics.backbones import DEFAULT_PROXY, Backbones
from animatex_training.evaluation.metrics.presets import _FEATURES, PRESETS, ClipMeter
from animatex_training.evaluation.metrics.table import METRICS, PROXY, metrics_of
from safetensors.torch import save_file

from tests.core.openclip_reference import OpenClip, names

RANDOM = np.random.default_rng(0)


def clip(frames=3, height=40, width=48):
    return [RANDOM.integers(0, 256, (height, width, 3), dtype=np.uint8) for _ in range(frames)]


def noisy(frames, amount=20):
    return [np.clip(f + RANDOM.integers(-amount, amount + 1, f.shape), 0, 255).astype(np.uint8) for f in frames]


def test_every_metric_is_in_the_table_once_and_of_one_preset():
    assert {m.preset for m in METRICS.values()} == set(PRESETS)
    by_preset = [{m.name for m in metrics_of(preset)} for preset in PRESETS]
    assert not by_preset[0] & by_preset[1] and by_preset[0] | by_preset[1] == set(METRICS)
    assert {m.name for m in METRICS.values() if m.of == "set"} == set(_FEATURES)
    assert all("disco" in name or name == "psnr_overflow" for name in by_preset[0])
    assert not any("disco" in name for name in by_preset[1])
    assert all(m.definition and m.source and m.display and m.better in ("higher", "lower") for m in METRICS.values())
    assert len({(m.preset, m.display) for m in METRICS.values()}) == len(METRICS)


@pytest.mark.parametrize("preset", PRESETS)
def test_a_preset_yields_its_own_names_alone(weights, preset):
    meter = ClipMeter(preset, Backbones(lpips=weights["lpips"]))
    truth = clip()
    values = meter.measure_clip(noisy(truth), truth, reference=truth[0], seams=(1,))
    assert values and set(values) <= {m.name for m in metrics_of(preset, "clip")}
    assert not set(meter.absent()) & set(values)
    for name, value in values.items():
        assert value.n >= 1 and np.isfinite(value.value), name
        json.dumps(dict(value.settings), allow_nan=False)
        if value.per_frame is not None and "first_frame" not in value.settings:
            assert len(value.per_frame) == value.n and value.value == pytest.approx(np.mean(value.per_frame))
    lpips = values["lpips_alex" if preset == "clean" else "lpips_vgg_disco"].settings
    assert len(lpips["sha256"]) == 64 and lpips["range"] == ("-1..1" if preset == "clean" else "0..1")


def test_what_is_absent_is_said_with_its_reason():
    reasons = ClipMeter("clean", Backbones(proxy=None)).absent(["truth"])
    assert reasons["lpips_alex"] == "no file of weights for lpips"
    assert reasons["fvd"] == "no file of weights for i3d"
    assert reasons["silhouette_iou"] == "no mask given"
    assert "psnr" not in reasons and f"fid_proxy_{PROXY}" in reasons
    assert ClipMeter("clean").absent([])["psnr"] == "nobody knows the truth of this clip"


def test_without_a_truth_only_what_needs_none_is_measured():
    frames = clip()
    values = ClipMeter("clean").measure_clip(frames, reference=frames[0])
    assert set(values) == {f"identity_proxy_{PROXY}", "largest_jump"}
    assert values[f"identity_proxy_{PROXY}"].per_frame[0] == pytest.approx(1, abs=1e-5)


@pytest.mark.parametrize("preset", PRESETS)
def test_identical_clips(weights, preset):
    frames = clip()
    values = ClipMeter(preset, Backbones(lpips=weights["lpips"])).measure_clip(frames, [f.copy() for f in frames])
    best = {"psnr": 100, "psnr_disco": 100, "mae": 0, "l1_disco": 0, "ssim": 1, "ssim_disco": 1}
    best |= {"lpips_alex": 0, "lpips_vgg": 0, "lpips_vgg_disco": 0}
    checked = {name: values[name].value for name in set(best) & set(values)}
    assert checked == pytest.approx({name: best[name] for name in checked}) and len(checked) >= 4


@pytest.mark.parametrize("preset", PRESETS)
def test_one_black_frame(weights, preset):
    black, white = [np.zeros((40, 48, 3), np.uint8)], [np.full((40, 48, 3), 255, np.uint8)]
    meter = ClipMeter(preset, Backbones(lpips=weights["lpips"]))
    for truth in (black, white):
        values = meter.measure_clip(black, truth, reference=black[0])
        assert all(v.n == 1 and np.isfinite(v.value) for v in values.values())
        assert set(values) >= ({"psnr", "ssim", "mae"} if preset == "clean" else {"psnr_disco", "ssim_disco"})


def test_lengths_and_sizes_must_agree(tmp_path):
    write_clip(tmp_path / "made", clip(3))
    write_clip(tmp_path / "truth", clip(4))
    write_clip(tmp_path / "larger", clip(3, 80, 96))
    for preset in PRESETS:
        with pytest.raises(ValueError, match=r"made has 3 frames and .*truth has 4"):
            ClipMeter(preset).measure_clip(tmp_path / "made", tmp_path / "truth")
    with pytest.raises(ValueError, match=r"made is 48x40, .*larger 96x80: clips of one size"):
        ClipMeter("clean").measure_clip(tmp_path / "made", tmp_path / "larger")
    # DisCo resizes the result to the truth
    values = ClipMeter("disco").measure_clip(tmp_path / "made", tmp_path / "larger")
    assert values["l1_disco"].settings["height"] == 80 and values["l1_disco"].settings["resized_from"] == [48, 40]


def test_names_of_the_other_preset_and_unknown_ones_are_refused():
    with pytest.raises(ValueError, match="'psnr' belongs to clean; disco has psnr_disco"):
        ClipMeter("disco", only=["psnr"])
    with pytest.raises(ValueError, match="'fid2' is not known"):
        ClipMeter("clean", only=["fid2"])
    with pytest.raises(ValueError, match="expected one of disco, clean"):
        ClipMeter("both")


def test_the_old_psnr_is_measured_only_when_asked_for():
    frames = clip()
    assert "psnr_overflow" not in ClipMeter("disco").measure_clip(frames, frames)
    assert set(ClipMeter("disco", only=["psnr_overflow"]).measure_clip(noisy(frames), frames)) == {"psnr_overflow"}


class Counted(Sequence):
    """A clip that makes its frames when they are read, and counts how many are alive."""

    def __init__(self, frames):
        self.frames, self.alive, self.most = frames, weakref.WeakSet(), 0

    def __len__(self):
        return self.frames

    def __getitem__(self, index):
        if index >= self.frames:
            raise IndexError
        frame = Frame(np.full((40, 48, 3), index % 256, np.uint8))
        self.alive.add(frame)
        self.most = max(self.most, len(self.alive))
        return frame


class Frame(np.ndarray):
    """An array that can be counted."""

    def __new__(cls, array):
        return array.view(cls)

    def __hash__(self):
        return id(self)


def test_memory_does_not_grow_with_the_length(weights):
    most = []
    for frames in (20, 60):
        made, truth = Counted(frames), Counted(frames)
        ClipMeter(
            "clean", Backbones(lpips=weights["lpips"]), only=["psnr", "drift", "largest_jump", "lpips_alex"]
        ).measure_clip(made, truth)
        gc.collect()
        most.append(made.most + truth.most)
    assert most[0] == most[1] < 12


def test_distances_between_sets_name_their_proxy_and_print_n():
    meter = ClipMeter("clean")
    truth = [clip(4) for _ in range(2)]
    features = [meter.clip_features(frames) for frames in truth]
    same = meter.measure_sets(features, features)
    assert set(same) == {f"{kind}_proxy_{PROXY}" for kind in ("fid", "kid", "fvd", "kvd")}
    made = meter.measure_sets([meter.clip_features(noisy(f, 60)) for f in truth], iter(features))
    fid, fvd = made[f"fid_proxy_{PROXY}"], made[f"fvd_proxy_{PROXY}"]
    assert (fid.n, fid.settings["n_truth"], fvd.n) == (8, 8, 2)
    assert fid.settings["rank_deficient"] and len(fid.settings["sha256"]) == 64
    assert all(made[name].value > same[name].value for name in made)
    assert same[f"fid_proxy_{PROXY}"].value == pytest.approx(0, abs=1e-4)


def test_too_few_vectors_are_said(caplog):
    meter = ClipMeter("clean", only=[f"fid_proxy_{PROXY}"])
    one = meter.clip_features(clip(1))
    assert meter.measure_sets([one], [one]) == {}
    assert "needs two vectors of each set, there are 1 and 1" in caplog.text
    with pytest.raises(ValueError, match="clip 0: no features 'proxy_frames' in it, only none"):
        meter.measure_sets([{}], [one])


@pytest.mark.slow
@pytest.mark.parametrize("preset", PRESETS)
def test_distances_of_the_genuine_layouts(weights, preset):
    backbones = Backbones(**{name: weights[name] for name in ("inception", "resnet3d", "i3d")}, proxy=None)
    meter = ClipMeter(preset, backbones)
    features = [meter.clip_features(clip(18)) for _ in range(2)]
    shapes = {name: vectors.shape for name, vectors in features[0].items()}
    whole = {"inception": (18, 2048), "resnet3d_whole": (1, 2048), "i3d_whole": (1, 400)}
    windows = {"resnet3d_windows16": (3, 2048), "i3d_windows16": (3, 400)} if preset == "disco" else {}
    assert shapes == whole | windows
    # the root that DisCo takes needs minutes for 2048 numbers: there the 400 of I3D stand for all
    names = [m.name for m in metrics_of(preset, "set") if PROXY not in m.name]
    only = [n for n in names if preset == "clean" or n.startswith("fvd")]
    values = ClipMeter(preset, backbones, only=only).measure_sets(features, features[::-1])
    assert set(values) == set(only)
    assert all(abs(v.value) < 1e-2 for n, v in values.items() if not n.startswith("k"))


def test_identity_of_clip_needs_clip(tmp_path):
    state = {n: t.contiguous() for n, t in names(OpenClip(vision=128, size=56)).items() if n.startswith("visual.")}
    save_file(state, tmp_path / "clip.safetensors")
    frames = clip(9)
    meter = ClipMeter("clean", Backbones(clip=tmp_path / "clip.safetensors", proxy=None))
    values = meter.measure_clip(frames, reference=frames[0])
    identity = values["clip_identity"]
    tower = meter.backbones.clip()
    encoded = tower.encode(frames).double()
    cosines = (encoded @ encoded[0]) / (encoded.norm(dim=1) * encoded[0].norm())
    assert identity.per_frame == pytest.approx(cosines.tolist(), abs=1e-6)
    assert identity.settings["weights"] == "clip.safetensors"
    assert values["clip_identity_drift"].value == pytest.approx(
        float(cosines[:2].mean() - cosines[-2:].mean()), abs=1e-6
    )
    with pytest.raises(ValueError, match="not CLIP"):
        ClipMeter("clean", Backbones(clip=DEFAULT_PROXY)).measure_clip(frames, reference=frames[0])


def test_the_page_tells_every_metric():
    page = (Path(__file__).parents[4] / "docs" / "metrics.md").read_text()
    for metric in METRICS.values():
        row = next((line for line in page.splitlines() if line.startswith(f"| `{metric.name}` |")), "")
        cells = [cell.strip() for cell in row.split("|")]
        assert metric.better in cells and metric.definition in cells and metric.source in cells, metric.name
