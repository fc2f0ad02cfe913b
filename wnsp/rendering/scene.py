"""A flat drawing of rectangles, lines and text, written as SVG or painted as PNG: one layout for both.

The SVG holds no script, no style and no reference to anything outside itself, so that any content security policy
lets it through, inline or as an image.
"""

import io
from collections.abc import Sequence
from dataclasses import dataclass
from xml.sax.saxutils import escape

from PIL import Image, ImageDraw, ImageFont

from wnsp.rendering.colour import Rgb, hexadecimal

BACKGROUND: Rgb = (16, 18, 24)
INK: Rgb = (232, 234, 240)
FAINT_INK: Rgb = (150, 156, 170)
RULE: Rgb = (70, 76, 90)

PNG_SCALE = 2
"""PNG pixels per unit of the drawing, so that text is sharp on dense screens."""


@dataclass(frozen=True, slots=True)
class Box:
    x: float
    y: float
    width: float
    height: float
    fill: Rgb


@dataclass(frozen=True, slots=True)
class Line:
    x: float
    y: float
    to_x: float
    to_y: float
    stroke: Rgb
    width: float = 1.0


@dataclass(frozen=True, slots=True)
class Label:
    x: float
    """Of the anchor."""
    y: float
    """Of the middle of the text's height."""
    text: str
    size: float
    fill: Rgb = INK
    anchor: str = "middle"
    """start, middle or end."""


Shape = Box | Line | Label


@dataclass(frozen=True, slots=True)
class Scene:
    """Shapes in the order of painting, on `BACKGROUND`."""

    width: int
    height: int
    title: str
    shapes: tuple[Shape, ...]


def svg(scene: Scene) -> str:
    """The drawing as one SVG element with a title for screen readers; scales down to the page's width."""
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {scene.width} {scene.height}"'
        f' width="{scene.width}" height="{scene.height}" role="img" font-family="system-ui, sans-serif">',
        f"<title>{_text(scene.title)}</title>",
        f'<rect width="{scene.width}" height="{scene.height}" fill="{hexadecimal(BACKGROUND)}"/>',
    ]
    for shape in scene.shapes:
        match shape:
            case Box():
                parts.append(
                    f'<rect x="{_number(shape.x)}" y="{_number(shape.y)}" width="{_number(shape.width)}"'
                    f' height="{_number(shape.height)}" fill="{hexadecimal(shape.fill)}"/>'
                )
            case Line():
                parts.append(
                    f'<line x1="{_number(shape.x)}" y1="{_number(shape.y)}" x2="{_number(shape.to_x)}"'
                    f' y2="{_number(shape.to_y)}" stroke="{hexadecimal(shape.stroke)}"'
                    f' stroke-width="{_number(shape.width)}"/>'
                )
            case Label():
                parts.append(
                    f'<text x="{_number(shape.x)}" y="{_number(shape.y)}" font-size="{_number(shape.size)}"'
                    f' fill="{hexadecimal(shape.fill)}" text-anchor="{shape.anchor}"'
                    f' dominant-baseline="central" xml:space="preserve">{_text(shape.text)}</text>'
                )
    parts.append("</svg>")
    return "\n".join(parts) + "\n"


def png(scene: Scene) -> bytes:
    """The drawing as a PNG file of `PNG_SCALE` pixels per unit."""
    image = Image.new("RGB", (scene.width * PNG_SCALE, scene.height * PNG_SCALE), BACKGROUND)
    pen = ImageDraw.Draw(image)
    fonts: dict[float, ImageFont.FreeTypeFont | ImageFont.ImageFont] = {}
    for shape in scene.shapes:
        match shape:
            case Box():
                left, top = round(shape.x * PNG_SCALE), round(shape.y * PNG_SCALE)
                right = max(left + 1, round((shape.x + shape.width) * PNG_SCALE))
                bottom = max(top + 1, round((shape.y + shape.height) * PNG_SCALE))
                pen.rectangle((left, top, right - 1, bottom - 1), fill=shape.fill)
            case Line():
                points = (shape.x, shape.y, shape.to_x, shape.to_y)
                pen.line(
                    [point * PNG_SCALE for point in points],
                    fill=shape.stroke,
                    width=max(1, round(shape.width * PNG_SCALE)),
                )
            case Label():
                font = fonts.setdefault(shape.size, ImageFont.load_default(shape.size * PNG_SCALE))
                anchor = {"start": "lm", "middle": "mm", "end": "rm"}[shape.anchor]
                pen.text(
                    (shape.x * PNG_SCALE, shape.y * PNG_SCALE),
                    shape.text,
                    fill=shape.fill,
                    font=font,
                    anchor=anchor,
                )
    stream = io.BytesIO()
    image.save(stream, "PNG", optimize=True)
    return stream.getvalue()


def text_width(text: str, size: float) -> float:
    """About how wide a text of that size is; good enough to keep labels apart."""
    return 0.6 * size * len(text)


def caption(text: str, width: int, margin: int) -> Label:
    """The first line of a drawing, smaller where the drawing is narrow."""
    size = min(15.0, (width - 2 * margin) / max(1.0, text_width(text, 1)))
    return Label(margin, 22, text, size, INK, "start")


def spread_apart(labels: Sequence[Label], gap: float) -> tuple[Label, ...]:
    """Of middle-anchored labels on one line those that fit beside one another; earlier ones have precedence."""
    kept: list[Label] = []
    for label in labels:
        half = text_width(label.text, label.size) / 2 + gap
        if all(abs(label.x - other.x) >= half + text_width(other.text, other.size) / 2 for other in kept):
            kept.append(label)
    return tuple(kept)


def _number(value: float) -> str:
    return f"{value:.2f}".rstrip("0").rstrip(".")


def _text(value: str) -> str:
    """Escaped; characters that XML 1.0 cannot hold become the replacement character."""
    legal = "".join(
        character
        if character in "\t\n\r"
        or 0x20 <= ord(character) < 0xD800
        or 0xE000 <= ord(character) < 0xFFFE
        or ord(character) > 0xFFFF
        else "\ufffd"
        for character in value
    )
    return escape(legal)
