"""Ed25519 keys (RFC 8032) by libsodium, and the keys that are refused.

The acceptance rule for signatures is exactly what libsodium's `crypto_sign_open` accepts; there is no second verifier
on chain, because libraries differ on edge cases (reliability.md finding 5). On top of it, encodings of small-order
points and non-canonical encodings are refused wherever a key enters (`require_public_key`), so that no such key is
ever stored, listed in a genesis, or shown.
"""

from dataclasses import dataclass, field

from nacl.bindings import crypto_sign, crypto_sign_open, crypto_sign_seed_keypair
from nacl.exceptions import BadSignatureError

from ledger.errors import KeyRefused, SignatureInvalid

PUBLIC_KEY_BYTES = 32
SEED_BYTES = 32
SIGNATURE_BYTES = 64

FIELD_PRIME = 2**255 - 19
"""p of Curve25519 (RFC 7748, section 4.1)."""

CURVE_D = -121665 * pow(121666, -1, FIELD_PRIME) % FIELD_PRIME
"""d of the twisted Edwards curve -x² + y² = 1 + d·x²·y² (RFC 8032, section 5.1)."""

_SIGN_BIT = 1 << 255


def _square_roots(square: int) -> tuple[int, ...]:
    """Both square roots of `square` modulo p, least first; none when it is not a square (p = 5 mod 8)."""
    root = pow(square, (FIELD_PRIME + 3) >> 3, FIELD_PRIME)
    if root * root % FIELD_PRIME != square % FIELD_PRIME:
        root = root * pow(2, (FIELD_PRIME - 1) >> 2, FIELD_PRIME) % FIELD_PRIME
    if root * root % FIELD_PRIME != square % FIELD_PRIME:
        return ()
    return tuple(sorted((root, FIELD_PRIME - root)))


def _small_order_ordinates() -> tuple[int, ...]:
    """The y of the eight points of small order: 1 (order 1), -1 (2), 0 (4), and the two of order 8.

    A point of order 8 doubles to one of order 4, so x² = -y²; in the curve equation: d·y⁴ + 2·y² - 1 = 0.
    """
    ordinates = [1, FIELD_PRIME - 1, 0]
    inverse_d = pow(CURVE_D, -1, FIELD_PRIME)
    for root in _square_roots(1 + CURVE_D):
        ordinates.extend(_square_roots((root - 1) * inverse_d % FIELD_PRIME))
    return tuple(ordinates)


def _encodings(ordinate: int) -> tuple[bytes, bytes]:
    """The two 32-byte strings that spell `ordinate` (below 2²⁵⁵), without and with the sign bit of x."""
    return ordinate.to_bytes(32, "little"), (ordinate | _SIGN_BIT).to_bytes(32, "little")


SMALL_ORDER_ENCODINGS: frozenset[bytes] = frozenset(
    encoding
    for ordinate in _small_order_ordinates()
    for spelled in (ordinate, ordinate + FIELD_PRIME)
    if spelled < _SIGN_BIT
    for encoding in _encodings(spelled)
)
"""The 14 strings that decode to a point of order 1, 2, 4 or 8: seven y below 2²⁵⁵ (0 and 1 also as p and p + 1)."""

NON_CANONICAL_ENCODINGS: frozenset[bytes] = frozenset(
    encoding for ordinate in range(FIELD_PRIME, _SIGN_BIT) for encoding in _encodings(ordinate)
)
"""The 38 strings whose y is p or more: a second spelling of some point."""

_REFUSED = SMALL_ORDER_ENCODINGS | NON_CANONICAL_ENCODINGS


@dataclass(frozen=True, slots=True)
class KeyPair:
    """A signing key. The seed never appears in its text."""

    public_key: bytes
    """32 bytes."""
    seed: bytes = field(repr=False)
    """The 32 secret bytes of RFC 8032."""

    @classmethod
    def from_seed(cls, seed: bytes) -> "KeyPair":
        """The key of 32 secret bytes. Errors: `KeyRefused` for another length."""
        if len(seed) != SEED_BYTES:
            raise KeyRefused(f"a seed has {SEED_BYTES} bytes, found {len(seed)}")
        public_key, _ = crypto_sign_seed_keypair(seed)
        return cls(public_key, seed)

    def sign(self, message: bytes) -> bytes:
        """The detached signature over `message`: 64 bytes, deterministic."""
        signed: bytes = crypto_sign(message, self.seed + self.public_key)
        return signed[:SIGNATURE_BYTES]


def require_public_key(key: bytes) -> bytes:
    """`key`, when it is fit for use. Every place where a key enters calls this.

    Errors: `KeyRefused` for a wrong length, a small-order point or a non-canonical spelling. Whether the 32 bytes are
    a point at all is left to signature verification, which a string that is none can never pass.
    """
    if len(key) != PUBLIC_KEY_BYTES:
        raise KeyRefused(f"{len(key)} bytes, expected {PUBLIC_KEY_BYTES}")
    if key in _REFUSED:
        rule = "a point of small order" if key in SMALL_ORDER_ENCODINGS else "a non-canonical encoding"
        raise KeyRefused(f"{rule}; make a new key")
    return key


def verify(public_key: bytes, message: bytes, signature: bytes) -> None:
    """Accepts exactly what libsodium's detached verification accepts. Releases the GIL while it computes.

    Errors: `SignatureInvalid`.
    """
    # The lengths matter: libsodium reads 32 bytes from whatever the key argument points at.
    if len(public_key) != PUBLIC_KEY_BYTES or len(signature) != SIGNATURE_BYTES:
        raise SignatureInvalid
    try:
        crypto_sign_open(signature + message, public_key)
    except BadSignatureError:
        raise SignatureInvalid from None
