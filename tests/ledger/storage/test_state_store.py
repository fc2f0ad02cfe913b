"""What the ledger stages into the one batch: accept, undo, redo, the transaction index, the audit."""

from random import Random

import pytest
from builders.ledger import block_context, devnet_genesis, merged_block, transfer

from ledger.accounts import FEES_ADDRESS, Account, encode_account
from ledger.addresses import address_of
from ledger.amounts import MAX_SUPPLY_UNITS, UNITS_PER_NXT
from ledger.execution import APPLIED, SKIPPED, MergedBlock, Outcome, execute_mergeset
from ledger.genesis import chain_rules, genesis_state
from ledger.kinds import ledger_kinds
from ledger.state import account_key, fee_credit_key
from ledger.storage.audit import audit
from ledger.storage.errors import StoreCorrupted
from ledger.storage.memory import MemoryStore
from ledger.storage.state_store import LedgerStore
from ledger.storage.store import WriteBatch
from ledger.transactions import SignedTransaction

GENESIS, _, KEYS = devnet_genesis(account_units=UNITS_PER_NXT)
RULES = chain_rules(GENESIS)
REGISTRY = ledger_kinds()
ADDRESSES = [address_of(key.public_key) for key in KEYS]
BOB = ADDRESSES[1]


def fresh() -> tuple[MemoryStore, LedgerStore]:
    store = MemoryStore()
    ledger = LedgerStore(store)
    batch = WriteBatch()
    ledger.stage_genesis(batch, genesis_state(GENESIS))
    store.write(batch, sync=True)
    return store, ledger


def execute(ledger: LedgerStore, batch: WriteBatch, merged: list[MergedBlock], slot: int = 10) -> Outcome:
    return execute_mergeset(ledger.staged(batch), merged, block_context(RULES, slot=slot), REGISTRY)


def chain_block(number: int) -> bytes:
    return b"chain" + number.to_bytes(27, "big")


def accept(
    store: MemoryStore, ledger: LedgerStore, number: int, transactions: list[SignedTransaction]
) -> Outcome:
    batch = WriteBatch()
    outcome = execute(ledger, batch, [merged_block(transactions, number=number)])
    ledger.stage_accept(batch, chain_block(number), outcome)
    store.write(batch, sync=True)
    return outcome


def contents(store: MemoryStore) -> dict[bytes, bytes]:
    return dict(store.iterate(b""))


def visible(store: MemoryStore) -> dict[bytes, bytes]:
    """State and index: what an undo must restore (receipts and undo records stay for a redo)."""
    return {key: value for key, value in store.iterate(b"") if key[:1] in (b"s", b"x")}


def test_genesis_state_is_readable_by_state_key() -> None:
    _, ledger = fresh()
    assert dict(ledger.state()) == genesis_state(GENESIS)
    assert ledger.get(account_key(BOB)) == encode_account(Account(UNITS_PER_NXT, 0))
    assert ledger.get(b"nothing") is None


def test_accepted_transaction_is_found_with_its_receipt() -> None:
    store, ledger = fresh()
    transactions = [transfer(KEYS[0], RULES, nonce, BOB, 5) for nonce in range(3)]
    outcome = accept(store, ledger, 1, transactions)
    found = ledger.transaction(transactions[2].id)
    assert found is not None
    location, receipt = found
    assert (location.accepting_block, location.index) == (chain_block(1), 2)
    assert location.carrier == receipt.block_id == merged_block([], number=1).id
    assert receipt == outcome.receipts[2]
    assert ledger.receipts(chain_block(1)) == outcome.receipts
    assert ledger.get(account_key(BOB)) == encode_account(Account(UNITS_PER_NXT + 15, 0))


def test_unknown_transaction_and_block_are_none() -> None:
    _, ledger = fresh()
    assert ledger.transaction(bytes(32)) is None
    assert ledger.receipts(bytes(32)) is None
    assert ledger.undo(bytes(32)) is None


