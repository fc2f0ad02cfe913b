"""Tokens: creation, transfer, burn; each is conserved on its own."""

import sys

import pytest
from builders.exchange import create_token, token_faults
from builders.failing_overlay import fail_at_every_write
from builders.ledger import merged_block
from builders.staking import StakingChain

from ledger.accounts import ADDRESS_OF_SYSTEM_ACCOUNT, FEES_ADDRESS, SECTOR_ADDRESSES
from ledger.addresses import NXT_ASSET, address_of, token_id
from ledger.encoding import Record
from ledger.errors import LedgerError, PayloadInvalid, RecipientRefused
from ledger.exchange.pools import address_of_pair
from ledger.execution import execute_mergeset
from ledger.state import MappingState, Overlay, account_key, fee_credit_key
from ledger.tokens import names
from ledger.tokens.kinds import TokenBurn, TokenCreate, TokenTransfer, check_token_create
from ledger.tokens.names import check_name, check_symbol
from ledger.tokens.queries import balances_of, tokens
from ledger.tokens.records import (
    TOKEN_BALANCE_PREFIX,
    TOKEN_CODEC,
    TokenInfo,
    asset_balance,
    credit_tokens,
    move_asset,
    read_token,
    token_balance,
)

STRANGER = b"s" * 20


@pytest.fixture
def chain() -> StakingChain:
    return StakingChain(1, seed="tokens")


def created(chain: StakingChain, supply: int = 1_000) -> tuple[bytes, bytes]:
    """(token, creator's address)."""
    creator = chain.accounts[0]
    return create_token(chain, creator, "GRAIN", supply), address_of(creator.public_key)


def test_creation_gives_the_whole_supply_to_the_creator(chain: StakingChain) -> None:
    token, creator = created(chain, 1_000)
    assert read_token(chain.reader, token) == TokenInfo(creator, "GRAIN", "Token GRAIN", 8, 1_000, 0)
    assert list(balances_of(chain.store(), creator)) == [(token, 1_000)]


def test_one_symbol_may_stand_for_several_tokens_whose_ids_differ(chain: StakingChain) -> None:
    ids = {create_token(chain, key, "SAME") for key in (*chain.accounts[:2], chain.accounts[0])}
    assert len(ids) == 3
    assert {info.symbol for _, info in tokens(chain.store())} == {"SAME"}


def test_id_is_that_of_creator_and_nonce(chain: StakingChain) -> None:
    creator = chain.accounts[0]
    chain.send(creator, "token_transfer", TokenTransfer(b"t" * 20, STRANGER, 1, b""))
    assert create_token(chain, creator, "SECOND") == token_id(address_of(creator.public_key), 1)
    assert [token for token, _ in tokens(chain.store())] == [token_id(address_of(creator.public_key), 1)]


def test_transfer_moves_units_and_leaves_no_empty_balance(chain: StakingChain) -> None:
    token, creator = created(chain, 1_000)
    assert chain.send(chain.accounts[0], "token_transfer", TokenTransfer(token, STRANGER, 400, b"hi")) == ""
    assert token_balance(chain.reader, creator, token) == 600
    assert token_balance(chain.reader, STRANGER, token) == 400
    assert chain.send(chain.accounts[0], "token_transfer", TokenTransfer(token, STRANGER, 600, b"")) == ""
    assert list(balances_of(chain.store(), creator)) == []
    assert token_faults(chain.store()) == []


def test_transfer_to_oneself_needs_the_units_and_moves_nothing(chain: StakingChain) -> None:
    token, creator = created(chain, 1_000)
    assert chain.send(chain.accounts[0], "token_transfer", TokenTransfer(token, creator, 1_000, b"")) == ""
    assert token_balance(chain.reader, creator, token) == 1_000
    reason = chain.send(chain.accounts[0], "token_transfer", TokenTransfer(token, creator, 1_001, b""))
    assert reason == "InsufficientTokens"


