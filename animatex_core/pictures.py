"""Pictures: files to 8-bit RGB, the released resize, and tensors.

Every picture inside the program is uint8 RGB, [H, W, 3] or [n, H, W, 3], as stored for sRGB screens. Embedded colour
profiles are not applied: the released program does not, and neither do ComfyUI's own loaders.
"""

from __future__ import annotations

import logging
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from PIL import Image

if TYPE_CHECKING:
    import torch

log = logging.getLogger(__name__)

MAX_PIXELS = 89_000_000
"""Width times height above which a picture is refused unread (267 MB as RGB); Pillow itself warns from 89.5 million."""

# EPS is handed to Ghostscript and WMF to Windows: other programs run on untrusted data. FITS unpacks gzip without a
# limit. The rest are recognised by Pillow but hold no pixels that it can read.
REFUSED_FORMATS = frozenset({"EPS", "WMF", "FITS", "MPEG", "BUFR", "GRIB", "HDF5"})

_ORIENTATION_TAG = 0x0112
_ORIENTATIONS = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}


def load_picture(path: str | Path, *, background: tuple[int, int, int] = (255, 255, 255)) -> np.ndarray:
    """Read a picture file as it is meant to be seen: uint8 RGB [H, W, 3].

    The EXIF orientation is applied. Transparency is composited over `background`, white unless told otherwise: the
    colours that a file keeps under transparent pixels are nobody's choice (often black). 16-bit and floating-point
    samples are scaled to 8 bits, never clipped. Of several frames or pages the first is taken, and that is logged.

    Raises ValueError naming the file and the cause: missing, a folder, empty, no picture, damaged, above `MAX_PIXELS`.
    """
    path = Path(path)
    _check_file(path)
    try:
        return _read(path, background)
    except _RefusedPicture as error:
        raise ValueError(f"{path}: {error}") from None
    except Image.UnidentifiedImageError:
        raise ValueError(f"{path}: not a picture in a format that can be read") from None
    except Image.DecompressionBombError as error:
        raise ValueError(f"{path}: the picture is too large: {error}") from None
    except Exception as error:  # Pillow's readers let whatever they stumble over in a damaged file escape
        raise ValueError(f"{path}: the picture is damaged: {error or type(error).__name__}") from error


class _RefusedPicture(ValueError):
    """The file was read well enough to know why it is no use."""


def _check_file(path: Path) -> None:
    if path.is_dir():
        raise ValueError(f"{path}: expected a picture, found a folder")
    if not path.is_file():
        raise ValueError(f"{path}: there is no such picture file")
    if path.stat().st_size == 0:
        raise ValueError(f"{path}: the picture file is empty (0 bytes)")


def _read(path: Path, background: tuple[int, int, int]) -> np.ndarray:
    Image.init()
    with Image.open(path, formats=[name for name in Image.ID if name not in REFUSED_FORMATS]) as image:
        _check_size(image.size)
        image.load()
        _check_size(image.size)
        picture = _composited(_upright(_eight_bits(image, path), image, path), background)
        if getattr(image, "is_animated", False):
            log.warning("%s holds several frames or pages: the first one is used", path)
    return np.array(picture)


def _check_size(size: tuple[int, int]) -> None:
    width, height = size
    if width < 1 or height < 1:
        raise _RefusedPicture(f"the picture is {width}x{height}, nothing to see")
    if width * height > MAX_PIXELS:
        raise _RefusedPicture(f"the picture is {width}x{height}, more than {MAX_PIXELS} pixels")


def _upright(picture: Image.Image, source: Image.Image, path: Path) -> Image.Image:
    """Apply the orientation of `source`, asked after loading: PNG keeps it behind the pixels, TIFF applies it alone."""
    try:
        orientation = source.getexif().get(_ORIENTATION_TAG)
    except Exception as error:  # damaged EXIF around whole pixels
        log.warning("%s: the EXIF data cannot be read (%s), the picture is taken as stored", path, error)
        return picture
    turn = _ORIENTATIONS.get(orientation) if isinstance(orientation, int) else None
    return picture if turn is None else picture.transpose(turn)


