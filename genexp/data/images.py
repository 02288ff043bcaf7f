"""Between encoded 8-bit images and the data space."""

import io
import warnings
from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np
import torch
from PIL import Image, ImageOps, UnidentifiedImageError
from torch import Tensor

SUFFIXES = (".png", ".jpg", ".jpeg", ".webp", ".bmp")
"""Names of images, in small letters."""
FORMATS = ("PNG", "JPEG", "WEBP", "BMP")
"""What the content may be, whatever the name: some of Pillow's other readers start programs."""
LARGEST = 2**28
"""Most bytes of one encoded image, 256 MiB."""
HEAD, TAIL = 2**16, 12
"""Bytes from either end of a file that :func:`settled` is given."""
PREPARATION = "EXIF orientation, bicubic with antialiasing, centre crop"
"""How :func:`decode` brings an image to its size, as records tell it."""
ORIENTATION = 0x0112
UPRIGHT = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}
"""What brings an image of each EXIF orientation upright; 1 is upright."""


def quantise(x: Tensor, levels: int | None) -> Tensor:
    """8-bit values to ``levels`` equal bins: ``x * levels // 256``, uint8 of the same shape."""
    if levels is None:
        raise ValueError("data.levels=null: the pixels of these images are integers, set 2 to 256")
    return (x.int() * levels // 256).to(torch.uint8)


def decode(encoded: bytes, shape: tuple[int, int, int]) -> Tensor:
    """The image in a PNG, JPEG, WebP or BMP file, brought to a size.

    It is turned upright, as EXIF data tell and every viewer does; EXIF data that cannot be read tell nothing. It is resized to
    cover the size, by Pillow's bicubic filter whose support widens with the scale (antialiasing), and what juts out is cut off
    on both sides; an image of the right size stays as it is. Grey is ITU-R 601-2 luma.

    Args:
        encoded: the file.
        shape: ``(C, H, W)`` wanted, C = 1 for grey, 3 for RGB.

    Returns:
        uint8 ``shape``, 256 levels.

    Raises:
        ValueError: it is no image, is damaged, has more than 8 bits, is in part transparent, or has more pixels than Pillow
            takes for an image (179 million).
    """
    channels, height, width = shape
    with _opened(encoded) as image:
        if image.has_transparency_data and image.convert("RGBA").getchannel("A").getextrema()[0] < 255:
            raise ValueError("it is transparent in places: put it onto a background first")
        upright = UPRIGHT.get(_orientation(image))
        image = image.convert("L" if channels == 1 else "RGB")
        if upright is not None:
            image = image.transpose(upright)
        image = ImageOps.fit(image, (width, height), Image.Resampling.BICUBIC)
        pixels = np.array(image)
    return torch.from_numpy(pixels).view(height, width, channels).permute(2, 0, 1)


def settled(head: bytes, tail: bytes, size: int) -> bool:
    """Whether the ends of a file already tell that :func:`decode` will take it, flipped bits in between apart; if not, decoding
    tells.

    Args:
        head: its first :data:`HEAD` bytes.
        tail: its last :data:`TAIL` bytes.
        size: its number of bytes.
    """
    try:
        with _opened(head) as image:
            whole = {"PNG": tail[4:8] == b"IEND", "JPEG": tail.endswith(b"\xff\xd9"), "MPO": tail.endswith(b"\xff\xd9")}
            whole["WEBP"] = len(head) == size  # this reader wants all of a file
            return whole.get(image.format, False) and not image.has_transparency_data
    except ValueError:
        return False


@contextmanager
def _opened(encoded: bytes) -> Iterator[Image.Image]:
    """The image in a file or its head, of which only the header was read so far. What goes wrong in the block is a ValueError
    of one line."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of odd metadata, and of many pixels, of which more are an error
            with Image.open(io.BytesIO(encoded), formats=FORMATS) as image:
                if image.mode.startswith(("I", "F")) or any(";16B" in str(tile.args) for tile in image.tile):
                    raise ValueError(f"its pixels have more than 8 bits (Pillow's mode {image.mode})")
                yield image
    except UnidentifiedImageError as error:
        raise ValueError(f"it is not an image ({', '.join(FORMATS)})") from error
    except Image.DecompressionBombError as error:
        raise ValueError(f"it has more than {2 * Image.MAX_IMAGE_PIXELS:,} pixels") from error
    except Exception as error:  # Pillow's decoders raise whatever they stumble over
        raise ValueError(" ".join(str(error).split()) or type(error).__name__) from error


def _orientation(image: Image.Image) -> int:
    """The EXIF orientation, 1 to 8; 1 where there is none."""
    try:
        return int(image.getexif().get(ORIENTATION, 1))
    except Exception:  # viewers show an image with damaged metadata too
        return 1


def encode(x: Tensor, levels: int) -> bytes:
    """A PNG from which :func:`decode` and :func:`quantise` give ``x`` back; black is 0 and white the top level.

    Args:
        x: uint8 ``(1, H, W)`` or ``(3, H, W)`` in ``[0, levels)``.
        levels: number of levels, 2 to 256.
    """
    lowest, highest = -(-x.int() * 256 // levels), -(-(x.int() + 1) * 256 // levels) - 1  # the ends of its bin
    grey = (lowest + (highest - lowest) * x // (levels - 1)).to(torch.uint8)
    out = io.BytesIO()
    Image.fromarray(grey.permute(1, 2, 0).squeeze(2).numpy()).save(out, "PNG")
    return out.getvalue()
