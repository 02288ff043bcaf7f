"""Between encoded 8-bit images and the data space."""

import io

import numpy as np
import torch
from PIL import Image, ImageOps, UnidentifiedImageError
from torch import Tensor

SUFFIXES = (".png", ".jpg", ".jpeg", ".webp", ".bmp")
"""Names of images, in small letters."""
PREPARATION = "bicubic with antialiasing, centre crop"
"""How :func:`decode` brings an image to its size, as records tell it."""


def quantise(x: Tensor, levels: int | None) -> Tensor:
    """8-bit values to ``levels`` equal bins: ``x * levels // 256``, uint8 of the same shape."""
    if levels is None:
        raise ValueError("data.levels=null: the pixels of these images are integers, set 2 to 256")
    return (x.int() * levels // 256).to(torch.uint8)


def decode(encoded: bytes, shape: tuple[int, int, int]) -> Tensor:
    """The image in a PNG, JPEG, WebP or BMP file, brought to a size.

    It is resized to cover the size, by Pillow's bicubic filter whose support widens with the scale (antialiasing), and
    what juts out is cut off on both sides; an image of the right size stays as it is. Grey is ITU-R 601-2 luma. The
    orientation in EXIF data is not applied.

    Args:
        encoded: the file.
        shape: ``(C, H, W)`` wanted, C = 1 for grey, 3 for RGB.

    Returns:
        uint8 ``shape``, 256 levels.

    Raises:
        ValueError: it is no image, is damaged, has more than 8 bits or is in part transparent.
    """
    channels, height, width = shape
    try:
        with Image.open(io.BytesIO(encoded)) as image:
            if image.mode.startswith(("I", "F")):
                raise ValueError(f"its pixels have more than 8 bits (Pillow's mode {image.mode})")
            if image.has_transparency_data and image.convert("RGBA").getchannel("A").getextrema()[0] < 255:
                raise ValueError("it is transparent in places: put it onto a background first")
            image = image.convert("L" if channels == 1 else "RGB")
            image = ImageOps.fit(image, (width, height), Image.Resampling.BICUBIC)
    except UnidentifiedImageError as error:
        raise ValueError("it is not an image") from error
    except Exception as error:  # Pillow's decoders raise whatever they stumble over
        raise ValueError(" ".join(str(error).split())) from error
    return torch.from_numpy(np.array(image)).view(height, width, channels).permute(2, 0, 1)


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
