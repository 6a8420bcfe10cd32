"""Reading pictures: what a file means, whatever its format, and one clear message when it means nothing."""

import io
import struct
import zlib

import numpy as np
import pytest
import torch
from PIL import Image

from animatex_core import pictures
from animatex_core.pictures import load_picture, resize, to_tensor

RED, GREEN, BLUE, WHITE = (255, 0, 0), (0, 255, 0), (0, 0, 255), (255, 255, 255)


def corners() -> np.ndarray:
    """20 wide, 12 high: red and green on top, blue and white below, in flat quarters."""
    picture = np.empty((12, 20, 3), np.uint8)
    picture[:6, :10], picture[:6, 10:], picture[6:, :10], picture[6:, 10:] = RED, GREEN, BLUE, WHITE
    return picture


def photo(height=37, width=53, seed=0) -> np.ndarray:
    rng = np.random.default_rng(seed)
    return resize(rng.integers(0, 256, (5, 7, 3), dtype=np.uint8), width, height)


def saved(tmp_path, image: Image.Image, name: str, **options):
    path = tmp_path / name
    image.save(path, **options)
    return path


@pytest.mark.parametrize("name", ["a.png", "a.bmp", "a.tiff", "a.ppm", "a.tga", "a.qoi"])
def test_lossless_formats_are_exact(tmp_path, name):
    if name == "a.qoi" and "QOI" not in Image.registered_extensions().values():
        pytest.skip("this Pillow does not write QOI")
    read = load_picture(saved(tmp_path, Image.fromarray(photo()), name))
    assert read.dtype == np.uint8 and read.flags.c_contiguous and read.flags.writeable
    np.testing.assert_array_equal(read, photo())


@pytest.mark.parametrize("name", ["a.jpg", "a.webp", "a.avif", "a.gif"])
def test_lossy_formats_are_close(tmp_path, name):
    try:
        path = saved(tmp_path, Image.fromarray(photo()), name)
    except (ValueError, KeyError, OSError):
        pytest.skip(f"this Pillow does not write {name}")
    assert np.abs(load_picture(path).astype(int) - photo()).mean() < 12


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("name", ["a.jpg", "a.png", "a.tiff", "a.webp"])
def test_exif_orientation(tmp_path, name, orientation):
    """The picture is stored so that the tag puts it upright: the corners must come out in place."""
    undo = {1: None, 2: 0, 3: 3, 4: 1, 5: 5, 6: 2, 7: 6, 8: 4}[orientation]  # Image.Transpose that the tag undoes
    image = Image.fromarray(corners())
    stored = image if undo is None else image.transpose(Image.Transpose(undo))
    exif = Image.Exif()
    exif[0x0112] = orientation
    options = {"quality": 95, "subsampling": 0} if name == "a.jpg" else {"lossless": True} if name == "a.webp" else {}
    read = load_picture(saved(tmp_path, stored, name, exif=exif.tobytes(), **options))
    assert read.shape == (12, 20, 3)
    assert np.abs(read.astype(int) - corners()).max() < 24  # JPEG


def test_damaged_exif_keeps_the_picture(tmp_path, caplog):
    path = saved(tmp_path, Image.fromarray(corners()), "a.jpg", quality=95, exif=b"Exif\0\0MM\0*\xff\xff\xff\xff")
    assert load_picture(path).shape == (12, 20, 3)


def test_transparency_is_composited_over_the_background(tmp_path):
    rgba = np.zeros((4, 6, 4), np.uint8)
    rgba[:, :2] = (255, 0, 0, 255)
    rgba[:, 2:4] = (0, 0, 0, 0)  # black that nobody was meant to see
    rgba[:, 4:] = (0, 0, 255, 128)
    path = saved(tmp_path, Image.fromarray(rgba), "a.png")
    read = load_picture(path)
    assert read[0, 0].tolist() == [255, 0, 0] and read[0, 2].tolist() == [255, 255, 255]
    assert read[0, 4].tolist() == [127, 127, 255]
    assert load_picture(path, background=(0, 255, 0))[0, 2].tolist() == [0, 255, 0]


