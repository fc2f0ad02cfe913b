"""Wavelength-native signalling: symbols, frames, envelopes, wave cryptography, pictures and the mesh. See README.md.

The protocol's public names can be imported from here; each is loaded when it is first asked for, so that consensus,
which needs the spectrum alone, pays for nothing else.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from wnsp.alphabet import WNSPWavelength as WNSPWavelength
    from wnsp.frame import WNSPFrame as WNSPFrame
    from wnsp.frame import decode_frame as decode_frame
    from wnsp.frame import encode_frame as encode_frame
    from wnsp.rendering.spectrum_picture import visualize_spectrum as visualize_spectrum

_HOMES: Final = {
    "WNSPWavelength": "wnsp.alphabet",
    "WNSPFrame": "wnsp.frame",
    "encode_frame": "wnsp.frame",
    "decode_frame": "wnsp.frame",
    "visualize_spectrum": "wnsp.rendering.spectrum_picture",
}


def __getattr__(name: str) -> object:
    """The public name, from the module that defines it."""
    if name not in _HOMES:
        raise AttributeError(f"module 'wnsp' has no attribute {name!r}")
    return getattr(import_module(_HOMES[name]), name)
