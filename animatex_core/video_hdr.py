"""HDR video as an ordinary screen would show it.

Curves and primaries are those of ITU-R BT.2100; reference white (203 cd/m2, ITU-R BT.2408) becomes white and what is
brighter is cut. Taken as they are, HDR frames look flat and grey, not what pose detectors or CLIP have seen.
"""

from __future__ import annotations

from functools import cache
from typing import Literal

import numpy as np

Curve = Literal["pq", "hlg"]

_WHITE = 255 * 256  # what FFmpeg makes of white when it is asked for 16 bits

_REFERENCE_WHITE = 203.0  # cd/m2
_HLG_PEAK, _HLG_GAMMA = 1000.0, 1.2  # the screen that HLG is specified for
_SCREEN_GAMMA = 2.4  # BT.1886
_LUMINANCE = np.array([0.2627, 0.6780, 0.0593], np.float32)  # of BT.2020 primaries
_TO_BT709 = np.array(
    [[1.660491, -0.587641, -0.072850], [-0.124550, 1.132900, -0.008349], [-0.018151, -0.100579, 1.118730]], np.float32
)


def standard_range(picture: np.ndarray, curve: Curve) -> np.ndarray:
    """uint16 R'G'B' [H, W, 3] as FFmpeg gives it, BT.2020 primaries, to uint8 R'G'B' of BT.709."""
    light = _light(curve)[picture]
    if curve == "hlg":
        luminance = np.maximum(light @ _LUMINANCE, 1e-6)[..., None]
        light *= (_HLG_PEAK / _REFERENCE_WHITE) * luminance ** np.float32(_HLG_GAMMA - 1)
    light = np.clip(light @ _TO_BT709.T, 0, 1)
    return _signal()[(np.sqrt(light) * 65535 + 0.5).astype(np.uint16)]


@cache
def _light(curve: Curve) -> np.ndarray:
    """[65536] float32: PQ in units of reference white, HLG as light of the scene in 0..1."""
    signal = np.minimum(np.arange(65536) / _WHITE, 1.0)
    if curve == "hlg":
        a, b, c = 0.17883277, 0.28466892, 0.55991073
        return np.where(signal <= 0.5, signal**2 / 3, (np.exp((signal - c) / a) + b) / 12).astype(np.float32)
    m1, m2, c1, c2, c3 = 2610 / 16384, 2523 / 32, 3424 / 4096, 2413 / 128, 2392 / 128
    root = signal ** (1 / m2)
    nits = 10000 * (np.maximum(root - c1, 0) / (c2 - c3 * root)) ** (1 / m1)
    return (nits / _REFERENCE_WHITE).astype(np.float32)


@cache
def _signal() -> np.ndarray:
    """[65536] uint8: the signal for the square of the index; plain light would leave too few steps for the dark."""
    return (255 * (np.arange(65536) / 65535) ** (2 / _SCREEN_GAMMA) + 0.5).astype(np.uint8)
