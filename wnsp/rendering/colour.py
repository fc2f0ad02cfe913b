"""The colour of light of one wavelength on an sRGB screen.

λ -> (X, Y, Z) by the CIE 1931 2-degree colour matching functions -> linear sRGB (IEC 61966-2-1, D65) -> gamut ->
8 bits.

A spectral colour lies outside what three primaries can show: at least one channel is negative. Gamut mapping here is
*clipping in linear light*: negative channels become zero, which is the nearest colour of the sRGB cube's cone,
and then the colour is scaled so that its greatest channel is the brightness asked for. Saturation stays full; hue
moves towards the primary where the screen has none purer (515 to 545 nm all look like the screen's green, beyond
625 nm like its red). Desaturation towards white, the other usual choice, was tried: it keeps chromaticity in line
with white and shows deep red as pink and 520 nm as teal.
"""

from wnsp.rendering.colour_matching import COLOUR_MATCHING, FIRST_NM, LAST_NM, STEP_NM, UNIT

Rgb = tuple[int, int, int]
"""sRGB, 0 to 255 each."""

XYZ_TO_LINEAR_SRGB = (
    (3.2406255, -1.5372080, -0.4986286),
    (-0.9689307, 1.8757561, 0.0415175),
    (0.0557101, -0.2040211, 1.0569959),
)
"""IEC 61966-2-1 amendment 1, section F.2."""

DARK: Rgb = (0, 0, 0)
EDGE_BRIGHTNESS = 0.35
"""Display brightness at 380 and 780 nm."""


def tristimulus(wavelength_nm: float) -> tuple[float, float, float]:
    """(X, Y, Z) of light of one wavelength and unit power; between the table's rows linear, outside of it zero."""
    if not FIRST_NM <= wavelength_nm <= LAST_NM:
        return (0.0, 0.0, 0.0)
    row, rest = divmod(wavelength_nm - FIRST_NM, STEP_NM)
    lower = COLOUR_MATCHING[int(row)]
    upper = COLOUR_MATCHING[min(int(row) + 1, len(COLOUR_MATCHING) - 1)]
    share = rest / STEP_NM
    x, y, z = ((low + (high - low) * share) / UNIT for low, high in zip(lower, upper, strict=True))
    return (x, y, z)


def luminous_efficiency(wavelength_nm: float) -> float:
    """V(λ), 0 to 1 at 555 nm: how bright unit power of that wavelength looks (it is ȳ)."""
    return tristimulus(wavelength_nm)[1]


def linear_srgb(wavelength_nm: float) -> tuple[float, float, float]:
    """Linear sRGB in gamut with the greatest channel at 1; black outside 380 to 780 nm."""
    xyz = tristimulus(wavelength_nm)
    channels = [
        sum(weight * part for weight, part in zip(row, xyz, strict=True)) for row in XYZ_TO_LINEAR_SRGB
    ]
    greatest = max(channels)
    if greatest <= 0.0:
        return (0.0, 0.0, 0.0)
    red, green, blue = (max(channel, 0.0) / greatest for channel in channels)
    return (red, green, blue)


def companded(linear: float) -> int:
    """The 8-bit sRGB value of one linear channel, 0 to 1 (IEC 61966-2-1, 5.2)."""
    bounded = min(max(linear, 0.0), 1.0)
    encoded = 12.92 * bounded if bounded <= 0.0031308 else 1.055 * bounded ** (1 / 2.4) - 0.055
    return round(255 * encoded)


def wavelength_rgb(wavelength_pm: int, brightness: float = 1.0) -> Rgb:
    """The pure colour of a wavelength in picometres; `brightness` scales it in linear light. Black if invisible."""
    red, green, blue = linear_srgb(wavelength_pm / 1_000)
    return (companded(red * brightness), companded(green * brightness), companded(blue * brightness))


def display_rgb(wavelength_pm: int) -> Rgb:
    """As `wavelength_rgb`, dimmed towards both ends of the spectrum, where the eye's sensitivity goes.

    V(λ) itself would leave half of the spectrum black on a screen, so brightness falls linearly from 1 at 420 and
    680 nm to `EDGE_BRIGHTNESS` at 380 and 780 nm: a choice of looks, not of physics.
    """
    nanometres = wavelength_pm / 1_000
    violet = (nanometres - 380) / 40
    red = (780 - nanometres) / 100
    share = min(max(min(violet, red), 0.0), 1.0)
    return wavelength_rgb(wavelength_pm, EDGE_BRIGHTNESS + (1 - EDGE_BRIGHTNESS) * share)


def hexadecimal(colour: Rgb) -> str:
    """`#rrggbb`."""
    return f"#{colour[0]:02x}{colour[1]:02x}{colour[2]:02x}"


def readable_on(background: Rgb) -> Rgb:
    """Black or white text, whichever has the greater contrast (WCAG 2 relative luminance) on that background."""
    parts = [value / 255 for value in background]
    linear = [part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in parts]
    luminance = 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]
    return (0, 0, 0) if (luminance + 0.05) ** 2 > 1.05 * 0.05 else (255, 255, 255)
