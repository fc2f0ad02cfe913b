"""Picture files in and out: bounded before anything is decoded.

Only PNG and JPEG are opened. The size that the file's header claims is checked before pixels are unpacked, so a
decompression bomb costs nothing; scans of a progressive JPEG, each of which costs a pass over all pixels, are
counted first.
"""

import io
import struct
import zlib
from collections.abc import Iterator

import numpy as np
import numpy.typing as npt
from PIL import Image

from wnsp.optical.errors import PictureFileTooLarge, PictureUnreadable
from wnsp.rendering.colour import Rgb

Pixels = npt.NDArray[np.uint8]
"""uint8[height, width, 3], sRGB."""
Shades = npt.NDArray[np.uint8]
"""uint8[height, width], indices into a palette."""

MOST_FILE_BYTES = 32 << 20
MOST_PIXELS = 25_000_000
"""Of one picture: three times the largest that the encoder makes, in both directions."""
MOST_ANIMATION_PIXELS = 100_000_000
"""Of all frames of an animation together."""
MOST_FRAMES = 255
MOST_JPEG_SCANS = 100
LEAST_SIDE = 32
WORKING_SIDE = 2_048
"""Larger pictures are reduced to this longer side, by averaging, before they are read."""

_JPEG_SCAN = b"\xff\xda"
_PILLOW_ERRORS = (
    OSError,
    SyntaxError,
    ValueError,
    TypeError,
    EOFError,
    IndexError,
    KeyError,
    AttributeError,
    OverflowError,
    MemoryError,
    struct.error,
    zlib.error,
    Image.DecompressionBombError,
    Image.DecompressionBombWarning,
)
"""What Pillow raises on broken files (it names no class of its own for them)."""


def read_pixels(data: bytes) -> Iterator[Pixels]:
    """Every frame of a PNG, animated PNG or JPEG, no side longer than `WORKING_SIDE`.

    Raises PictureFileTooLarge and PictureUnreadable. Transparent pixels are shown on white.
    """
    if len(data) > MOST_FILE_BYTES:
        raise PictureFileTooLarge(what="bytes", found=len(data), limit=MOST_FILE_BYTES)
    scans = data.count(_JPEG_SCAN) if data[:2] == b"\xff\xd8" else 0
    if scans > MOST_JPEG_SCANS:
        raise PictureFileTooLarge(what="scans", found=scans, limit=MOST_JPEG_SCANS)
    try:
        with Image.open(io.BytesIO(data), formats=("PNG", "JPEG")) as image:
            frames = int(getattr(image, "n_frames", 1))
            pixels = image.width * image.height
            if min(image.size) < LEAST_SIDE:
                raise PictureUnreadable(
                    reason=f"{image.width} by {image.height} pixels hold no picture of ours"
                )
            for what, found, limit in (
                ("pixels", pixels, MOST_PIXELS),
                ("frames", frames, MOST_FRAMES),
                ("pixels in all frames", pixels * frames, MOST_ANIMATION_PIXELS),
            ):
                if found > limit:
                    raise PictureFileTooLarge(what=what, found=found, limit=limit)
            for number in range(frames):
                if frames > 1:
                    image.seek(number)
                yield _frame(image)
    except _PILLOW_ERRORS as error:
        raise PictureUnreadable(reason=f"{type(error).__name__}: {error}"[:200]) from error


def png_bytes(shades: Shades, palette: tuple[Rgb, ...]) -> bytes:
    """A PNG file without metadata, of indices into a palette."""
    stream = io.BytesIO()
    _indexed(shades, palette).save(stream, "PNG", optimize=True)
    return stream.getvalue()


def animated_png_bytes(frames: list[Shades], palette: tuple[Rgb, ...], frame_ms: int) -> bytes:
    """One animated PNG that repeats for ever, `frame_ms` milliseconds a frame."""
    stream = io.BytesIO()
    first, *others = (_indexed(frame, palette) for frame in frames)
    first.save(stream, "PNG", save_all=True, append_images=others, duration=frame_ms, loop=0)
    return stream.getvalue()


def _indexed(shades: Shades, palette: tuple[Rgb, ...]) -> Image.Image:
    image = Image.fromarray(shades)
    image.putpalette([channel for colour in palette for channel in colour])
    return image


def _frame(image: Image.Image) -> Pixels:
    image.draft("RGB", (WORKING_SIDE, WORKING_SIDE))
    image.load()
    plain: Image.Image = image
    if image.mode in ("RGBA", "LA", "PA") or "transparency" in image.info:
        over = image.convert("RGBA")
        plain = Image.new("RGBA", over.size, (255, 255, 255, 255))
        plain.alpha_composite(over)
    plain = plain.convert("RGB")
    longer = max(plain.size)
    if longer > WORKING_SIDE:
        size = (
            max(1, plain.width * WORKING_SIDE // longer),
            max(1, plain.height * WORKING_SIDE // longer),
        )
        plain = plain.resize(size, Image.Resampling.BOX)
    return np.asarray(plain, dtype=np.uint8)
