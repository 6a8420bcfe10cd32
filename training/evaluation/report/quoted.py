"""What the paper prints (arXiv 2410.10306), to stand beside a run of the same setting; never mixed with its numbers.

Only what our copy of the paper has. Under the caption of its Table 1 stand the rows of Table 2 (section 4.2 names the
GAN methods in Table 2); tables 1 (but for Animate-X, which is the last row of Table 4), 3, 6, 7 and 8 have no numbers
there. The paper prints an upward arrow for L1; lower is better.
"""

from __future__ import annotations

from dataclasses import dataclass

from .columns import Column, number
from .tables import Cell, Row, Table, ranks

_COLUMNS = (
    Column("psnr", "PSNR*", "higher", "dB"),
    Column("ssim", "SSIM", "higher"),
    Column("l1", "L1", "lower"),
    Column("lpips", "LPIPS", "lower"),
    Column("fid", "FID", "lower"),
    Column("fid_vid", "FID-VID", "lower"),
    Column("fvd", "FVD", "lower"),
)
SELF_DRIVEN = {
    "FOMM": (10.49, 0.363, 1.47e-04, 0.613, 183.18, 147.82, 2535.12),
    "MRAA": (12.62, 0.420, 1.09e-04, 0.556, 161.57, 196.87, 3094.68),
    "LIA": (13.78, 0.445, 9.70e-05, 0.497, 105.13, 78.51, 1813.28),
    "DreamPose": (7.76, 0.305, 2.28e-04, 0.534, 277.64, 315.58, 4324.42),
    "MagicAnimate": (11.90, 0.396, 1.17e-04, 0.523, 117.09, 117.54, 2021.93),
    "Moore-AnimateAnyone": (11.56, 0.360, 1.27e-04, 0.532, 37.82, 59.80, 1117.29),
    "MimicMotion": (12.66, 0.407, 1.07e-04, 0.497, 96.46, 61.77, 1368.83),
    "ControlNeXt": (12.82, 0.421, 1.02e-04, 0.472, 46.66, 59.41, 1152.96),
    "MusePose": (12.92, 0.438, 9.90e-05, 0.470, 80.22, 87.97, 1401.96),
    "Animate-X": (14.10, 0.463, 8.92e-05, 0.425, 31.58, 33.15, 849.19),
}
ABLATIONS = {
    "w/o IPI": (13.30, 0.433, 1.35e-04, 0.454, 32.56, 64.31, 893.31),
    "w/o LQ": (13.48, 0.445, 1.76e-04, 0.454, 28.24, 42.74, 754.37),
    "w/o DQ": (13.39, 0.445, 1.01e-04, 0.456, 30.33, 62.34, 913.33),
    "PA": (13.25, 0.436, 1.11e-04, 0.464, 27.63, 46.54, 785.36),
    "KV_Q": (13.34, 0.443, 1.17e-04, 0.459, 26.75, 42.14, 785.69),
    "w/o EPI": (12.63, 0.403, 1.80e-04, 0.509, 42.17, 58.17, 948.25),
    "w/o Add": (13.28, 0.442, 1.56e-04, 0.459, 34.24, 52.94, 804.37),
    "w/o Drop": (13.36, 0.441, 1.94e-04, 0.458, 26.65, 44.55, 764.52),
    "w/o BS": (13.27, 0.443, 1.08e-04, 0.461, 29.60, 56.56, 850.17),
    "w/o NF": (13.41, 0.446, 1.82e-04, 0.455, 29.21, 56.48, 878.11),
    "w/o AL": (13.04, 0.429, 1.04e-04, 0.474, 27.17, 33.97, 765.69),
    "w/o Rescalings": (13.23, 0.438, 1.21e-04, 0.464, 27.64, 35.95, 721.11),
    "w/o Realign": (12.27, 0.433, 1.17e-04, 0.434, 34.60, 49.33, 860.25),
    "Animate-X": (13.60, 0.452, 1.02e-04, 0.430, 26.11, 32.23, 703.87),
}
_EVERYWHERE = (
    "FID-VID and FVD: the paper does not say by which of the two protocols, windows of 16 or whole clips",
    "L1: divided by height x width, so it depends on the resolution; the paper's arrow points up, lower is better",
)
_L1 = (
    "L1 is no evidence here: in five rows (w/o LQ, w/o EPI, w/o Add, w/o Drop, w/o NF) it is larger than the PSNR* of "
    "the same row allows"
)
_TABLE_4 = "Table 4 has seven of these rows; its last one is also the Animate-X row of Table 1"


@dataclass(frozen=True)
class Quote:
    """A table of the paper."""

    caption: str
    table: Table


def quoted(setting: str) -> Quote | None:
    """The paper's table of a setting, where our copy has one."""
    if setting == "self":
        return Quote(_caption("2, self-driven"), _table(SELF_DRIVEN, _EVERYWHERE))
    if setting == "rescaled":
        return Quote(_caption("5, rescaled pose"), _table(ABLATIONS, (*_EVERYWHERE, _L1, _TABLE_4)))
    return None


def why_none(setting: str) -> str:
    """What to say where nothing is quoted."""
    return f"The paper has no values for the setting {setting}, or the copy that this project quotes from lacks them."


def _caption(table: str) -> str:
    return f"Quoted from the paper, Table {table}; other data and settings"


def _table(rows: dict[str, tuple[float, ...]], notes: tuple[str, ...]) -> Table:
    by_column = [
        ranks(values, column.better) for column, values in zip(_COLUMNS, zip(*rows.values(), strict=True), strict=True)
    ]
    made = [
        Row(name, tuple(Cell(_printed(v), v, rank[place]) for v, rank in zip(values, by_column, strict=True)))
        for place, (name, values) in enumerate(rows.items())
    ]
    return Table(_COLUMNS, tuple(made), notes)


def _printed(value: float) -> str:
    """As the paper prints it: SSIM and LPIPS with three digits, L1 in powers of ten."""
    return number(value) if value < 1e-3 else f"{value:.{3 if value < 1 else 2}f}"