def test_opaque_alpha_changes_nothing(tmp_path):
    rgba = np.dstack([photo(), np.full(photo().shape[:2], 255, np.uint8)])
    np.testing.assert_array_equal(load_picture(saved(tmp_path, Image.fromarray(rgba), "a.png")), photo())


def test_palette_with_and_without_transparency(tmp_path):
    palette = Image.fromarray(corners()).convert("P", palette=Image.Palette.ADAPTIVE, colors=4)
    np.testing.assert_array_equal(load_picture(saved(tmp_path, palette, "a.png")), corners())
    blue = palette.getpixel((0, 11))
    read = load_picture(saved(tmp_path, palette, "b.png", transparency=blue))
    assert read[0, 0].tolist() == list(RED) and read[11, 0].tolist() == list(WHITE)


def test_cmyk_jpeg(tmp_path):
    read = load_picture(saved(tmp_path, Image.fromarray(corners()).convert("CMYK"), "a.jpg", quality=95))
    assert read.shape == (12, 20, 3)
    assert read[2, 2, 0] > 230 and read[2, 2, 1:].max() < 40 and read[9, 15].min() > 230


def test_grey_one_bit_and_grey_alpha(tmp_path):
    grey = photo()[..., 0]
    read = load_picture(saved(tmp_path, Image.fromarray(grey), "a.png"))
    np.testing.assert_array_equal(read, np.repeat(grey[..., None], 3, axis=2))
    bits = load_picture(saved(tmp_path, Image.fromarray(grey > 128), "b.png"))
    assert set(np.unique(bits)) == {0, 255}
    alpha = Image.merge("LA", [Image.fromarray(grey), Image.new("L", grey.shape[::-1], 0)])
    assert (load_picture(saved(tmp_path, alpha, "c.png")) == 255).all()


def test_sixteen_bit_grey_is_scaled_not_clipped(tmp_path):
    ramp = np.linspace(0, 65535, 256).round().astype(np.uint16)[None].repeat(3, axis=0)
    for name in ("a.png", "a.tiff"):
        read = load_picture(saved(tmp_path, Image.fromarray(ramp), name))
        np.testing.assert_array_equal(read[0, :, 0], np.arange(256))


def test_sixteen_bit_colour_png(tmp_path):
    """Pillow cannot write one, so it is put together by hand."""
    samples = np.array([[[65535, 32768, 0], [256, 65535, 1000]]], np.uint16)
    rows = b"".join(b"\0" + row.astype(">u2").tobytes() for row in samples)
    header = struct.pack(">IIBBBBB", 2, 1, 16, 2, 0, 0, 0)
    body = b"\x89PNG\r\n\x1a\n"
    for tag, data in ((b"IHDR", header), (b"IDAT", zlib.compress(rows)), (b"IEND", b"")):
        body += struct.pack(">I", len(data)) + tag + data + struct.pack(">I", zlib.crc32(tag + data))
    (tmp_path / "a.png").write_bytes(body)
    assert load_picture(tmp_path / "a.png").tolist() == [[[255, 128, 0], [1, 255, 3]]]


def test_floating_point_and_32_bit_samples(tmp_path):
    unit = np.linspace(0, 1, 256, dtype=np.float32)[None]
    np.testing.assert_array_equal(load_picture(saved(tmp_path, Image.fromarray(unit), "a.tiff"))[0, :, 0], range(256))
    bytes_ = np.arange(256, dtype=np.float32)[None]
    np.testing.assert_array_equal(load_picture(saved(tmp_path, Image.fromarray(bytes_), "b.tiff"))[0, :, 0], range(256))
    signed = np.array([[-1000, 0, 1000]], np.int32)
    assert load_picture(saved(tmp_path, Image.fromarray(signed), "c.tiff"))[0, :, 0].tolist() == [0, 128, 255]
    unit[0, 3] = np.nan
    with pytest.raises(ValueError, match=r"d\.tiff.*not finite"):
        load_picture(saved(tmp_path, Image.fromarray(unit), "d.tiff"))


def test_animated_takes_the_first_frame_and_says_so(tmp_path, caplog):
    frames = [Image.new("RGB", (8, 6), colour) for colour in (RED, GREEN, BLUE)]
    path = saved(tmp_path, frames[0], "a.gif", save_all=True, append_images=frames[1:])
    assert (load_picture(path) == RED).all()
    assert "several frames" in caplog.text and "a.gif" in caplog.text