def test_undo_then_redo_is_exact_to_the_byte() -> None:
    store, ledger = fresh()
    accept(store, ledger, 1, [transfer(KEYS[0], RULES, 0, b"N" * 20, 5)])
    before = visible(store)
    outcome = accept(
        store, ledger, 2, [transfer(KEYS[0], RULES, 1, BOB, 5), transfer(KEYS[1], RULES, 9, BOB, 5)]
    )
    later = contents(store)
    batch = WriteBatch()
    assert ledger.stage_undo(batch, chain_block(2)) == outcome.previous
    store.write(batch, sync=True)
    assert visible(store) == before
    batch = WriteBatch()
    assert ledger.stage_redo(batch, chain_block(2)) == outcome.changes
    store.write(batch, sync=True)
    assert contents(store) == later


def test_index_keeps_the_success_over_later_skips() -> None:
    store, ledger = fresh()
    transaction = transfer(KEYS[0], RULES, 0, BOB, 5)
    accept(store, ledger, 1, [transaction])
    accept(store, ledger, 2, [transaction])
    accept(store, ledger, 3, [transaction])
    found = ledger.transaction(transaction.id)
    assert found is not None
    assert (found[0].accepting_block, found[1].status) == (chain_block(1), APPLIED)
    batch = WriteBatch()
    ledger.stage_undo(batch, chain_block(3))
    ledger.stage_undo(batch, chain_block(2))
    store.write(batch, sync=True)
    found = ledger.transaction(transaction.id)
    assert found is not None
    assert found[0].accepting_block == chain_block(1)


def test_success_replaces_an_earlier_skip_and_its_undo_brings_the_skip_back() -> None:
    store, ledger = fresh()
    ahead = transfer(KEYS[0], RULES, 1, BOB, 5)
    accept(store, ledger, 1, [ahead])
    accept(store, ledger, 2, [transfer(KEYS[0], RULES, 0, BOB, 5), ahead])
    found = ledger.transaction(ahead.id)
    assert found is not None
    assert (found[0].accepting_block, found[1].status) == (chain_block(2), APPLIED)
    batch = WriteBatch()
    ledger.stage_undo(batch, chain_block(2))
    store.write(batch, sync=True)
    found = ledger.transaction(ahead.id)
    assert found is not None
    assert (found[0].accepting_block, found[1].reason) == (chain_block(1), "NonceAhead")


def test_a_whole_reorganisation_fits_into_one_batch() -> None:
    store, ledger = fresh()
    old = [transfer(KEYS[0], RULES, 0, BOB, 5), transfer(KEYS[0], RULES, 1, BOB, 5)]
    accept(store, ledger, 1, old[:1])
    accept(store, ledger, 2, old[1:])
    batch = WriteBatch()
    ledger.stage_undo(batch, chain_block(2))
    ledger.stage_undo(batch, chain_block(1))
    for number, merged in ((3, [old[1]]), (4, [old[0], old[1]])):
        outcome = execute(ledger, batch, [merged_block(merged, number=number)])
        ledger.stage_accept(batch, chain_block(number), outcome)
    store.write(batch, sync=True)
    for transaction in old:
        found = ledger.transaction(transaction.id)
        assert found is not None
        assert (found[0].accepting_block, found[1].status) == (chain_block(4), APPLIED)
    assert ledger.get(account_key(BOB)) == encode_account(Account(UNITS_PER_NXT + 10, 0))


def naive_index(chain: list[tuple[bytes, Outcome]]) -> dict[bytes, tuple[bytes, int]]:
    """transaction id -> (accepting block, index): the charged receipt, else the first skip; by going over the chain."""
    charged: dict[bytes, tuple[bytes, int]] = {}
    skipped: dict[bytes, tuple[bytes, int]] = {}
    for block_id, outcome in chain:
        for index, receipt in enumerate(outcome.receipts):
            (skipped if receipt.status == SKIPPED else charged).setdefault(
                receipt.transaction_id, (block_id, index)
            )
    return skipped | charged


