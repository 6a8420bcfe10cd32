"""The metrics of one clip."""

from __future__ import annotations

from .metric import PROXY, Metric

OF_CLIPS = (
    Metric(
        "psnr_disco", "PSNR*", "dB", "higher", "clip", "disco",
        "20 log10(255 / root mean square error) of each frame in float64; identical frames 100",
        "DisCo c4fa48a, tool/metrics",
    ),
    Metric(
        "psnr_overflow", "PSNR (8-bit wrap-around)", "dB", "higher", "clip", "disco",
        (
            "as PSNR*, but differences and squares modulo 256: only to check rows quoted from papers "
            "before 2024-04"
        ),
        "DisCo c4fa48a, tool/metrics before 6190108",
    ),
    Metric(
        "l1_disco", "L1 (DisCo)", "", "lower", "clip", "disco",
        "mean absolute error in 0..255 divided by height x width; depends on the resolution",
        "DisCo c4fa48a, tool/metrics",
    ),
    Metric(
        "ssim_disco", "SSIM (grey, 7x7)", "", "higher", "clip", "disco",
        "OpenCV's grey, 7x7 uniform window, sample covariance, range 255",
        "DisCo c4fa48a, tool/metrics",
    ),
    Metric(
        "lpips_vgg_disco", "LPIPS (VGG, half range)", "", "lower", "clip", "disco",
        "LPIPS v0.1 VGG on pixels in 0..1 where the network expects -1..1",
        "DisCo c4fa48a, tool/metrics",
        needs=("lpips",),
    ),
    Metric(
        "psnr", "PSNR", "dB", "higher", "clip", "clean",
        "20 log10(255 / root mean square error) of each frame, at most 100",
        "Animate-X, PSNR*",
    ),
    Metric(
        "mae", "MAE", "", "lower", "clip", "clean",
        "mean absolute error over pixels and channels, range 0..1",
        "this project",
    ),
    Metric(
        "ssim", "SSIM", "", "higher", "clip", "clean",
        "Gaussian 11x11 window of deviation 1.5, population covariance, mean over RGB",
        "Wang et al. 2004",
    ),
    Metric(
        "lpips_alex", "LPIPS (AlexNet)", "", "lower", "clip", "clean",
        "LPIPS v0.1, pixels in -1..1",
        "Zhang et al. 2018",
        needs=("lpips",),
    ),
    Metric(
        "lpips_vgg", "LPIPS (VGG)", "", "lower", "clip", "clean",
        "LPIPS v0.1, pixels in -1..1",
        "Zhang et al. 2018",
        needs=("lpips",),
    ),
    Metric(
        "clip_identity", "Identity (CLIP)", "", "higher", "clip", "clean",
        "cosine between the CLIP image features of a frame and of the reference",
        "Radford et al. 2021 (features)",
        needs=("clip", "reference",), needs_truth=False,
    ),
    Metric(
        f"identity_proxy_{PROXY}", "Identity (proxy)", "", "higher", "clip", "clean",
        "cosine between the features of a frame and of the reference, EfficientNet-lite0: not CLIP",
        "this project",
        needs=("proxy", "reference",), needs_truth=False,
    ),
    Metric(
        "clip_identity_drift", "Identity drift (CLIP)", "", "lower", "clip", "clean",
        "identity in the first quarter of the clip minus identity in the last",
        "this project",
        needs=("clip", "reference",), needs_truth=False,
    ),
    Metric(
        f"identity_drift_proxy_{PROXY}", "Identity drift (proxy)", "", "lower", "clip", "clean",
        "identity proxy in the first quarter of the clip minus that in the last",
        "this project",
        needs=("proxy", "reference",), needs_truth=False,
    ),
    Metric(
        "drift", "Drift", "", "lower", "clip", "clean",
        "MAE of the last quarter of the clip minus MAE of the first",
        "this project",
    ),
    Metric(
        "largest_jump", "Largest jump", "", "lower", "clip", "clean",
        "largest mean change from frame to frame over the median one; 1 is even motion",
        "this project",
        needs_truth=False,
    ),
    Metric(
        "seam", "Seam", "", "lower", "clip", "clean",
        (
            "mean change from frame to frame where windows meet over the median change elsewhere; 1 is "
            "invisible"
        ),
        "this project",
        needs=("seams",), needs_truth=False,
    ),
    Metric(
        "pose_error", "Pose error", "", "lower", "clip", "clean",
        (
            "distance between body points of the result and of the driving pose over the diagonal of the "
            "driving pose's box; mean over points present in both"
        ),
        "this project",
        needs=("poses",), needs_truth=False,
    ),
    Metric(
        "pose_pck", "PCK@0.1", "", "higher", "clip", "clean",
        (
            "share of the driving pose's body points that the result has within a tenth of that diagonal;"
            " absent ones are misses"
        ),
        "Yang and Ramanan 2013 (threshold), this project",
        needs=("poses",), needs_truth=False,
    ),
    Metric(
        "pose_missing", "Points missing", "", "lower", "clip", "clean",
        "share of the driving pose's body points that nobody in the result has",
        "this project",
        needs=("poses",), needs_truth=False,
    ),
    Metric(
        "silhouette_iou", "Silhouette IoU", "", "higher", "clip", "clean",
        "intersection over union of the result's foreground and the true silhouette",
        "this project",
        needs=("mask",),
    ),
    Metric(
        "extra_limb_rate", "Extra limbs", "", "lower", "clip", "clean",
        "foreground outside the true silhouette dilated by 3 pixels, over the area of the silhouette",
        "this project",
        needs=("mask",),
    ),
    Metric(
        "missing_part_rate", "Missing parts", "", "lower", "clip", "clean",
        "true silhouette outside the foreground dilated by 3 pixels, over the area of the silhouette",
        "this project",
        needs=("mask",),
    ),
    Metric(
        "psnr_box", "PSNR (box)", "dB", "higher", "clip", "clean",
        "as PSNR, in the box of the true silhouette",
        "this project",
        needs=("mask",),
    ),
    Metric(
        "mae_box", "MAE (box)", "", "lower", "clip", "clean",
        "as MAE, in the box of the true silhouette",
        "this project",
        needs=("mask",),
    ),
    Metric(
        "ssim_box", "SSIM (box)", "", "higher", "clip", "clean",
        "as SSIM, in the box of the true silhouette",
        "this project",
        needs=("mask",),
    ),
    Metric(
        "lpips_alex_box", "LPIPS (AlexNet, box)", "", "lower", "clip", "clean",
        "as LPIPS (AlexNet), in the box of the true silhouette, at least 48 pixels a side",
        "this project",
        needs=("lpips", "mask"),
    ),
    Metric(
        "colour_distance", "Colour distance", "", "lower", "clip", "clean",
        (
            "sliced Wasserstein distance, range 0..1, between the colours inside the true silhouette and those of "
            "the reference's foreground, which stands before a plain background"
        ),
        "this project",
        needs=("mask", "reference"),
    ),
    Metric(
        "joint_error", "Joint error", "px", "lower", "clip", "clean",
        (
            "mean distance between joints as the mini keypoint network sees them and as they should be, "
            "sides exchanged where nearer; renders of `synthetic` only"
        ),
        "this project",
        needs=("joints", "poses"), needs_truth=False,
    ),
    Metric(
        "joint_pck", "Joints found", "", "higher", "clip", "clean",
        "share of these joints within 5 % of the picture's height",
        "this project",
        needs=("joints", "poses"), needs_truth=False,
    ),
)  # fmt: skip
