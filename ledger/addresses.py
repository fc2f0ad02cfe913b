"""Addresses: 20 bytes of a tagged hash, shown in bech32m (BIP-350) with a prefix per network.

20 bytes are exactly 32 characters of 5 bits, so there is no padding; with prefix, separator and six characters of
checksum a devnet address has 43 characters. Two typos are always found, one is located.
"""

from ledger.errors import AddressMalformed
from ledger.hashing import digest, tagged
from ledger.keys import require_public_key

ADDRESS_BYTES = 20

NETWORK_OF_PREFIX = {"nxt": "main", "tnxt": "testnet", "dnxt": "devnet"}
"""The prefixes in use. A devnet on the fast preset shares `dnxt`."""

_KEY_TAG = tagged("nexus/address/v1")
_SYSTEM_TAG = tagged("nexus/system-account/v1")
_POOL_TAG = tagged("nexus/pool/v1")
_TOKEN_TAG = tagged("nexus/token/v1")

POOL_MARK = b"\x00pool\x00"
"""Addresses of the exchange's pools begin with this, so that payments to them are refused without asking the state: a
donation would move prices. A user's address begins so once in 2^48; nobody can pay to it: its owner takes another."""

NXT_ASSET = bytes(ADDRESS_BYTES)
"""NXT among the assets that a pool holds; every other asset is a token's id."""

_ALPHABET = "qpzry9x8gf2tvdw0s3jn54khce6mua7l"
_VALUE_OF = {character: value for value, character in enumerate(_ALPHABET)}
_GENERATOR = (0x3B6A57B2, 0x26508E6D, 0x1EA119FA, 0x3D4233DD, 0x2A1462B3)
_BECH32M_CONSTANT = 0x2BC830A3
_CHECKSUM_CHARACTERS = 6
_DATA_CHARACTERS = ADDRESS_BYTES * 8 // 5


def address_of(public_key: bytes) -> bytes:
    """The 20-byte address of a 32-byte key that `require_public_key` has passed."""
    return digest(_KEY_TAG, public_key)[:ADDRESS_BYTES]


def checked_address_of(public_key: bytes) -> bytes:
    """`address_of` for a key from outside. Errors: `KeyRefused`."""
    return address_of(require_public_key(public_key))


def system_address(name: str) -> bytes:
    """The 20-byte address of a system account; no key hashes to it, as the domain tag differs."""
    return digest(_SYSTEM_TAG, name.encode("ascii"))[:ADDRESS_BYTES]


def pool_address(first: bytes, second: bytes) -> bytes:
    """The 20-byte address of the pool of two assets of 20 bytes, `first` the lesser; no key signs for it."""
    return POOL_MARK + digest(_POOL_TAG, first, second)[: ADDRESS_BYTES - len(POOL_MARK)]


def is_pool_address(address: bytes) -> bool:
    """Whether only a pool of the exchange can be there."""
    return address.startswith(POOL_MARK)


def token_id(creator: bytes, nonce: int) -> bytes:
    """The 20-byte id of the token that the address `creator` creates in its transaction `nonce`."""
    return digest(_TOKEN_TAG, creator, nonce.to_bytes(8, "big"))[:ADDRESS_BYTES]


def _polymod(values: list[int]) -> int:
    """The BCH remainder of BIP-173, 30 bits."""
    remainder = 1
    for value in values:
        top = remainder >> 25
        remainder = (remainder & 0x1FFFFFF) << 5 ^ value
        for bit, coefficient in enumerate(_GENERATOR):
            if top >> bit & 1:
                remainder ^= coefficient
    return remainder


def _expanded(prefix: str) -> list[int]:
    """The prefix as BIP-173 feeds it to the checksum."""
    codes = prefix.encode("ascii")
    return [code >> 5 for code in codes] + [0] + [code & 31 for code in codes]