@pytest.mark.parametrize("seed", range(10))
def test_random_reorganisations_agree_with_a_naive_model(seed: int) -> None:
    rng = Random(seed)
    store, ledger = fresh()
    pool = [
        transfer(KEYS[sender], RULES, nonce, ADDRESSES[rng.randrange(8)], rng.choice((1, 10**9)))
        for sender in range(3)
        for nonce in range(5)
    ]
    chain: list[tuple[bytes, Outcome]] = []
    number = 0
    for _ in range(25):
        batch = WriteBatch()
        undone = [chain.pop() for _ in range(rng.randrange(min(4, len(chain)) + 1))]
        for block_id, _ in undone:
            ledger.stage_undo(batch, block_id)
        for block_id, outcome in reversed(undone[rng.randrange(len(undone) + 1) :]):
            ledger.stage_redo(batch, block_id)
            chain.append((block_id, outcome))
        for _ in range(rng.randrange(3)):
            number += 1
            merged = [
                merged_block(rng.sample(pool, rng.randrange(6)), number=10 * number + part, proposer=part)
                for part in range(rng.randrange(3))
            ]
            outcome = execute(ledger, batch, merged)
            ledger.stage_accept(batch, chain_block(number), outcome)
            chain.append((chain_block(number), outcome))
        store.write(batch, sync=False)
        expected = naive_index(chain)
        for transaction in pool:
            found = ledger.transaction(transaction.id)
            place = None if found is None else (found[0].accepting_block, found[0].index)
            assert place == expected.get(transaction.id)
        state = genesis_state(GENESIS)
        for _, outcome in chain:
            for key, value in outcome.changes.items():
                assert value is not None
                state[key] = value
        assert dict(ledger.state()) == dict(sorted(state.items()))
        assert audit(store).faults == ()


def test_pruned_block_leaves_no_trace_but_its_state() -> None:
    store, ledger = fresh()
    transaction = transfer(KEYS[0], RULES, 0, BOB, 5)
    accept(store, ledger, 1, [transaction, transfer(KEYS[1], RULES, 7, BOB, 5)])
    batch = WriteBatch()
    ledger.stage_prune_undo(batch, chain_block(1))
    ledger.stage_prune_receipts(batch, chain_block(1))
    store.write(batch, sync=True)
    assert {key[:1] for key in contents(store)} == {b"s"}
    assert ledger.transaction(transaction.id) is None


def test_pruning_a_side_block_keeps_the_index_of_the_chain() -> None:
    store, ledger = fresh()
    transaction = transfer(KEYS[0], RULES, 0, BOB, 5)
    accept(store, ledger, 1, [transaction])
    batch = WriteBatch()
    ledger.stage_undo(batch, chain_block(1))
    store.write(batch, sync=True)
    accept(store, ledger, 2, [transaction])
    batch = WriteBatch()
    ledger.stage_prune_receipts(batch, chain_block(1))
    store.write(batch, sync=True)
    found = ledger.transaction(transaction.id)
    assert found is not None
    assert found[0].accepting_block == chain_block(2)


def test_receipts_are_pruned_some_at_a_time_and_every_answer_in_between_is_whole() -> None:
    store, ledger = fresh()
    transactions = [transfer(KEYS[0], RULES, nonce, BOB, 5) for nonce in range(5)]
    accept(store, ledger, 1, transactions)
    first: int | None = 0
    left = []
    while first is not None:
        batch = WriteBatch()
        first = ledger.stage_prune_receipts(batch, chain_block(1), first=first, limit=2)
        store.write(batch, sync=True)
        found = [ledger.transaction(transaction.id) for transaction in transactions]
        left.append([one is not None for one in found].count(True))
    assert left == [3, 1, 0]
    assert ledger.receipts(chain_block(1)) is None
    assert ledger.stage_prune_receipts(WriteBatch(), chain_block(1)) is None