def test_burn_lowers_the_supply_and_tells_what_is_left(chain: StakingChain) -> None:
    token, creator = created(chain, 1_000)
    assert chain.send(chain.accounts[0], "token_burn", TokenBurn(token, 250)) == ""
    assert chain.outcomes[-1].receipts[0].result == (750,)
    info = read_token(chain.reader, token)
    assert info is not None and (info.supply, info.burned) == (750, 250)
    assert token_faults(chain.store()) == []


def test_token_of_which_all_is_burned_stays_known(chain: StakingChain) -> None:
    token, creator = created(chain, 7)
    assert chain.send(chain.accounts[0], "token_burn", TokenBurn(token, 7)) == ""
    assert [(one, info.supply, info.burned) for one, info in tokens(chain.store())] == [(token, 0, 7)]
    assert chain.send(chain.accounts[0], "token_burn", TokenBurn(token, 1)) == "InsufficientTokens"


def test_greatest_supply_moves_and_burns_whole(chain: StakingChain) -> None:
    greatest = 2**63 - 1
    token, _ = created(chain, greatest)
    assert (
        chain.send(chain.accounts[0], "token_transfer", TokenTransfer(token, STRANGER, greatest - 1, b""))
        == ""
    )
    assert token_balance(chain.reader, STRANGER, token) == greatest - 1
    assert chain.send(chain.accounts[0], "token_burn", TokenBurn(token, 1)) == ""
    assert token_faults(chain.store()) == []


@pytest.mark.parametrize("kind", ["token_transfer", "token_burn"])
def test_what_one_does_not_have_stays_where_it_is(chain: StakingChain, kind: str) -> None:
    token, _ = created(chain, 1_000)
    payload = TokenTransfer(token, STRANGER, 1, b"") if kind == "token_transfer" else TokenBurn(token, 1)
    assert chain.send(chain.accounts[1], kind, payload) == "InsufficientTokens"
    unknown = (
        TokenTransfer(b"u" * 20, STRANGER, 1, b"") if kind == "token_transfer" else TokenBurn(b"u" * 20, 1)
    )
    assert chain.send(chain.accounts[0], kind, unknown) == "UnknownToken"
    assert token_faults(chain.store()) == []


def test_nxt_is_no_token(chain: StakingChain) -> None:
    token, creator = created(chain)
    assert (
        chain.send(chain.accounts[0], "token_transfer", TokenTransfer(NXT_ASSET, STRANGER, 1, b""))
        == "UnknownToken"
    )
    overlay = Overlay(chain.reader)
    balance = asset_balance(overlay, creator, NXT_ASSET)
    assert (
        balance == chain.account(chain.accounts[0]).balance == asset_balance(chain.reader, creator, NXT_ASSET)
    )
    move_asset(overlay, NXT_ASSET, creator, STRANGER, 5)
    move_asset(overlay, token, creator, STRANGER, 3)
    assert (overlay.account(STRANGER).balance, token_balance(overlay, STRANGER, token)) == (5, 3)


@pytest.mark.parametrize(
    "address",
    [
        FEES_ADDRESS,
        ADDRESS_OF_SYSTEM_ACCOUNT["F_FLOOR"],
        ADDRESS_OF_SYSTEM_ACCOUNT["BONDED"],
        address_of_pair(NXT_ASSET, b"t" * 20),
    ],
)
def test_D3_tokens_cannot_be_given_to_pools_and_system_accounts(chain: StakingChain, address: bytes) -> None:
    token, _ = created(chain)
    with pytest.raises(RecipientRefused, match="users cannot pay to it"):
        chain.signed(chain.accounts[0], "token_transfer", TokenTransfer(token, address, 1, b""))


