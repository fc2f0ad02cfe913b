"""What is wrong with a message that does not open: for the holder of the key, never for who sent it.

Changes of dimensions that carry nothing, of the lattice and of time are found to the frame, from the header alone.
Which of the carrying dimensions was changed takes a wave signature: sealed bits say nothing about themselves.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from wnsp.ciphers.carriers import Carrier, frame_count, silent_values
from wnsp.ciphers.errors import CannotOpen, CipherError, DimensionsDiffer, WaveSignatureInvalid
from wnsp.ciphers.header import Header
from wnsp.ciphers.photons import DIMENSIONS, LATTICE, TIME, PhotonFrames, off_lattice
from wnsp.ciphers.sealed_body import WaveMessage, whole_header
from wnsp.wave_signature import dimension_digests, verify_wave

MOST_FINDINGS = 64


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that is not as it was sealed."""

    part: str
    """A dimension's name, "header", "header or signer", "number of frames", "signature" or "key or context"."""
    frame: int | None
    """Where it is known."""
    text: str
    """For people."""


def examine(
    message: WaveMessage,
    opens: Callable[[WaveMessage], object],
    *,
    signer_key: bytes | None = None,
    signature: bytes | None = None,
) -> tuple[Finding, ...]:
    """What was changed, at most `MOST_FINDINGS`; nothing when the message opens and its signature holds.

    `opens` opens the message with the caller's key, and raises `CannotOpen`.
    """
    try:
        header = whole_header(message.header)
    except CipherError as error:
        return (Finding("header", None, str(error)),)
    findings = _in_frames(message, header)
    named = {finding.part for finding in findings}
    if signature is not None and signer_key is not None:
        try:
            verify_wave(signer_key, message.header, message.frames, signature)
        except DimensionsDiffer as error:
            findings += [
                Finding(name, None, f"{name} is not as it was signed")
                for name in error.dimensions
                if name not in named
            ]
        except WaveSignatureInvalid as error:
            findings.append(
                Finding(
                    "header or signer" if _digests_fit(message, signature) else "signature", None, str(error)
                )
            )
    try:
        opens(message)
    except CannotOpen:
        if not findings:
            findings = _sealed_part(header.carrier, signature is not None)
    return tuple(findings[:MOST_FINDINGS])


def _in_frames(message: WaveMessage, header: Header) -> list[Finding]:
    """What header and frames say without any key."""
    frames, carrier = message.frames, header.carrier
    findings = []
    expected = frame_count(carrier, header.body_length)
    if len(frames) != expected:
        text = f"the header's length needs {expected} frames, there are {len(frames)}"
        findings.append(Finding("number of frames", None, text))
    timely = True
    for dimension, name in enumerate(DIMENSIONS):
        for frame in _first(off_lattice(frames, dimension)):
            found = int(frames.columns[dimension, frame])
            findings.append(
                Finding(name, frame, f"{name} of frame {frame} is {found}, which is none of its values")
            )
            timely = timely and dimension != TIME
    wrong = {dimension: _wrong_steps(message.header, frames, dimension) for dimension in carrier.silent}
    if timely and wrong and all(2 * int(steps.sum()) > len(frames) for steps in wrong.values()):
        text = "most frames do not fit the header: it was changed, or the frames belong to another message"
        return [Finding("header", None, text), *findings]
    for dimension, steps in wrong.items():
        name = DIMENSIONS[dimension]
        findings += [
            Finding(name, frame, f"{name} of frame {frame} is not what the header gives it")
            for frame in _first(steps)
        ]
    return findings


def _wrong_steps(header: bytes, frames: PhotonFrames, dimension: int) -> NDArray[np.bool_]:
    """Frames whose silent dimension is on the lattice, but not where the header puts it: bool[frames]."""
    first, step, _ = LATTICE[dimension]
    steps = silent_values(header, dimension, len(frames)).astype(np.uint32)
    differs = frames.columns[dimension] != steps * np.uint32(step) + np.uint32(first)
    wrong: NDArray[np.bool_] = differs & ~off_lattice(frames, dimension)
    return wrong


def _first(wrong: NDArray[np.bool_]) -> list[int]:
    return [int(frame) for frame in np.flatnonzero(wrong)[:MOST_FINDINGS]]


def _digests_fit(message: WaveMessage, signature: bytes) -> bool:
    """Whether the signature's digests, good or not, are those of the frames: then it is the header that differs."""
    return signature[1:161] == b"".join(dimension_digests(message.frames))


def _sealed_part(carrier: Carrier, signed: bool) -> list[Finding]:
    """The frames fit the header, and the body does not open."""
    if signed:
        text = "the frames are as they were signed: this is another key, passphrase or context"
        return [Finding("key or context", None, text)]
    suspects = carrier.carrying if carrier.silent else ("header", *carrier.carrying)
    text = (
        f"the sealed bits do not open: {' or '.join(suspects)} was changed, or the key or context is another;"
        " a wave signature would tell"
    )
    return [Finding(part, None, text) for part in suspects]