def test_a_reader_between_two_writes_of_the_pruner_sees_no_damage() -> None:
    """The index entry is read, then both it and the receipts go: that is an absent transaction."""
    store, ledger = fresh()
    transaction = transfer(KEYS[0], RULES, 0, BOB, 5)
    accept(store, ledger, 1, [transaction])

    class PrunedMeanwhile:
        def get(self, key: bytes) -> bytes | None:
            if key.startswith(b"r"):
                batch = WriteBatch()
                ledger.stage_prune_receipts(batch, chain_block(1))
                store.write(batch, sync=True)
            return store.get(key)

        iterate = store.iterate

    assert LedgerStore(PrunedMeanwhile()).transaction(transaction.id) is None


@pytest.mark.parametrize("prefix", [b"r", b"u"])
def test_missing_or_damaged_record_is_corruption_not_a_guess(prefix: bytes) -> None:
    store, ledger = fresh()
    accept(store, ledger, 1, [transfer(KEYS[0], RULES, 0, BOB, 5)])
    key = prefix + chain_block(1)
    for damaged in (None, b"", store.get(key) + b"\x00"):  # type: ignore[operator]
        batch = WriteBatch()
        batch.writes[key] = damaged
        with pytest.raises(StoreCorrupted):
            ledger.stage_undo(batch, chain_block(1))


def test_index_that_points_nowhere_is_corruption() -> None:
    store, ledger = fresh()
    transaction = transfer(KEYS[0], RULES, 0, BOB, 5)
    accept(store, ledger, 1, [transaction])
    batch = WriteBatch()
    batch.delete(b"r" + chain_block(1))
    store.write(batch, sync=True)
    with pytest.raises(StoreCorrupted):
        ledger.transaction(transaction.id)


def test_snapshot_keeps_answering_for_its_instant() -> None:
    store, ledger = fresh()
    snapshot = store.snapshot()
    accept(store, ledger, 1, [transfer(KEYS[0], RULES, 0, BOB, 5)])
    assert LedgerStore(snapshot).get(account_key(BOB)) == encode_account(Account(UNITS_PER_NXT, 0))
    assert audit(snapshot).accounts == audit(store).accounts
    snapshot.close()


def test_a_listing_goes_on_above_the_key_that_it_ended_with() -> None:
    _, ledger = fresh()
    entries = list(ledger.state(b"a"))
    for place, (key, _) in enumerate(entries):
        assert list(ledger.state(b"a", after=key)) == entries[place + 1 :]
    assert list(ledger.state(b"a", after=b"a")) == entries


def test_audit_of_a_sound_state_counts_the_whole_supply() -> None:
    store, ledger = fresh()
    fee = accept(store, ledger, 1, [transfer(KEYS[0], RULES, 0, b"N" * 20, 5)]).receipts[0].fee
    report = audit(store)
    assert report.faults == ()
    assert report.total_units == MAX_SUPPLY_UNITS
    assert report.accounts == 20 + 8 + 1
    assert report.fee_credits_units == report.system_balances["FEES"] == fee
    assert report.circulating_units == (12 * 1_000 + 8) * UNITS_PER_NXT - fee
    assert report.reserved_units + report.circulating_units == MAX_SUPPLY_UNITS


@pytest.mark.parametrize(
    ("key", "value", "fault"),
    [
        (account_key(BOB), encode_account(Account(UNITS_PER_NXT + 1, 0)), "off by 1"),
        (account_key(BOB), None, "off by -100000000"),
        (account_key(BOB), b"short", "is malformed"),
        (account_key(FEES_ADDRESS), None, "system accounts missing: FEES"),
        (fee_credit_key(3), (7).to_bytes(8, "big"), "fee credits sum to 7 units, FEES holds 0"),
        (b"f1", b"", "is malformed"),
    ],
)
def test_audit_names_what_is_wrong(key: bytes, value: bytes | None, fault: str) -> None:
    store, _ = fresh()
    batch = WriteBatch()
    batch.writes[b"s" + key] = value
    store.write(batch, sync=True)
    assert any(fault in found for found in audit(store).faults)
