"""What happens to a picture on its way through screens, cameras and messengers; seeded."""

import io
from dataclasses import dataclass

import numpy as np
from PIL import Image, ImageFilter


@dataclass(frozen=True, slots=True)
class Distortion:
    """One way, in the order in which it is applied."""

    scale: float = 1.0
    rotation_degrees: float = 0.0
    keystone: float = 0.0
    """How much shorter the upper edge becomes, as a share: a camera that looks up."""
    blur_pixels: float = 0.0
    brightness: float = 0.0
    """Added to every channel, as a share of 255."""
    contrast: float = 1.0
    """Around middle grey."""
    shade: float = 0.0
    """Light lost from the left edge to the right, as a share."""
    noise: float = 0.0
    """Standard deviation of normal noise per channel, in steps of 255."""
    photograph_share: float = 1.0
    """Width of the picture as a share of a photograph around it, of a desk with coarse and fine texture."""
    quality: int | None = None
    """Of JPEG with 4:2:0 chroma; None keeps PNG."""


def distorted(picture: bytes, way: Distortion, seed: int = 0) -> bytes:
    """The picture file at the end of that way."""
    image = Image.open(io.BytesIO(picture)).convert("RGB")
    if way.scale != 1.0:
        size = (round(image.width * way.scale), round(image.height * way.scale))
        image = image.resize(size, Image.Resampling.BICUBIC)
    if way.rotation_degrees:
        image = image.rotate(
            way.rotation_degrees, Image.Resampling.BICUBIC, expand=True, fillcolor=(255, 255, 255)
        )
    if way.keystone:
        image = _keystoned(image, way.keystone)
    if way.photograph_share < 1:
        image = _photographed(image, way.photograph_share, seed)
    if way.blur_pixels:
        image = image.filter(ImageFilter.GaussianBlur(way.blur_pixels))
    pixels = np.asarray(image, dtype=np.float64)
    if way.shade:
        pixels = pixels * np.linspace(1, 1 - way.shade, pixels.shape[1])[None, :, None]
    pixels = (pixels - 127.5) * way.contrast + 127.5 + 255 * way.brightness
    if way.noise:
        pixels = pixels + np.random.default_rng(seed).normal(0, way.noise, pixels.shape)
    image = Image.fromarray(np.clip(np.rint(pixels), 0, 255).astype(np.uint8))
    stream = io.BytesIO()
    if way.quality is None:
        image.save(stream, "PNG", compress_level=1)
    else:
        image.save(stream, "JPEG", quality=way.quality, subsampling=2)
    return stream.getvalue()


def _photographed(image: Image.Image, share: float, seed: int) -> Image.Image:
    side = round(max(image.size) / share)
    random = np.random.default_rng(seed)
    desk = np.clip(random.normal((120, 95, 70), 40, (side // 24 + 1, side // 24 + 1, 3)), 0, 255)
    around = Image.fromarray(desk.astype(np.uint8)).resize((side, side), Image.Resampling.BICUBIC)
    grain = np.asarray(around, dtype=np.float64) + random.normal(0, 6, (side, side, 3))
    around = Image.fromarray(np.clip(grain, 0, 255).astype(np.uint8))
    around.paste(image, ((side - image.width) // 3, (side - image.height) // 2))
    return around


def _keystoned(image: Image.Image, share: float) -> Image.Image:
    width, height = image.size
    inset = width * share / 2
    corners = [(inset, 0), (width - inset, 0), (width, height), (0, height)]
    rows, targets = [], []
    for (x, y), (u, v) in zip(corners, [(0, 0), (width, 0), (width, height), (0, height)], strict=True):
        rows.append([x, y, 1, 0, 0, 0, -u * x, -u * y])
        rows.append([0, 0, 0, x, y, 1, -v * x, -v * y])
        targets += [u, v]
    coefficients = np.linalg.solve(np.array(rows), np.array(targets, dtype=np.float64))
    return image.transform(
        image.size,
        Image.Transform.PERSPECTIVE,
        coefficients.tolist(),
        Image.Resampling.BICUBIC,
        fillcolor=(255, 255, 255),
    )
