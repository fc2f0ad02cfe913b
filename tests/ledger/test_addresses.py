"""Bech32m addresses: BIP-350's vectors, round trips, and what a mistyped one is told."""

from random import Random

import pytest

from ledger.addresses import (
    _ALPHABET,
    _BECH32M_CONSTANT,
    NETWORK_OF_PREFIX,
    _expanded,
    _polymod,
    address_of,
    decode_address,
    encode_address,
    system_address,
)
from ledger.errors import AddressMalformed

ADDRESS = bytes(range(20))
TEXT = encode_address("dnxt", ADDRESS)

BIP_350_VALID = (
    "a1lqfn3a",
    "an83characterlonghumanreadablepartthatcontainsthetheexcludedcharactersbioandnumber11sg7hg6",
    "abcdef1l7aum6echk45nj3s0wdvt2fg8x9yrzpqzd3ryx",
    "11" + "l" * 82 + "ludsr8",
    "split1checkupstagehandshakeupstreamerranterredcaperredlc445v",
    "?1v759aa",
)


@pytest.mark.parametrize("text", BIP_350_VALID)
def test_checksum_accepts_the_vectors_of_bip_350(text: str) -> None:
    prefix, _, data = text.rpartition("1")
    assert (
        _polymod(_expanded(prefix) + [_ALPHABET.index(character) for character in data]) == _BECH32M_CONSTANT
    )


@pytest.mark.parametrize("prefix", sorted(NETWORK_OF_PREFIX))
def test_every_address_comes_back(prefix: str) -> None:
    rng = Random(2)
    for _ in range(100):
        address = rng.randbytes(20)
        text = encode_address(prefix, address)
        assert text.startswith(prefix + "1")
        assert decode_address(prefix, text) == address
        assert decode_address(prefix, text.upper()) == address


def test_devnet_address_has_43_characters() -> None:
    assert len(TEXT) == 43


def test_known_address_keeps_its_spelling() -> None:
    assert TEXT == "dnxt1qqqsyqcyq5rqwzqfpg9scrgwpugpzysn2ywgyf"


def test_system_address_differs_from_the_address_of_equal_bytes() -> None:
    assert system_address("FEES") != address_of(b"FEES".ljust(32, b"\0"))


@pytest.mark.parametrize(
    ("text", "network"),
    [(encode_address("tnxt", ADDRESS), "testnet"), (encode_address("nxt", ADDRESS), "main")],
)
def test_address_of_another_network_names_that_network(text: str, network: str) -> None:
    with pytest.raises(AddressMalformed, match=f"belongs to {network}.*expected devnet"):
        decode_address("dnxt", text)


def test_mistyped_prefix_names_the_character() -> None:
    with pytest.raises(AddressMalformed, match="character 2 is 'm', expected 'n'"):
        decode_address("dnxt", "dmxt" + TEXT[4:])


@pytest.mark.parametrize("character", ["b", "i", "o"])
def test_character_outside_the_alphabet_is_named_with_its_position(character: str) -> None:
    with pytest.raises(AddressMalformed, match=f"character 20 is '{character}'"):
        decode_address("dnxt", TEXT[:19] + character + TEXT[20:])


@pytest.mark.parametrize("character", [" ", "é", "\x00", "١"])
def test_character_outside_ascii_is_named_with_its_position(character: str) -> None:
    with pytest.raises(AddressMalformed, match="character 20 is"):
        decode_address("dnxt", TEXT[:19] + character + TEXT[20:])


def test_mixed_case_is_refused_and_both_places_are_named() -> None:
    with pytest.raises(AddressMalformed, match=r"mixed \(characters 1 and 10\)"):
        decode_address("dnxt", TEXT[:9] + TEXT[9:].replace(TEXT[9], TEXT[9].upper(), 1))


def test_every_single_substitution_is_located() -> None:
    rng = Random(3)
    for position in range(6, len(TEXT) + 1):
        wrong = rng.choice([character for character in _ALPHABET if character != TEXT[position - 1]])
        mistyped = TEXT[: position - 1] + wrong + TEXT[position:]
        with pytest.raises(AddressMalformed, match=rf"character {position} \('{wrong}'\) is mistyped"):
            decode_address("dnxt", mistyped)


def test_the_right_character_is_not_offered() -> None:
    wrong = TEXT[:10] + ("q" if TEXT[10] != "q" else "p") + TEXT[11:]
    with pytest.raises(AddressMalformed) as caught:
        decode_address("dnxt", wrong)
    assert TEXT not in str(caught.value)


def test_two_swapped_characters_fail_the_checksum() -> None:
    place = next(place for place in range(6, 40) if TEXT[place] != TEXT[place + 1])
    swapped = TEXT[:place] + TEXT[place + 1] + TEXT[place] + TEXT[place + 2 :]
    with pytest.raises(AddressMalformed, match="at least two characters"):
        decode_address("dnxt", swapped)


@pytest.mark.parametrize(
    "text", ["", "1", "dnxt", "dnxt1", TEXT[:-1], TEXT + "q", "q" * 91, "dnxt1" + "q" * 38]
)
def test_shapeless_text_is_malformed(text: str) -> None:
    with pytest.raises(AddressMalformed):
        decode_address("dnxt", text)


def test_bech32_without_m_is_refused() -> None:
    values = [_ALPHABET.index(character) for character in TEXT[5:-6]]
    remainder = _polymod(_expanded("dnxt") + values + [0] * 6) ^ 1
    old = TEXT[:-6] + "".join(_ALPHABET[remainder >> 5 * place & 31] for place in range(5, -1, -1))
    with pytest.raises(AddressMalformed):
        decode_address("dnxt", old)


@pytest.mark.parametrize("length", [0, 19, 21])
def test_address_of_another_length_is_not_encoded(length: int) -> None:
    with pytest.raises(AddressMalformed, match="expected 20"):
        encode_address("dnxt", bytes(length))
