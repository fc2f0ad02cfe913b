"""tests/vectors/wnsp.json, which other languages check themselves against: every entry, both ways."""

import json
from pathlib import Path
from typing import Any

import msgspec
import pytest

from wnsp.alphabet import (
    WNSPWavelength,
    alphabet_of,
    bytes_to_symbols,
    encode_text,
    symbols_to_bytes,
    wavelengths_pm,
)
from wnsp.crc32c import crc32c, crc32c_reference
from wnsp.envelope import Envelope, anonymous_envelope, envelope_context, open_envelope, sign_envelope
from wnsp.errors import WnspError
from wnsp.fragments import Reassembler, fragment
from wnsp.frame import WNSPFrame, decode_frame, encode_frame
from wnsp.identity import Identity
from wnsp.streaming import FrameDecoder

VECTORS: dict[str, Any] = json.loads(
    (Path(__file__).resolve().parents[1] / "vectors" / "wnsp.json").read_text(encoding="utf-8")
)


def _frame(fields: dict[str, Any]) -> WNSPFrame:
    return WNSPFrame(**{**fields, "payload": bytes.fromhex(fields["payload"])})


def _envelope(fields: dict[str, Any]) -> Envelope:
    return Envelope(
        **{
            name: bytes.fromhex(value) if isinstance(value, str) else value
            for name, value in fields.items()
            if name != "parents"
        },
        parents=tuple(bytes.fromhex(parent) for parent in fields["parents"]),
    )


def _rejected(decode: Any, raw: bytes) -> str:
    with pytest.raises(WnspError) as caught:
        decode(raw)
    return caught.value.code


@pytest.mark.parametrize("vector", VECTORS["crc32c"], ids=lambda vector: vector["data"][:16])
def test_checksums(vector: dict[str, Any]) -> None:
    data = bytes.fromhex(vector["data"])
    assert crc32c(data) == crc32c_reference(data) == int(vector["checksum"], 16)


@pytest.mark.parametrize("vector", VECTORS["alphabets"], ids=lambda vector: vector["version"])
def test_alphabets(vector: dict[str, Any]) -> None:
    version = vector["version"]
    assert "".join(character for character, _ in vector["wavelengths_pm"]) == alphabet_of(version).characters
    for character, wavelength_pm in vector["wavelengths_pm"]:
        assert WNSPWavelength.of_character(character, version).wavelength_pm == wavelength_pm
        assert WNSPWavelength.at(wavelength_pm, version).character == character


@pytest.mark.parametrize("vector", VECTORS["texts"], ids=lambda vector: vector["text"])
def test_texts(vector: dict[str, Any]) -> None:
    symbols = encode_text(vector["text"], vector["version"])
    assert list(symbols) == vector["symbols"]
    assert list(wavelengths_pm(symbols, vector["version"])) == vector["wavelengths_pm"]


@pytest.mark.parametrize("vector", VECTORS["base64"], ids=lambda vector: vector["data"])
def test_bytes_as_symbols(vector: dict[str, Any]) -> None:
    data = bytes.fromhex(vector["data"])
    assert list(bytes_to_symbols(data)) == vector["symbols"]
    assert symbols_to_bytes(bytes(vector["symbols"])) == data


@pytest.mark.parametrize("vector", VECTORS["base64_refused"], ids=str)
def test_symbols_that_are_no_bytes(vector: dict[str, Any]) -> None:
    assert _rejected(symbols_to_bytes, bytes(vector["symbols"])) == vector["error"]


@pytest.mark.parametrize("vector", VECTORS["frames"], ids=lambda vector: vector["name"])
def test_frames(vector: dict[str, Any]) -> None:
    raw = bytes.fromhex(vector["frame"])
    assert decode_frame(raw) == _frame(vector["fields"])
    assert encode_frame(_frame(vector["fields"])) == raw


@pytest.mark.parametrize("vector", VECTORS["frames_refused"], ids=lambda vector: vector["name"])
def test_bytes_that_are_no_frame(vector: dict[str, Any]) -> None:
    assert _rejected(decode_frame, bytes.fromhex(vector["frame"])) == vector["error"]


def test_a_stream() -> None:
    vector = VECTORS["stream"]
    decoder = FrameDecoder()
    found = [*decoder.feed(bytes.fromhex(vector["bytes"])), *decoder.finish()]
    assert [
        {"frame": encode_frame(item).hex()}
        if isinstance(item, WNSPFrame)
        else {"garbage": [item.offset, item.length]}
        for item in found
    ] == vector["found"]


def test_fragments() -> None:
    vector = VECTORS["fragments"]
    message = bytes.fromhex(vector["message"])
    frames = fragment(message, vector["mtu"], vector["sequence"], region=vector["region"])
    assert [encode_frame(frame).hex() for frame in frames] == vector["frames"]
    reassembler = Reassembler()
    assert [reassembler.add(frame, "a", 0) for frame in frames][-1] == message


@pytest.mark.parametrize("vector", VECTORS["identities"], ids=lambda vector: vector["seed"][:8])
def test_identities(vector: dict[str, Any]) -> None:
    identity = Identity.from_seed(bytes.fromhex(vector["seed"]))
    assert (identity.public_key.hex(), identity.hash.hex()) == (vector["public_key"], vector["hash"])


@pytest.mark.parametrize("vector", VECTORS["envelopes"], ids=lambda vector: vector["name"])
def test_envelopes(vector: dict[str, Any]) -> None:
    raw = bytes.fromhex(vector["bytes"])
    envelope = _envelope(vector["fields"])
    opened = open_envelope(raw, envelope.genesis)
    assert (opened.envelope, opened.id.hex()) == (envelope, vector["id"])
    assert envelope_context(envelope).hex() == vector["context"]
    if vector["seed"] is None:
        assert anonymous_envelope(envelope) == raw
    else:
        assert sign_envelope(envelope, Identity.from_seed(bytes.fromhex(vector["seed"]))) == raw


@pytest.mark.parametrize("vector", VECTORS["envelopes_refused"], ids=lambda vector: vector["name"])
def test_bytes_that_are_no_envelope(vector: dict[str, Any]) -> None:
    assert _rejected(open_envelope, bytes.fromhex(vector["bytes"])) == vector["error"]


def test_every_field_of_an_envelope_is_in_the_vectors() -> None:
    assert set(VECTORS["envelopes"][0]["fields"]) == set(
        msgspec.structs.asdict(_envelope(VECTORS["envelopes"][0]["fields"]))
    )
