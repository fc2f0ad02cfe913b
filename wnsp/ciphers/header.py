"""The header of a wave message: public, and associated data of the seal, so that no bit of it can change.

Byte table: wnsp/CRYPTOGRAPHY.md, Header. There is one way only to write a header.
"""

from dataclasses import dataclass

from wnsp.ciphers.carriers import BY_NUMBER, Carrier, carrier_named
from wnsp.ciphers.errors import HeaderMalformed, PlaintextTooLong, WrongSize
from wnsp.ciphers.keys import NONCE_BYTES
from wnsp.ciphers.passphrase import COMMITMENT_BYTES, SALT_BYTES, PassphraseParameters, check_parameters

MAGIC = b"WN2"
FIXED_BYTES = 33
MAX_BODY_BYTES = 1 << 20
"""What one message may carry, sealed: a mebibyte is 2.8 million frames of the mode with the smallest ones."""

SHARED_KEY, PASSPHRASE, RECIPIENT = 0, 1, 2
"""How the key is agreed: 32 bytes that both have, a passphrase, or the recipient's prekey."""

HAS_EXPIRY, HAS_RECIPIENT, HAS_SENDER_HINT = 1, 2, 4

EXPIRY_BYTES = 8
IDENTITY_BYTES = 20
SENDER_HINT_BYTES = 8
PREKEY_ID_BYTES = 8
PASSPHRASE_BYTES = SALT_BYTES + 4 + 1 + 1 + COMMITMENT_BYTES


@dataclass(frozen=True, slots=True)
class Header:
    """All that is said in the clear."""

    mode: str
    nonce: bytes
    body_length: int
    """Bytes of the sealed body, its tag and (for a recipient) its encapsulated key included."""
    expiry: int | None = None
    """Slot after which the message is of no use; a field for the mesh, not a lock."""
    recipient: bytes | None = None
    """20-byte identity."""
    sender_hint: bytes | None = None
    """8 bytes that tell the recipient which key to try. Never in a message to a prekey: there the sender is sealed."""
    passphrase: PassphraseParameters | None = None
    commitment: bytes | None = None
    prekey_id: bytes | None = None

    @property
    def protection(self) -> int:
        """`SHARED_KEY`, `PASSPHRASE` or `RECIPIENT`."""
        if self.passphrase is not None:
            return PASSPHRASE
        return SHARED_KEY if self.prekey_id is None else RECIPIENT

    @property
    def carrier(self) -> Carrier:
        """The mode's carrier."""
        return carrier_named(self.mode)


def encode_header(header: Header) -> bytes:
    """The header's bytes. Raises `ModeUnknown`, `PlaintextTooLong`, `WrongSize`, `KeyParametersOutOfBounds`."""
    if not 0 <= header.body_length <= MAX_BODY_BYTES:
        raise PlaintextTooLong(header.body_length, MAX_BODY_BYTES)
    flags = 0
    optional = b""
    if header.expiry is not None:
        if not 0 <= header.expiry < 1 << 64:
            raise HeaderMalformed("expiry", "a slot of 64 bits", header.expiry)
        flags |= HAS_EXPIRY
        optional += header.expiry.to_bytes(EXPIRY_BYTES, "big")
    if header.recipient is not None:
        flags |= HAS_RECIPIENT
        optional += _sized("recipient", header.recipient, IDENTITY_BYTES)
    if header.sender_hint is not None:
        flags |= HAS_SENDER_HINT
        optional += _sized("sender hint", header.sender_hint, SENDER_HINT_BYTES)
    if header.passphrase is not None:
        check_parameters(header.passphrase)
        parameters = header.passphrase
        optional += parameters.salt + parameters.memory_kib.to_bytes(4, "big")
        optional += bytes((parameters.passes, parameters.lanes))
        optional += _sized("commitment", header.commitment or b"", COMMITMENT_BYTES)
    if header.prekey_id is not None:
        if header.recipient is None or header.sender_hint is not None or header.passphrase is not None:
            raise HeaderMalformed(
                "prekey id", "a recipient, no sender hint, no passphrase", "another profile"
            )
        optional += _sized("prekey id", header.prekey_id, PREKEY_ID_BYTES)
    return (
        MAGIC
        + bytes((carrier_named(header.mode).number,))
        + _sized("nonce", header.nonce, NONCE_BYTES)
        + header.body_length.to_bytes(4, "big")
        + bytes((header.protection << 4 | flags,))
        + optional
    )


def decode_header(data: bytes) -> tuple[Header, int]:
    """The header at the beginning of `data`, and how many bytes it takes.

    Raises `HeaderMalformed`, `KeyParametersOutOfBounds`.
    """
    if len(data) < FIXED_BYTES:
        raise HeaderMalformed("length", f"{FIXED_BYTES} bytes or more", len(data))
    if data[:3] != MAGIC:
        raise HeaderMalformed("magic", MAGIC.hex(), data[:3].hex())
    carrier = BY_NUMBER.get(data[3])
    if carrier is None:
        raise HeaderMalformed("mode", "1 to 4", data[3])
    body_length = int.from_bytes(data[28:32], "big")
    if body_length > MAX_BODY_BYTES:
        raise HeaderMalformed("body length", f"at most {MAX_BODY_BYTES}", body_length)
    protection, flags = data[32] >> 4, data[32] & 15
    if protection > RECIPIENT or flags > 7:
        raise HeaderMalformed("profile", "protection 0 to 2, flags 0 to 7", data[32])
    if protection == RECIPIENT and flags & (HAS_RECIPIENT | HAS_SENDER_HINT) != HAS_RECIPIENT:
        raise HeaderMalformed("flags", "a recipient and no sender hint", flags)
    sizes = (
        EXPIRY_BYTES if flags & HAS_EXPIRY else 0,
        IDENTITY_BYTES if flags & HAS_RECIPIENT else 0,
        SENDER_HINT_BYTES if flags & HAS_SENDER_HINT else 0,
        (0, PASSPHRASE_BYTES, PREKEY_ID_BYTES)[protection],
    )
    end = FIXED_BYTES + sum(sizes)
    if len(data) < end:
        raise HeaderMalformed("length", f"{end} bytes", len(data))
    fields = []
    start = FIXED_BYTES
    for size in sizes:
        fields.append(data[start : start + size])
        start += size
    expiry, recipient, sender_hint, profile = fields
    parameters = None
    if protection == PASSPHRASE:
        parameters = PassphraseParameters(
            salt=profile[:SALT_BYTES],
            memory_kib=int.from_bytes(profile[SALT_BYTES : SALT_BYTES + 4], "big"),
            passes=profile[SALT_BYTES + 4],
            lanes=profile[SALT_BYTES + 5],
        )
        check_parameters(parameters)
    header = Header(
        mode=carrier.name,
        nonce=data[4:28],
        body_length=body_length,
        expiry=int.from_bytes(expiry, "big") if expiry else None,
        recipient=recipient or None,
        sender_hint=sender_hint or None,
        passphrase=parameters,
        commitment=profile[SALT_BYTES + 6 :] if protection == PASSPHRASE else None,
        prekey_id=profile if protection == RECIPIENT else None,
    )
    return header, end


def _sized(what: str, value: bytes, size: int) -> bytes:
    if len(value) != size:
        raise WrongSize(what, size, len(value))
    return value