def _eight_bits(image: Image.Image, path: Path) -> Image.Image:
    """The same picture with 8 bits a sample; 16-bit colour files are already so when Pillow hands them over."""
    if image.mode.startswith("I;16"):
        return Image.fromarray(_scaled(np.asarray(image, np.float32), 0.0, 65535.0))
    if image.mode not in ("I", "F"):
        return image
    values = np.asarray(image, np.float64)
    low, white = 0.0, _full_scale(values, image.mode)
    if white is None:
        low, white = float(values.min()), float(values.max())
        log.warning("%s: sample values from %g to %g are stretched to the full range", path, low, white)
    return Image.fromarray(_scaled(values, low, white))


def _full_scale(values: np.ndarray, mode: str) -> float | None:
    """The value that means white, or None when no usual one fits: files of these modes do not say."""
    if not np.isfinite(values).all():
        raise _RefusedPicture("the picture holds values that are not finite")
    usual = (1.0, 255.0, 65535.0) if mode == "F" else (65535.0,)
    if values.min() < 0:
        return None
    return next((top for top in usual if values.max() <= top), None)


def _scaled(values: np.ndarray, black: float, white: float) -> np.ndarray:
    return ((values - black) * (255.0 / max(white - black, 1e-12)) + 0.5).astype(np.uint8)


def _composited(image: Image.Image, background: tuple[int, int, int]) -> Image.Image:
    if not image.has_transparency_data:
        return image.convert("RGB")
    colours = image.convert("RGBA")
    return Image.alpha_composite(Image.new("RGBA", image.size, (*background, 255)), colours).convert("RGB")


def resize(
    pictures: np.ndarray, width: int, height: int, box: tuple[float, float, float, float] | None = None
) -> np.ndarray:
    """Stretch uint8 RGB [H, W, 3] or [n, H, W, 3] to `height` x `width`: Pillow's bilinear filter, as released.

    Pillow widens the filter when it shrinks, so this equals neither torch's nor OpenCV's bilinear.
    `box` (left, top, right, bottom) takes that part of the source, in pixels, fractions allowed.
    """
    check_pictures(pictures)
    if width < 1 or height < 1:
        raise ValueError(f"pictures cannot be resized to {width}x{height}")
    stack = pictures[None] if pictures.ndim == 3 else pictures
    out = np.empty((len(stack), height, width, 3), np.uint8)
    for source, target in zip(stack, out, strict=True):
        image = Image.fromarray(np.ascontiguousarray(source))
        target[:] = np.asarray(image.resize((width, height), Image.Resampling.BILINEAR, box))
    return out[0] if pictures.ndim == 3 else out


def to_tensor(pictures: np.ndarray) -> torch.Tensor:
    """uint8 RGB [H, W, 3] or [n, H, W, 3] to float32 [n, 3, H, W] in 0..1."""
    import torch  # here, because whoever only reads pictures and videos, as child processes do, should not wait for it

    check_pictures(pictures)
    stack = pictures[None] if pictures.ndim == 3 else pictures
    planar = np.ascontiguousarray(stack.transpose(0, 3, 1, 2))
    return torch.from_numpy(planar).to(torch.float32).div_(255.0)


def check_pictures(pictures: np.ndarray) -> None:
    """Raise ValueError unless `pictures` is uint8 RGB, [H, W, 3] or [n, H, W, 3], with at least one pixel."""
    if not isinstance(pictures, np.ndarray) or pictures.dtype != np.uint8:
        found = pictures.dtype if isinstance(pictures, np.ndarray) else type(pictures).__name__
        raise ValueError(f"pictures must be a uint8 array, got {found}")
    if pictures.ndim not in (3, 4) or pictures.shape[-1] != 3 or 0 in pictures.shape[-3:]:
        raise ValueError(f"pictures must be RGB [H, W, 3] or [n, H, W, 3], got {list(pictures.shape)}")