def encode_address(prefix: str, address: bytes) -> str:
    """Bech32m text of a 20-byte address under a network's prefix. Errors: `AddressMalformed` for another length."""
    if len(address) != ADDRESS_BYTES:
        raise AddressMalformed(address.hex(), f"{len(address)} bytes, expected {ADDRESS_BYTES}")
    number = int.from_bytes(address, "big")
    values = [number >> 5 * place & 31 for place in range(_DATA_CHARACTERS - 1, -1, -1)]
    remainder = _polymod(_expanded(prefix) + values + [0] * _CHECKSUM_CHARACTERS) ^ _BECH32M_CONSTANT
    checksum = [remainder >> 5 * place & 31 for place in range(_CHECKSUM_CHARACTERS - 1, -1, -1)]
    return prefix + "1" + "".join(_ALPHABET[value] for value in values + checksum)


def decode_address(prefix: str, text: str) -> bytes:
    """The 20 bytes of an address of the network with `prefix`. All lower or all upper case.

    Errors: `AddressMalformed`, which names the wrong character and its position (from 1) where they can be known:
    another network's prefix, a character that bech32 does not use, mixed case, a length, one substituted character.
    """
    lowered = _one_case(text)
    head, separator, data = lowered.rpartition("1")
    if not separator:
        raise AddressMalformed(text, f"there is no '1' after the prefix; expected {prefix}1…")
    if head != prefix:
        raise AddressMalformed(text, _prefix_fault(prefix, head))
    for position, character in enumerate(data, start=len(head) + 2):
        if character not in _VALUE_OF:
            raise AddressMalformed(text, f"character {position} is {character!r}, which addresses never use")
    expected = _DATA_CHARACTERS + _CHECKSUM_CHARACTERS
    if len(data) != expected:
        raise AddressMalformed(text, f"{len(data)} characters after '{prefix}1', expected {expected}")
    values = [_VALUE_OF[character] for character in data]
    if _polymod(_expanded(prefix) + values) != _BECH32M_CONSTANT:
        raise AddressMalformed(text, _checksum_fault(prefix, values, lowered))
    number = 0
    for value in values[:_DATA_CHARACTERS]:
        number = number << 5 | value
    return number.to_bytes(ADDRESS_BYTES, "big")


def _one_case(text: str) -> str:
    """`text` in lower case. Errors: `AddressMalformed` for foreign characters, mixed case, or more than 90."""
    if len(text) > 90:
        raise AddressMalformed(text, f"{len(text)} characters, at most 90 are allowed")
    for position, character in enumerate(text, start=1):
        if not "!" <= character <= "~":
            raise AddressMalformed(text, f"character {position} is {character!r}, which addresses never use")
    lowered = text.lower()
    if text not in (lowered, text.upper()):
        upper = next(position for position, character in enumerate(text, start=1) if character.isupper())
        lower = next(position for position, character in enumerate(text, start=1) if character.islower())
        raise AddressMalformed(
            text, f"upper and lower case are mixed (characters {min(upper, lower)} and {max(upper, lower)})"
        )
    return lowered


def _prefix_fault(expected: str, found: str) -> str:
    """Says whose prefix it is, or what is wrong with it."""
    network = NETWORK_OF_PREFIX.get(found)
    if network is not None:
        own = NETWORK_OF_PREFIX.get(expected, "this network")
        return f"it belongs to {network} ({found}1…), expected {own} ({expected}1…)"
    if len(found) == len(expected):
        position, wrong = next(
            (place + 1, character)
            for place, (character, right) in enumerate(zip(found, expected, strict=True))
            if character != right
        )
        return f"character {position} is {wrong!r}, expected {expected[position - 1]!r} of the prefix {expected}1"
    return f"it begins with '{found}1', expected '{expected}1'"


def _checksum_fault(prefix: str, values: list[int], text: str) -> str:
    """Locates a single substituted character: the code's distance of 5 makes the place unique.

    The right character is deliberately not offered (BIP-173): the user must look at the source again.
    """
    expanded = _expanded(prefix)
    for place, found in enumerate(values):
        for value in range(32):
            candidate = [*values[:place], value, *values[place + 1 :]]
            if value != found and _polymod(expanded + candidate) == _BECH32M_CONSTANT:
                position = len(prefix) + 2 + place
                return f"character {position} ({text[position - 1]!r}) is mistyped"
    return "the checksum does not match: at least two characters are mistyped, missing or swapped"
