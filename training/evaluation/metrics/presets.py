"""The two presets: `disco`, exactly what the lineage of the paper computes, and `clean`, the corrected definitions.

A meter of one preset yields names of that preset alone. What could not be measured, and why, is in `absent`.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np

from animatex_core.pose.keypoints import PoseSequence
from animatex_core.tensor_files import WeightsError

from ..frames import Clip, clip_name, read_clip, read_pairs
from ..records import Value
from . import pixels
from .backbones import NAMES as FILES
from .backbones import Backbones
from .boxed import Boxed
from .colours import Colours
from .distances import FeatureSet, frechet_distance, frechet_distance_disco, kernel_distance
from .features import Collector, collector
from .gauges import FrameMean, Gauge
from .identity import Identity
from .joints import joint_values
from .opencv_resize import resize_linear
from .pose_error import pose_values
from .silhouette import Segment, Silhouette
from .table import METRICS, PROXY, Metric, metrics_of
from .temporal import Drift, Steps

log = logging.getLogger(__name__)

PRESETS = ("disco", "clean")

Extract = Callable[[Iterable[np.ndarray]], PoseSequence]
"""Finds the poses in frames uint8 RGB."""

_PIXELS: dict[str, Callable[[np.ndarray, np.ndarray], float]] = {
    "psnr_disco": pixels.psnr_disco,
    "psnr_overflow": pixels.psnr_overflow,
    "l1_disco": pixels.l1_disco,
    "ssim_disco": pixels.ssim_disco,
    "psnr": pixels.psnr,
    "mae": pixels.mae,
    "ssim": pixels.ssim,
}
_BOX = "_box"
_OPTIONAL = ("psnr_overflow",)
"""Measured only when asked for by name."""

# Of every distance between sets: the features that it compares
_FEATURES = {
    "fid_disco": "inception",
    "fid_vid_disco_windows16": "resnet3d_windows16",
    "fvd_disco_windows16": "i3d_windows16",
    "fid_vid_disco_whole": "resnet3d_whole",
    "fvd_disco_whole": "i3d_whole",
    "fid": "inception",
    "kid": "inception",
    "fid_vid": "resnet3d_whole",
    "kid_vid": "resnet3d_whole",
    "fvd": "i3d_whole",
    "kvd": "i3d_whole",
    f"fid_proxy_{PROXY}": "proxy_frames",
    f"kid_proxy_{PROXY}": "proxy_frames",
    f"fvd_proxy_{PROXY}": "proxy_segments",
    f"kvd_proxy_{PROXY}": "proxy_segments",
}


class ClipMeter:
    """Measures clips and sets of clips by the definitions of one preset.

    preset: `disco` or `clean`. only: names of METRICS to measure, None for all of the preset but `psnr_overflow`.
    extract: finds the poses in a result, for the pose metrics. segment: finds its foreground, for those of silhouettes.
    Raises ValueError for a preset or a name that is not known, or a name of the other preset.
    """

    def __init__(
        self,
        preset: str,
        backbones: Backbones | None = None,
        *,
        only: Collection[str] | None = None,
        extract: Extract | None = None,
        segment: Segment | None = None,
    ) -> None:
        if preset not in PRESETS:
            raise ValueError(f"preset {preset!r}: expected one of {', '.join(PRESETS)}")
        own = {metric.name: metric for metric in metrics_of(preset)}
        for name in only or ():
            if name not in own:
                found = f"belongs to {METRICS[name].preset}" if name in METRICS else "is not known"
                raise ValueError(f"metric {name!r} {found}; {preset} has {', '.join(own)}")
        self.preset = preset
        self.backbones = Backbones() if backbones is None else backbones
        self.extract, self.segment = extract, segment
        wanted = set(own) - set(_OPTIONAL) if only is None else set(only)
        self.metrics: dict[str, Metric] = {name: metric for name, metric in own.items() if name in wanted}

    def absent(self, inputs: Collection[str] = ("truth", "reference", "poses", "mask", "seams")) -> dict[str, str]:
        """The metrics wanted that cannot be measured, and why.

        inputs: what every case has, of truth, reference, poses, mask and seams.
        """
        reasons = {name: self._lacks(metric, inputs) for name, metric in self.metrics.items()}
        return {name: reason for name, reason in reasons.items() if reason}

    def measure_clip(
        self,
        made: Clip,
        truth: Clip | None = None,
        *,
        poses: PoseSequence | None = None,
        mask: Clip | None = None,
        reference: np.ndarray | None = None,
        seams: Sequence[int] = (),
        left_out: Callable[[str], object] | None = None,
    ) -> dict[str, Value]:
        """The metrics of one clip, read frame by frame.

        truth: what a perfect method would give; without it only metrics that need none. poses: what drove. mask: true
        silhouettes. reference: the character, uint8 RGB [H, W, 3]. seams: frames at which windows of the result begin.
        left_out: told why when a background is not plain; the clip then lacks the three metrics that find the
        foreground by it. Raises ValueError naming both clips when their lengths differ or, in `clean`, their sizes,
        and for such a background without `left_out`.
        """
        given = (("truth", truth), ("reference", reference), ("poses", poses), ("mask", mask), ("seams", seams or None))
        inputs = {name for name, value in given if value is not None}
        able = [m for m in self.metrics.values() if m.of == "clip" and not self._lacks(m, inputs)]
        gauges = list(self._gauges({m.name for m in able}, mask, reference, seams, left_out))
        for frame, other in self._pairs(made, truth):
            for gauge in gauges:
                gauge.add(frame, other)
        values = {name: value for gauge in gauges for name, value in gauge.values().items()}
        if truth is not None and self.preset == "disco":
            values = _said_resized(values, made, truth)
        if poses is not None and self.extract is not None and any(m.name.startswith("pose_") for m in able):
            values |= pose_values(self.extract(read_clip(made)), poses)
        if poses is not None and any(m.name.startswith("joint_") for m in able):
            values |= joint_values(self.backbones.joints(), read_clip(made), poses, self.backbones.facts("joints"))
        return {m.name: values[m.name] for m in able if m.name in values}

    def clip_features(self, frames: Clip, *, known: Collection[str] = ()) -> dict[str, np.ndarray]:
        """Feature vectors of a clip for the distances between sets: name of the features -> [n, width] float32.

        known: names that are left out, for the other preset has them. n is frames, windows or 1 as the features say; a
        clip shorter than a window has none of `windows16`.
        """
        collectors = self._collectors(known)
        for frame in read_clip(frames) if collectors else ():
            for one in collectors:
                one.add(frame)
        return {name: vectors for one in collectors for name, vectors in one.vectors().items()}

    def measure_sets(
        self, made: Iterable[Mapping[str, np.ndarray]], truth: Iterable[Mapping[str, np.ndarray]]
    ) -> dict[str, Value]:
        """Distances between the features of a method's clips and of the true ones, each as `clip_features` gave them.

        Clips are taken one at a time, so that memory does not grow with their number. n is the number of vectors of
        the result; a distance with fewer than two on a side is absent, and logged.
        """
        wanted = [m for m in self.metrics.values() if m.of == "set" and not self._lacks(m, ())]
        names = {_FEATURES[m.name] for m in wanted}
        sides = _sets(made, names), _sets(truth, names)
        values = {}
        for metric in wanted:
            ours, theirs = (side[_FEATURES[metric.name]] for side in sides)
            if min(ours.n, theirs.n) < 2:
                log.warning("%s needs two vectors of each set, there are %d and %d", metric.name, ours.n, theirs.n)
                continue
            values[metric.name] = self._distance(metric, ours, theirs)
        return values

    def _distance(self, metric: Metric, made: FeatureSet, truth: FeatureSet) -> Value:
        kernel = metric.name.startswith(("kid", "kvd"))
        distance = kernel_distance if kernel else frechet_distance
        if self.preset == "disco":
            distance = frechet_distance_disco
        width = len(made.mean)
        settings = {
            "features": _FEATURES[metric.name],
            "width": width,
            "n_truth": truth.n,
            "distance": distance.__name__,
            "rank_deficient": min(made.n, truth.n) <= width and not kernel,
            **self.backbones.facts(metric.needs[0]),
        }
        return Value(distance(made, truth), made.n, None, settings)

    def _lacks(self, metric: Metric, inputs: Collection[str]) -> str:
        files = [need for need in metric.needs if need in FILES]
        for need in files:
            if not self.backbones.has(need):
                return f"no file of weights for {need}"
        net = "alex" if "alex" in metric.name else "vgg"
        if "lpips" in files and net not in self.backbones.lpips_networks():
            return f"{self.backbones.paths['lpips']} holds no LPIPS {net}"
        if metric.of == "set":
            return ""
        if metric.needs_truth and "truth" not in inputs:
            return "nobody knows the truth of this clip"
        missing = [need for need in metric.needs if need not in files and need not in inputs]
        if missing:
            return f"no {missing[0]} given"
        seen = "poses" in metric.needs and "joints" not in metric.needs
        return "no extractor of poses given" if seen and self.extract is None else ""

    def _gauges(
        self,
        names: set[str],
        mask: Clip | None,
        reference: np.ndarray | None,
        seams: Sequence[int],
        left_out: Callable[[str], object] | None,
    ) -> Iterator[Gauge]:
        for name in names & set(_PIXELS):
            yield FrameMean(name, _PIXELS[name], {"range": 1 if name == "mae" else 255})
        for name in names:
            if name.startswith("lpips_") and not name.endswith(_BOX):
                yield self._lpips(name)
        for kind, pair in IDENTITY.items():
            if reference is not None and names & set(pair):
                tower = self.backbones.clip() if kind == "clip" else self.backbones.proxy()
                yield Identity(pair, tower, reference, self.backbones.facts(kind))
        if names & {"seam", "largest_jump"}:
            yield Steps(seams)
        if "drift" in names:
            yield Drift()
        if mask is not None and names & {"silhouette_iou", "extra_limb_rate", "missing_part_rate"}:
            yield Silhouette(_masks(mask), self.segment, left_out)
        if mask is not None and (boxed := [self._boxed(name) for name in sorted(names) if name.endswith(_BOX)]):
            yield Boxed(_masks(mask), boxed)
        if mask is not None and reference is not None and "colour_distance" in names:
            yield Colours(_masks(mask), reference)

    def _boxed(self, name: str) -> FrameMean:
        whole = name.removesuffix(_BOX)
        if whole not in _PIXELS:
            return self._lpips(name)
        return FrameMean(name, _PIXELS[whole], {"range": 1 if whole == "mae" else 255})

    def _lpips(self, name: str) -> FrameMean:
        net, half = name.split("_")[1], name.endswith("_disco")
        network = self.backbones.lpips(net)
        settings = {
            "net": net,
            "version": "0.1",
            "range": "0..1" if half else "-1..1",
            **self.backbones.facts("lpips"),
        }
        return FrameMean(name, lambda made, truth: network.distance(made, truth, half_range=half), settings)

    def _pairs(self, made: Clip, truth: Clip | None) -> Iterator[tuple[np.ndarray, np.ndarray | None]]:
        if truth is None:
            yield from ((frame, None) for frame in read_clip(made))
            return
        for frame, other in read_pairs(made, truth):
            if frame.shape != other.shape:
                if self.preset == "clean":
                    raise ValueError(
                        f"{clip_name(made)} is {frame.shape[1]}x{frame.shape[0]}, {clip_name(truth)} "
                        f"{other.shape[1]}x{other.shape[0]}: clips of one size are compared, nothing is resized"
                    )
                frame = resize_linear(frame, other.shape[1], other.shape[0])
            yield frame, other

    def _collectors(self, known: Collection[str]) -> list[Collector]:
        wanted = [m for m in self.metrics.values() if m.of == "set" and not self._lacks(m, ())]
        names = {_FEATURES[m.name].replace("segments", "frames") for m in wanted}
        return [collector(name, self.backbones) for name in sorted(names - set(known))]


IDENTITY = {
    "clip": ("clip_identity", "clip_identity_drift"),
    "proxy": (f"identity_proxy_{PROXY}", f"identity_drift_proxy_{PROXY}"),
}


def _sets(clips: Iterable[Mapping[str, np.ndarray]], names: Collection[str]) -> dict[str, FeatureSet]:
    """One FeatureSet for each kind of features. Raises WeightsError when a clip lacks some."""
    sets = {name: FeatureSet() for name in names}
    for index, clip in enumerate(clips):
        for name, features in sets.items():
            if name not in clip:
                raise WeightsError(f"clip {index}: no features {name!r} in it, only {', '.join(clip) or 'none'}")
            features.add(clip[name])
    return sets


def _said_resized(values: dict[str, Value], made: Clip, truth: Clip) -> dict[str, Value]:
    """Where DisCo resizes the result to the truth, every value says so."""
    (height, width), size = (next(read_clip(clip)).shape[:2] for clip in (made, truth))
    if (height, width) == size:
        return values
    return {n: replace(v, settings={**v.settings, "resized_from": [width, height]}) for n, v in values.items()}


def _masks(mask: Clip) -> Iterator[np.ndarray]:
    """Silhouettes as they are in memory, or as pictures of a folder or video."""
    return read_clip(mask) if isinstance(mask, str | Path) else iter(mask)
