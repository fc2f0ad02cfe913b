"""What wnsp costs in time and bytes: `python tests/benchmarks/bench_wnsp.py`.

P11: a message to frames on the wire and back through the streaming decoder and the reassembler, in longest frames
and in Ethernet's; bytes to base-64 symbols and back. Then the streaming decoder under a flood of headers, each of which
claims 43 kB. Then the size on the wire of a message of 100 characters, signed, in a frame, beside the
original's recorded constant and beside a plain signed MessagePack with the same who, to whom, when and until when.
"""

import time
from collections.abc import Callable
from random import Random

import msgpack

from wnsp.alphabet import bytes_to_symbols, symbols_to_bytes
from wnsp.crc32c import crc32c
from wnsp.envelope import Envelope, sign_envelope
from wnsp.fragments import Reassembler, fragment
from wnsp.frame import MAX_FRAME_BYTES, WNSPFrame, encode_frame
from wnsp.identity import Identity
from wnsp.streaming import FrameDecoder

ORIGINAL_WIRE_BYTES = 13_288
"""The original's message of 100 characters on the wire: measured once, recorded."""

MESSAGE_BYTES = 500_000
ETHERNET_MTU = 1_400
ROUNDS = 25


def rate_mb_per_s(work: Callable[[], object], size_bytes: int, rounds: int = ROUNDS) -> float:
    """The best of some rounds, in megabytes of `size_bytes` per second of CPU: one thread, nothing to wait for."""
    best_s = float("inf")
    for _ in range(rounds):
        started = time.process_time()
        work()
        best_s = min(best_s, time.process_time() - started)
    return size_bytes / best_s / 1e6


def encoded(message: bytes, mtu: int) -> bytes:
    return b"".join([encode_frame(frame) for frame in fragment(message, mtu, 1)])


def decoded(wire: bytes) -> bytes | None:
    message = None
    reassembler = Reassembler()
    for item in FrameDecoder().feed(wire):
        if isinstance(item, WNSPFrame):
            message = reassembler.add(item, "neighbour", 0)
    return message


def wire_bytes(text: str) -> tuple[int, int]:
    """Bytes of `text` as envelope in one frame, and as a plain signed MessagePack."""
    sender, recipient = Identity.from_seed(b"s" * 32), Identity.from_seed(b"r" * 32)
    created, expiry = 10_000_000, 10_604_800
    raw = sign_envelope(
        Envelope(
            version=1,
            genesis=bytes(32),
            sender=sender.public_key,
            recipient=recipient.hash,
            created_slot=created,
            expiry_slot=expiry,
            region=2,
            modulation=0,
            scheme=0,
            parents=(),
            priority=1,
            payload=text.encode(),
        ),
        sender,
    )
    plain: bytes = msgpack.packb([sender.public_key, recipient.hash, created, expiry, text])
    signed: bytes = msgpack.packb([plain, sender.sign(plain)])
    return len(encoded(raw, MAX_FRAME_BYTES)), len(signed)


def run() -> dict[str, float]:
    """Print all figures and return them."""
    message = Random(1).randbytes(MESSAGE_BYTES)
    figures = {}
    for name, mtu in (("longest frames", MAX_FRAME_BYTES), ("frames of 1,400 bytes", ETHERNET_MTU)):
        wire = encoded(message, mtu)
        assert decoded(wire) == message
        figures[f"P11 encode, {name}, MB/s (goal >= 20)"] = rate_mb_per_s(
            lambda mtu=mtu: encoded(message, mtu),  # type: ignore[misc]
            MESSAGE_BYTES,
        )
        figures[f"P11 decode, {name}, MB/s (goal >= 20)"] = rate_mb_per_s(
            lambda wire=wire: decoded(wire),  # type: ignore[misc]
            MESSAGE_BYTES,
        )
    symbols = bytes_to_symbols(message)
    figures["P11 bytes to base-64 symbols, MB/s (goal >= 20)"] = rate_mb_per_s(
        lambda: bytes_to_symbols(message), MESSAGE_BYTES
    )
    figures["P11 base-64 symbols to bytes, MB/s (goal >= 20)"] = rate_mb_per_s(
        lambda: symbols_to_bytes(symbols), MESSAGE_BYTES
    )
    figures["CRC-32C, MB/s"] = rate_mb_per_s(lambda: crc32c(message), MESSAGE_BYTES)
    flood = b"\xab\x23" * 40_000
    figures["streaming decoder under a flood of headers, MB/s"] = rate_mb_per_s(
        lambda: FrameDecoder().feed(flood), len(flood), rounds=3
    )
    ours, plain = wire_bytes("x" * 100)
    figures["100 characters on the wire, bytes"] = ours
    figures["the original's, bytes (recorded)"] = ORIGINAL_WIRE_BYTES
    figures["a plain signed MessagePack's, bytes"] = plain
    figures["times smaller than the original"] = ORIGINAL_WIRE_BYTES / ours
    figures["times a plain signed MessagePack"] = ours / plain
    for figure, value in figures.items():
        print(f"{figure:>60} {value:10.2f}")
    return figures


if __name__ == "__main__":
    run()