def test_sector_can_be_given_the_tokens_that_its_pool_is_seeded_with(chain: StakingChain) -> None:
    token, _ = created(chain)
    payload = TokenTransfer(token, SECTOR_ADDRESSES[4], 10, b"")
    assert chain.send(chain.accounts[0], "token_transfer", payload) == ""
    assert token_balance(chain.reader, SECTOR_ADDRESSES[4], token) == 10


@pytest.mark.parametrize("symbol", ["A", "Z9", "ABCDEFGHIJKL", "NXT2", "WNXT"])
def test_symbol_is_accepted(symbol: str) -> None:
    check_symbol("token_create", symbol)


@pytest.mark.parametrize(
    "symbol", ["NXT", "", "9A", "abc", "A B", "A-B", "ABCDEFGHIJKLM", "Ä", "А", "A\n", "A\x00"]
)
def test_symbol_is_refused(symbol: str) -> None:
    with pytest.raises(PayloadInvalid, match="symbol"):
        check_symbol("token_create", symbol)


@pytest.mark.parametrize(
    "name", ["x", "Grain of Bärnau", "谷物", "a" * 64, "ä" * 32, "🌾 grain", "No. 7 (b) – c"]
)
def test_name_is_accepted(name: str) -> None:
    check_name("token_create", name)


@pytest.mark.parametrize(
    "name",
    [
        "",
        "a" * 65,
        "ä" * 33,
        " a",
        "a ",
        "a  b",
        "a\tb",
        "a\nb",
        "a\x00b",
        "a\u00a0b",
        "a\u200bb",
        "a\u202eb",
        "a\u2066b",
        "a\ufeffb",
        "a\ufe0fb",
        "\u3164",
        "a\ue000b",
        "a\U0001fffeb",
        "a\U000e0041b",
        "a\U0010ffffb",
    ],
)
def test_name_is_refused(name: str) -> None:
    with pytest.raises(PayloadInvalid, match="name"):
        check_name("token_create", name)


def test_exactly_the_code_points_of_the_table_are_refused() -> None:
    """The first 16,384, and both sides of every edge beyond it."""
    edges = {edge + step for one in names._REFUSED for edge in one for step in (-1, 0, 1)}
    beyond = {plane << 16 | 0xFFFD + step for plane in range(17) for step in range(4)}
    for point in sorted(edges | beyond | set(range(0x4000))):
        if 0 <= point < 0x110000:
            listed = any(first <= point <= last for first, last in names._REFUSED)
            assert bool(names._UNSEEN.match(chr(point))) == (listed or point & 0xFFFE == 0xFFFE)


def test_first_character_that_cannot_be_seen_is_named() -> None:
    with pytest.raises(PayloadInvalid, match=r"character 3 of the name is U\+200B"):
        check_name("token_create", "ab\u200bc\u200b")


def test_judging_the_longest_name_takes_few_steps() -> None:
    """Everybody judges every name in a block before anything else; it must cost less than the signature."""
    calls = 0

    def count(*_: object) -> None:
        nonlocal calls
        calls += 1

    sys.setprofile(count)
    try:
        check_name("token_create", "a" * 64)
    finally:
        sys.setprofile(None)
    assert calls < 40


@pytest.mark.parametrize(
    "payload",
    [
        TokenCreate("GRAIN", "Grain", 19, 1),
        TokenCreate("GRAIN", "Grain", 8, 0),
        TokenCreate("GRAIN", "Grain", 8, 2**63),
        TokenCreate("GRAIN", "Grain\ud800", 8, 1),
        TokenTransfer(b"t" * 20, STRANGER, 0, b""),
        TokenTransfer(b"t" * 20, STRANGER, -1, b""),
        TokenTransfer(b"t" * 19, STRANGER, 1, b""),
        TokenTransfer(b"t" * 20, STRANGER, 1, b"m" * 257),
        TokenBurn(b"t" * 20, 0),
        TokenBurn(b"t" * 20, 2**63),
    ],
)
def test_payload_out_of_range_never_becomes_a_transaction(chain: StakingChain, payload: Record) -> None:
    kind = {TokenCreate: "token_create", TokenTransfer: "token_transfer", TokenBurn: "token_burn"}[
        type(payload)
    ]
    with pytest.raises(LedgerError):
        chain.signed(chain.accounts[0], kind, payload)


