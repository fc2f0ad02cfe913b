"""The transaction envelope: its bytes, its id, what its key signs.

One decoder, strict and of fixed depth: the payload is bytes here, and the payload's own kind decodes them. Because a
decoded envelope is canonical, the signed preimage is cut out of the raw bytes instead of being encoded again; README.md
(Transactions) gives the byte table and the proof.
"""

from functools import lru_cache
from typing import Annotated, Any, Protocol

import msgspec

from ledger.addresses import address_of, checked_address_of
from ledger.encoding import Codec, Count, Hash32, Record, Signature64
from ledger.errors import UnknownVersion
from ledger.hashing import digest, signing_preimage, tagged
from ledger.keys import SIGNATURE_BYTES, KeyPair, require_public_key
from ledger.rules import ChainRules, minimum_fee

TRANSACTION_VERSION = 1
MAX_TRANSACTION_BYTES = 16 * 1024
MAX_PAYLOAD_BYTES = 15 * 1024
MAX_CHAIN_ID_BYTES = 32

_ID_TAG = tagged("nexus/transaction-id/v1")
_SIGNING_TAG = tagged("nexus/transaction/v1")

ChainId = Annotated[str, msgspec.Meta(min_length=1, max_length=MAX_CHAIN_ID_BYTES)]
Payload = Annotated[bytes, msgspec.Meta(max_length=MAX_PAYLOAD_BYTES)]


class Transaction(Record, frozen=True):
    """The envelope's fields in their order on the wire."""

    version: Count
    chain_id: ChainId
    sender_key: Hash32
    nonce: Count
    expiry_slot: Count
    """Last slot of an accepting chain block that may still apply it."""
    fee: Count
    """Units."""
    kind: Count
    payload: Payload
    """Canonical bytes of the kind's payload record."""
    signature: Signature64


class UnsignedTransaction(Record, frozen=True):
    """What is signed: all fields of `Transaction` but the signature."""

    version: Count
    chain_id: ChainId
    sender_key: Hash32
    nonce: Count
    expiry_slot: Count
    fee: Count
    kind: Count
    payload: Payload


TRANSACTION_CODEC = Codec(Transaction, "transaction", MAX_TRANSACTION_BYTES)
UNSIGNED_CODEC = Codec(UnsignedTransaction, "unsigned transaction", MAX_TRANSACTION_BYTES)

_REMEMBERED_SENDERS = 16_384
"""Addresses of recent senders' keys: at most 3 MiB, and a pure function of the key."""

_UNSIGNED_HEADER = b"\x98"
"""MessagePack's header of an array of eight; the envelope's is 0x99."""
_SIGNATURE_ON_WIRE = 2 + SIGNATURE_BYTES
"""bin 8 header, length, 64 bytes: always the envelope's tail."""


class SignedTransaction(msgspec.Struct, frozen=True, gc=False):
    """A decoded transaction together with what follows from its bytes. Its signature may not be verified yet."""

    raw: bytes
    id: bytes
    """32 bytes, over `raw` including the signature."""
    body: Transaction
    sender: bytes
    """20-byte address of the sender's key."""
    payload: Any
    """The kind's record."""


class PayloadKind(Protocol):
    """What the envelope needs to know of a kind (`ledger.registry.Kind`)."""

    @property
    def number(self) -> int:
        """Its number on the wire."""
        ...

    @property
    def payload_codec(self) -> Codec[Any]:
        """Codec of its payload record."""
        ...

    def touches(self, payload: Any, /) -> int:
        """Records beside the sender's account that the payload may touch."""
        ...


class PayloadKinds(Protocol):
    """What the envelope needs to know of a registry (`ledger.registry.KindRegistry`)."""

    def kind(self, number: int) -> PayloadKind:
        """The kind with this number. Errors: `UnknownKind`."""
        ...


def transaction_id(raw: bytes) -> bytes:
    """32 bytes over the whole signed encoding."""
    return digest(_ID_TAG, raw)


@lru_cache(maxsize=_REMEMBERED_SENDERS)
def _sender(key: bytes) -> bytes:
    """`checked_address_of`, remembered: senders come back, and this is a fifth of the cost of decoding."""
    return checked_address_of(key)


def decode_transaction(raw: bytes, registry: PayloadKinds) -> SignedTransaction:
    """The transaction in `raw`, at most 16 KiB. Judges form only: no signature, chain, fee or state.

    Errors: `Oversized`, `Malformed`, `NotCanonical`, `KeyRefused` (all `CodecError`); `UnknownVersion`, `UnknownKind`
    (both `InvalidTransaction`).
    """
    body = TRANSACTION_CODEC.decode(raw)
    if body.version != TRANSACTION_VERSION:
        raise UnknownVersion(body.version, TRANSACTION_VERSION)
    payload = registry.kind(body.kind).payload_codec.decode(body.payload)
    return SignedTransaction(raw, digest(_ID_TAG, raw), body, _sender(body.sender_key), payload)


def transaction_preimage(transaction: SignedTransaction, rules: ChainRules) -> bytes:
    """The bytes that the sender's key signs: tag, genesis hash, canonical array of the fields before the signature."""
    return signing_preimage(
        _SIGNING_TAG, rules.genesis_hash, _UNSIGNED_HEADER + transaction.raw[1:-_SIGNATURE_ON_WIRE]
    )


def sign_transaction(
    key: KeyPair,
    rules: ChainRules,
    *,
    nonce: int,
    expiry_slot: int,
    fee: int | None,
    kind: PayloadKind,
    payload_record: Any,
) -> SignedTransaction:
    """A transaction of `kind`, signed for the chain of `rules`. `fee` None means the least fee for its size.

    Errors: `CodecError` for values that the records do not allow, `KeyRefused`.
    """
    payload = kind.payload_codec.encode(payload_record)
    unsigned = UnsignedTransaction(
        TRANSACTION_VERSION,
        rules.chain_id,
        require_public_key(key.public_key),
        nonce,
        expiry_slot,
        0 if fee is None else fee,
        kind.number,
        payload,
    )
    if fee is None:
        unsigned = _with_least_fee(unsigned, rules, kind.touches(payload_record))
    canonical = UNSIGNED_CODEC.encode(unsigned)
    signature = key.sign(signing_preimage(_SIGNING_TAG, rules.genesis_hash, canonical))
    body = Transaction(
        version=unsigned.version,
        chain_id=unsigned.chain_id,
        sender_key=unsigned.sender_key,
        nonce=unsigned.nonce,
        expiry_slot=unsigned.expiry_slot,
        fee=unsigned.fee,
        kind=unsigned.kind,
        payload=unsigned.payload,
        signature=signature,
    )
    raw = TRANSACTION_CODEC.encode(body)
    TRANSACTION_CODEC.decode(raw)  # the encoder does not look at the fields' bounds
    checked_payload = kind.payload_codec.decode(payload)
    return SignedTransaction(raw, transaction_id(raw), body, address_of(key.public_key), checked_payload)


def _with_least_fee(unsigned: UnsignedTransaction, rules: ChainRules, touches: int) -> UnsignedTransaction:
    """The same with the least fee. A larger fee can make the encoding longer, by at most 8 bytes, so this ends."""
    while True:
        size = len(UNSIGNED_CODEC.encode(unsigned)) + _SIGNATURE_ON_WIRE
        least = minimum_fee(rules, size, touches)
        if unsigned.fee >= least:
            return unsigned
        unsigned = msgspec.structs.replace(unsigned, fee=least)
