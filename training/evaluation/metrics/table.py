"""Every metric once: what it is called, what it measures, which way is better, whose definition it is."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

DISCO = "DisCo c4fa48a, tool/metrics"
PROXY = "efficientnet_lite0"


@dataclass(frozen=True)
class Metric:
    """A line of the table.

    better: which way is better. of: what one value is about: a clip, or all clips of a method against all true ones.
    preset: the one that yields it. needs: fields of Backbones without which it is absent, and inputs besides result
    and truth. needs_truth: whether a clip whose truth nobody knows can have it.
    """

    name: str
    display: str
    unit: str
    better: Literal["higher", "lower"]
    of: Literal["clip", "set"]
    preset: Literal["disco", "clean"]
    definition: str
    source: str
    needs: tuple[str, ...] = ()
    needs_truth: bool = True


def _clip(
    preset: Literal["disco", "clean"], name: str, display: str, unit: str, better: Literal["higher", "lower"],
    definition: str, source: str, needs: tuple[str, ...] = (), truth: bool = True,
) -> Metric:  # fmt: skip
    return Metric(name, display, unit, better, "clip", preset, definition, source, needs, truth)


def _set(
    preset: Literal["disco", "clean"], name: str, display: str, definition: str, source: str, needs: str
) -> Metric:
    return Metric(name, display, "", "lower", "set", preset, definition, source, (needs,))


_CLIP_DISCO = (
    _clip("disco", "psnr_disco", "PSNR*", "dB", "higher", "20 log10(255 / root mean square error) of each frame in float64; identical frames 100", DISCO),
    _clip("disco", "psnr_overflow", "PSNR (8-bit wrap-around)", "dB", "higher", "as PSNR*, but differences and squares modulo 256: only to check rows quoted from papers before 2024-04", f"{DISCO} before 6190108"),
    _clip("disco", "l1_disco", "L1 (DisCo)", "", "lower", "mean absolute error in 0..255 divided by height x width; depends on the resolution", DISCO),
    _clip("disco", "ssim_disco", "SSIM (grey, 7x7)", "", "higher", "OpenCV's grey, 7x7 uniform window, sample covariance, range 255", DISCO),
    _clip("disco", "lpips_vgg_disco", "LPIPS (VGG, half range)", "", "lower", "LPIPS v0.1 VGG on pixels in 0..1 where the network expects -1..1", DISCO, ("lpips",)),
)  # fmt: skip

_CLIP_CLEAN = (
    _clip("clean", "psnr", "PSNR", "dB", "higher", "20 log10(255 / root mean square error) of each frame, at most 100", "Animate-X, PSNR*"),
    _clip("clean", "mae", "MAE", "", "lower", "mean absolute error over pixels and channels, range 0..1", "this project"),
    _clip("clean", "ssim", "SSIM", "", "higher", "Gaussian 11x11 window of deviation 1.5, population covariance, mean over RGB", "Wang et al. 2004"),
    _clip("clean", "lpips_alex", "LPIPS (AlexNet)", "", "lower", "LPIPS v0.1, pixels in -1..1", "Zhang et al. 2018", ("lpips",)),
    _clip("clean", "lpips_vgg", "LPIPS (VGG)", "", "lower", "LPIPS v0.1, pixels in -1..1", "Zhang et al. 2018", ("lpips",)),
    _clip("clean", "clip_identity", "Identity (CLIP)", "", "higher", "cosine between the CLIP image features of a frame and of the reference", "Radford et al. 2021 (features)", ("clip", "reference"), False),
    _clip("clean", f"identity_proxy_{PROXY}", "Identity (proxy)", "", "higher", "cosine between the features of a frame and of the reference, EfficientNet-lite0: not CLIP", "this project", ("proxy", "reference"), False),
    _clip("clean", "clip_identity_drift", "Identity drift (CLIP)", "", "lower", "identity in the first quarter of the clip minus identity in the last", "this project", ("clip", "reference"), False),
    _clip("clean", f"identity_drift_proxy_{PROXY}", "Identity drift (proxy)", "", "lower", "identity proxy in the first quarter of the clip minus that in the last", "this project", ("proxy", "reference"), False),
    _clip("clean", "drift", "Drift", "", "lower", "MAE of the last quarter of the clip minus MAE of the first", "this project"),
    _clip("clean", "largest_jump", "Largest jump", "", "lower", "largest mean change from frame to frame over the median one; 1 is even motion", "this project", (), False),
    _clip("clean", "seam", "Seam", "", "lower", "mean change from frame to frame where windows meet over the median change elsewhere; 1 is invisible", "this project", ("seams",), False),
    _clip("clean", "pose_error", "Pose error", "", "lower", "distance between body points of the result and of the driving pose over the diagonal of the driving pose's box; mean over points present in both", "this project", ("poses",), False),
    _clip("clean", "pose_pck", "PCK@0.1", "", "higher", "share of the driving pose's body points that the result has within a tenth of that diagonal; absent ones are misses", "Yang and Ramanan 2013 (threshold), this project", ("poses",), False),
    _clip("clean", "pose_missing", "Points missing", "", "lower", "share of the driving pose's body points that nobody in the result has", "this project", ("poses",), False),
    _clip("clean", "silhouette_iou", "Silhouette IoU", "", "higher", "intersection over union of the result's foreground and the true silhouette", "this project", ("mask",)),
    _clip("clean", "extra_limb_rate", "Extra limbs", "", "lower", "foreground outside the true silhouette dilated by 3 pixels, over the area of the silhouette", "this project", ("mask",)),
    _clip("clean", "missing_part_rate", "Missing parts", "", "lower", "true silhouette outside the foreground dilated by 3 pixels, over the area of the silhouette", "this project", ("mask",)),
)  # fmt: skip

_SET_DISCO = (
    _set("disco", "fid_disco", "FID (pytorch-fid)", "Frechet distance of all frames pooled, Inception of 2015-12-05, resized inside the network; scipy's sqrtm", "pytorch-fid; DisCo#25", "inception"),
    _set("disco", "fid_vid_disco_windows16", "FID-VID (windows of 16)", "Frechet distance of 3D ResNet-50 features, one vector for each 16 frames from every frame on", f"{DISCO}, gen_eval.sh", "resnet3d"),
    _set("disco", "fvd_disco_windows16", "FVD (windows of 16)", "Frechet distance of I3D logits, one vector for each 16 frames from every frame on", f"{DISCO}, gen_eval.sh", "i3d"),
    _set("disco", "fid_vid_disco_whole", "FID-VID (whole clips)", "Frechet distance of 3D ResNet-50 features, mean of 16-frame segments, the last one filled up with its last frame; one vector a clip", f"{DISCO}, gen_eval_tm.sh", "resnet3d"),
    _set("disco", "fvd_disco_whole", "FVD (whole clips)", "Frechet distance of I3D logits, each clip in one pass; one vector a clip", f"{DISCO}, gen_eval_tm.sh", "i3d"),
)  # fmt: skip


def _distances(kind: str, features: str, source: str, needs: str, names: tuple[str, str]) -> tuple[Metric, Metric]:
    frechet, kernel = names
    return (
        _set("clean", frechet, frechet.upper().replace("_", "-") if needs != "proxy" else f"{kind} (proxy)", f"Frechet distance of {features}", source, needs),
        _set("clean", kernel, kernel.upper().replace("_", "-") if needs != "proxy" else f"{kind}, kernel (proxy)", f"unbiased squared maximum mean discrepancy, cubic polynomial kernel, of {features}", f"{source}; kernel: Binkowski et al. 2018", needs),
    )  # fmt: skip


_SET_CLEAN = (
    *_distances("FID", "Inception features (2015-12-05) of all frames pooled", "Heusel et al. 2017, pytorch-fid", "inception", ("fid", "kid")),
    *_distances("FID-VID", "3D ResNet-50 features, one vector a clip as in DisCo's whole clips", DISCO, "resnet3d", ("fid_vid", "kid_vid")),
    *_distances("FVD", "I3D logits, each clip in one pass", f"Unterthiner et al. 2018, {DISCO}", "i3d", ("fvd", "kvd")),
    *_distances("FID", "EfficientNet-lite0 features of all frames pooled: not FID", "this project", "proxy", (f"fid_proxy_{PROXY}", f"kid_proxy_{PROXY}")),
    *_distances("FVD", "EfficientNet-lite0 features over 16-frame segments (mean and mean change), one vector a segment: not FVD", "this project", "proxy", (f"fvd_proxy_{PROXY}", f"kvd_proxy_{PROXY}")),
)  # fmt: skip

METRICS: dict[str, Metric] = {m.name: m for m in (*_CLIP_DISCO, *_CLIP_CLEAN, *_SET_DISCO, *_SET_CLEAN)}


def metrics_of(preset: str, of: str | None = None) -> tuple[Metric, ...]:
    """The metrics of a preset, in the order of the table; of clips or of sets alone when `of` says so."""
    return tuple(m for m in METRICS.values() if m.preset == preset and of in (None, m.of))
