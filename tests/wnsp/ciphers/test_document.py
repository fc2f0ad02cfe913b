"""The worked example of wnsp/CRYPTOGRAPHY.md is what the code does."""

import re
from pathlib import Path

from wnsp.ciphers.carriers import CARRIERS, frame_count
from wnsp.ciphers.keys import message_key
from wnsp.ciphers.photons import PhotonFrames
from wnsp.ciphers.sealed_body import WaveMessage, encode_message, open_sealed, seal
from wnsp.wave_digest import FIRST, energy_uev, wave_digest

DOCUMENT = (Path(__file__).parents[3] / "wnsp" / "CRYPTOGRAPHY.md").read_text(encoding="utf-8")
EXAMPLE = DOCUMENT.split("## Worked example")[1].split("## What must hold")[0]
FIGURES = dict(re.findall(r"^    ([a-zA-Zµ ]+): ([0-9a-f]+)$", EXAMPLE, re.MULTILINE))
ROWS = [
    tuple(int(cell) for cell in row)
    for row in re.findall(r"^\| (\d+) \| (\d+) \| (\d+) \| (\d+) \| (\d+) \|$", EXAMPLE, re.MULTILINE)
]
KEY, NONCE = bytes(range(32)), bytes(range(0x64, 0x7C))


def test_the_example_is_sealed_as_written() -> None:
    message = seal(KEY, b"Hi", "QIML", lambda size: NONCE)
    key, nonce = message_key(KEY, NONCE, "QIML")
    digest = wave_digest(FIRST, message.header, message.frames)
    assert {
        "header": message.header.hex(),
        "message key": key.hex(),
        "cipher nonce": nonce.hex(),
        "sealed body": encode_message(message)[len(message.header) :].hex(),
        "wave digest": digest.hex(),
        "energy in µeV": str(energy_uev(message.frames)),
    } == FIGURES
    assert [tuple(frame) for frame in message.frames] == ROWS


def test_the_frames_of_the_table_open() -> None:
    frames = PhotonFrames.from_frames(ROWS)  # type: ignore[arg-type]
    assert open_sealed(KEY, WaveMessage(bytes.fromhex(FIGURES["header"]), frames)) == b"Hi"


def test_the_table_of_modes_is_that_of_the_code() -> None:
    rows = re.findall(
        r"^\| (FSE|AME|PME|QIML), [a-z -]+ \| (\d) \| .* \| (\d+) \| ([\d,]+) \|$", DOCUMENT, re.MULTILINE
    )
    assert [
        (name, int(number), int(bits), int(frames.replace(",", ""))) for name, number, bits, frames in rows
    ] == [
        (carrier.name, carrier.number, carrier.bits_per_frame, frame_count(carrier, 10_016))
        for carrier in CARRIERS
    ]