def test_refused_files_are_named(tmp_path):
    (tmp_path / "empty.png").touch()
    (tmp_path / "text.png").write_text("not a picture, whatever its name says\n" * 20)
    (tmp_path / "drawing.eps").write_text("%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n%%EndComments\nshowpage\n")
    cases = {
        "missing.png": "no such picture file",
        "empty.png": "0 bytes",
        "text.png": "not a picture",
        "drawing.eps": "not a picture",  # Pillow would run Ghostscript on it
    }
    for name, cause in cases.items():
        with pytest.raises(ValueError, match=cause) as error:
            load_picture(tmp_path / name)
        assert name in str(error.value)
    with pytest.raises(ValueError, match="found a folder"):
        load_picture(tmp_path)


@pytest.mark.parametrize("side", [9434, 16384, 60000])
def test_too_many_pixels_are_refused_before_they_are_decoded(tmp_path, side):
    """A header alone: 9434 squared is the first square above the cap, the others are above Pillow's own."""
    header = struct.pack(">IIBBBBB", side, side, 8, 2, 0, 0, 0)
    chunk = struct.pack(">I", 13) + b"IHDR" + header + struct.pack(">I", zlib.crc32(b"IHDR" + header))
    data = struct.pack(">I", 1) + b"IDAT\0" + struct.pack(">I", zlib.crc32(b"IDAT\0"))
    (tmp_path / "bomb.png").write_bytes(b"\x89PNG\r\n\x1a\n" + chunk + data)
    with pytest.raises(ValueError, match=r"bomb\.png.*(pixels|too large)"):
        load_picture(tmp_path / "bomb.png")


@pytest.mark.parametrize("kind", ["PNG", "JPEG", "GIF", "BMP", "TIFF", "WEBP", "TGA"])
def test_truncated_and_flipped_bytes_never_escape_as_another_error(tmp_path, kind):
    buffer = io.BytesIO()
    Image.fromarray(photo()).save(buffer, kind)
    whole = buffer.getvalue()
    rng = np.random.default_rng(1)
    path, refused = tmp_path / "cut", 0
    for cut in np.linspace(1, len(whole) - 1, 60).astype(int):
        flipped = bytearray(whole)
        flipped[rng.integers(len(whole))] ^= 1 << int(rng.integers(8))
        for data in (whole[:cut], bytes(flipped)):
            path.write_bytes(data)
            try:
                assert load_picture(path).ndim == 3
            except ValueError as error:
                refused += data is not flipped
                assert str(path) in str(error)
    assert refused >= 50, "most cuts must be noticed"


def test_resize_is_pillow_bilinear():
    source = np.stack([photo(seed=1), photo(seed=2)])
    for width, height in ((53, 37), (20, 61), (128, 64), (1, 1)):
        wanted = [np.asarray(Image.fromarray(p).resize((width, height), Image.Resampling.BILINEAR)) for p in source]
        np.testing.assert_array_equal(resize(source, width, height), np.stack(wanted))
        np.testing.assert_array_equal(resize(source[0], width, height), wanted[0])


def test_to_tensor():
    tensor = to_tensor(corners())
    assert tensor.shape == (1, 3, 12, 20) and tensor.dtype == torch.float32
    assert tensor[0, :, 0, 0].tolist() == [1, 0, 0] and to_tensor(np.stack([corners()] * 3)).shape[0] == 3
    grey = np.full((1, 1, 3), 51, np.uint8)
    assert to_tensor(grey)[0, 0, 0, 0].item() == np.float32(51 / 255)


@pytest.mark.parametrize(
    "bad", [np.zeros((4, 4, 3)), np.zeros((4, 4, 4), np.uint8), np.zeros((0, 4, 3), np.uint8), [[1, 2, 3]]]
)
def test_arrays_that_are_no_pictures(bad):
    for function in (to_tensor, pictures.check_pictures, lambda p: resize(p, 4, 4)):
        with pytest.raises(ValueError, match="pictures must be"):
            function(bad)
