"""The distances between the clips of a method and the true ones."""

from __future__ import annotations

from .metric import PROXY, Metric

OF_SETS = (
    Metric(
        "fid_disco", "FID (pytorch-fid)", "", "lower", "set", "disco",
        (
            "Frechet distance of all frames pooled, Inception of 2015-12-05, resized inside the network; "
            "scipy's sqrtm"
        ),
        "pytorch-fid; DisCo#25",
        needs=("inception",),
    ),
    Metric(
        "fid_vid_disco_windows16", "FID-VID (windows of 16)", "", "lower", "set", "disco",
        "Frechet distance of 3D ResNet-50 features, one vector for each 16 frames from every frame on",
        "DisCo c4fa48a, tool/metrics, gen_eval.sh",
        needs=("resnet3d",),
    ),
    Metric(
        "fvd_disco_windows16", "FVD (windows of 16)", "", "lower", "set", "disco",
        "Frechet distance of I3D logits, one vector for each 16 frames from every frame on",
        "DisCo c4fa48a, tool/metrics, gen_eval.sh",
        needs=("i3d",),
    ),
    Metric(
        "fid_vid_disco_whole", "FID-VID (whole clips)", "", "lower", "set", "disco",
        (
            "Frechet distance of 3D ResNet-50 features, mean of 16-frame segments, the last one filled up"
            " with its last frame; one vector a clip"
        ),
        "DisCo c4fa48a, tool/metrics, gen_eval_tm.sh",
        needs=("resnet3d",),
    ),
    Metric(
        "fvd_disco_whole", "FVD (whole clips)", "", "lower", "set", "disco",
        "Frechet distance of I3D logits, each clip in one pass; one vector a clip",
        "DisCo c4fa48a, tool/metrics, gen_eval_tm.sh",
        needs=("i3d",),
    ),
    Metric(
        "fid", "FID", "", "lower", "set", "clean",
        "Frechet distance of Inception features (2015-12-05) of all frames pooled",
        "Heusel et al. 2017, pytorch-fid",
        needs=("inception",),
    ),
    Metric(
        "kid", "KID", "", "lower", "set", "clean",
        (
            "unbiased squared maximum mean discrepancy, cubic polynomial kernel, of Inception features "
            "(2015-12-05) of all frames pooled"
        ),
        "Heusel et al. 2017, pytorch-fid; kernel: Binkowski et al. 2018",
        needs=("inception",),
    ),
    Metric(
        "fid_vid", "FID-VID", "", "lower", "set", "clean",
        "Frechet distance of 3D ResNet-50 features, one vector a clip as in DisCo's whole clips",
        "DisCo c4fa48a, tool/metrics",
        needs=("resnet3d",),
    ),
    Metric(
        "kid_vid", "KID-VID", "", "lower", "set", "clean",
        (
            "unbiased squared maximum mean discrepancy, cubic polynomial kernel, of 3D ResNet-50 "
            "features, one vector a clip as in DisCo's whole clips"
        ),
        "DisCo c4fa48a, tool/metrics; kernel: Binkowski et al. 2018",
        needs=("resnet3d",),
    ),
    Metric(
        "fvd", "FVD", "", "lower", "set", "clean",
        "Frechet distance of I3D logits, each clip in one pass",
        "Unterthiner et al. 2018, DisCo c4fa48a, tool/metrics",
        needs=("i3d",),
    ),
    Metric(
        "kvd", "KVD", "", "lower", "set", "clean",
        (
            "unbiased squared maximum mean discrepancy, cubic polynomial kernel, of I3D logits, each clip"
            " in one pass"
        ),
        "Unterthiner et al. 2018, DisCo c4fa48a, tool/metrics; kernel: Binkowski et al. 2018",
        needs=("i3d",),
    ),
    Metric(
        f"fid_proxy_{PROXY}", "FID (proxy)", "", "lower", "set", "clean",
        "Frechet distance of EfficientNet-lite0 features of all frames pooled: not FID",
        "this project",
        needs=("proxy",),
    ),
    Metric(
        f"kid_proxy_{PROXY}", "FID, kernel (proxy)", "", "lower", "set", "clean",
        (
            "unbiased squared maximum mean discrepancy, cubic polynomial kernel, of EfficientNet-lite0 "
            "features of all frames pooled: not FID"
        ),
        "this project; kernel: Binkowski et al. 2018",
        needs=("proxy",),
    ),
    Metric(
        f"fvd_proxy_{PROXY}", "FVD (proxy)", "", "lower", "set", "clean",
        (
            "Frechet distance of EfficientNet-lite0 features over 16-frame segments (mean and mean "
            "change), one vector a segment: not FVD"
        ),
        "this project",
        needs=("proxy",),
    ),
    Metric(
        f"kvd_proxy_{PROXY}", "FVD, kernel (proxy)", "", "lower", "set", "clean",
        (
            "unbiased squared maximum mean discrepancy, cubic polynomial kernel, of EfficientNet-lite0 "
            "features over 16-frame segments (mean and mean change), one vector a segment: not FVD"
        ),
        "this project; kernel: Binkowski et al. 2018",
        needs=("proxy",),
    ),
)  # fmt: skip