def test_greatest_token_fits_its_payload_and_record(chain: StakingChain) -> None:
    payload = TokenCreate("ABCDEFGHIJKL", "x" * 64, 18, 2**63 - 1)
    check_token_create(payload, chain.rules)
    assert chain.send(chain.accounts[0], "token_create", payload) == ""
    [(token, info)] = tokens(chain.store())
    assert (info.name, info.decimals) == ("x" * 64, 18)


def actions(chain: StakingChain, token: bytes) -> dict[str, Record]:
    return {
        "token_create": TokenCreate("SECOND", "Second", 0, 5),
        "token_transfer": TokenTransfer(token, STRANGER, 1_000, b""),
        "token_burn": TokenBurn(token, 10),
    }


@pytest.mark.parametrize("kind", ["token_create", "token_transfer", "token_burn"])
def test_L25_fault_at_any_write_leaves_the_root(chain: StakingChain, kind: str) -> None:
    token, _ = created(chain, 1_000)
    transaction = chain.signed(chain.accounts[0], kind, actions(chain, token)[kind])
    registered = chain.registry.named(kind)
    assert registered is not None
    writes = fail_at_every_write(
        chain.state,
        lambda overlay: registered.apply(overlay, transaction, transaction.payload, chain.context()),
    )
    assert writes == 2


@pytest.mark.parametrize("kind", ["token_create", "token_transfer", "token_burn"])
def test_kind_touches_no_more_records_than_it_pays_for_and_undoes(chain: StakingChain, kind: str) -> None:
    token, _ = created(chain, 1_000)
    transaction = chain.signed(chain.accounts[0], kind, actions(chain, token)[kind])
    outcome = execute_mergeset(chain.reader, [merged_block([transaction])], chain.context(), chain.registry)
    assert outcome.receipts[0].reason == ""
    of_the_fee = {account_key(transaction.sender), account_key(FEES_ADDRESS), fee_credit_key(0), b"lf"}
    registered = chain.registry.named(kind)
    assert registered is not None
    assert len(set(outcome.changes) - of_the_fee) == registered.touches(transaction.payload) == 2
    before = dict(chain.state)
    chain.apply(outcome.changes)
    chain.apply(outcome.previous)
    assert chain.state == before


def test_rejected_transfer_costs_fee_and_nonce_only(chain: StakingChain) -> None:
    token, _ = created(chain, 1_000)
    before = {
        key: value for key, value in chain.state.items() if key.startswith((TOKEN_BALANCE_PREFIX, b"ti"))
    }
    nonce = chain.account(chain.accounts[0]).nonce
    chain.send(chain.accounts[0], "token_transfer", TokenTransfer(token, STRANGER, 1_001, b""))
    assert chain.account(chain.accounts[0]).nonce == nonce + 1
    assert {key: value for key, value in chain.state.items() if key.startswith((b"tb", b"ti"))} == before


def test_worked_example_of_the_readme() -> None:
    creator = bytes(range(20))
    token = token_id(creator, 5)
    assert token.hex() == "707fb23cba62112a7bca9bb146458a9a6d2b7b99"
    info = TokenInfo(creator, "GRAIN", "Grain", 2, 1_000_000, 250)
    assert TOKEN_CODEC.encode(info).hex() == (
        "96" + "c414" + creator.hex() + "a5475241494e" + "a5477261696e" + "02" + "ce000f4240" + "ccfa"
    )
    overlay = Overlay(MappingState({}))
    credit_tokens(overlay, token, creator, 1_000_000)
    assert overlay.changes() == {b"tb" + creator + token: bytes.fromhex("00000000000f4240")}
