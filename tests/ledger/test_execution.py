"""The state transition over merge sets: charging, skipping, rolling back, fees, determinism."""

import os
import subprocess
import sys
from pathlib import Path
from random import Random
from typing import Any

import pytest
from builders.ledger import batch_transfer, block_context, devnet_genesis, key_pair, merged_block, transfer

from ledger.accounts import FEES_ADDRESS, Account, decode_account, encode_account
from ledger.addresses import address_of
from ledger.encoding import Codec, Record
from ledger.errors import AccountOutOfRange, ConservationBroken, KindsClash, UnknownKind
from ledger.execution import (
    APPLIED,
    FAILED,
    KIND_PAUSED,
    RECEIPTS_CODEC,
    SKIPPED,
    MergedBlock,
    Outcome,
    execute_mergeset,
    fee_credit,
)
from ledger.genesis import chain_rules, genesis_state
from ledger.governed.pauses import PAUSE_KEY
from ledger.issuance import FLOWS_KEY
from ledger.kinds import ledger_kinds
from ledger.registry import Kind, KindRegistry, Rejected
from ledger.rules import BlockContext, ChainRules
from ledger.staking.records import EPOCH_KEY, epoch_bytes
from ledger.state import MappingState, Overlay, account_key, fee_credit_key
from ledger.transactions import SignedTransaction, sign_transaction
from ledger.transfer import TRANSFER

GENESIS, _, KEYS = devnet_genesis(account_units=1_000_000)
RULES = chain_rules(GENESIS)
REGISTRY = ledger_kinds()
STATE = genesis_state(GENESIS)
ADDRESSES = [address_of(key.public_key) for key in KEYS]
ALICE, BOB, CAROL = ADDRESSES[:3]
FEE = transfer(KEYS[0], RULES, 0, BOB, 1_000).body.fee


def run(*blocks: MergedBlock, state: dict[bytes, bytes] = STATE, **context: Any) -> Outcome:
    return execute_mergeset(MappingState(state), blocks, block_context(RULES, **context), REGISTRY)


def after(state: dict[bytes, bytes], changes: dict[bytes, bytes | None]) -> dict[bytes, bytes]:
    merged = {**state, **changes}
    return {key: value for key, value in merged.items() if value is not None}


def account(state: dict[bytes, bytes], address: bytes) -> Account:
    raw = state.get(account_key(address))
    return Account(0, 0) if raw is None else decode_account(raw)


def verdicts(outcome: Outcome) -> list[tuple[int, str]]:
    return [(receipt.status, receipt.reason) for receipt in outcome.receipts]


def test_transfer_is_applied_with_its_fee_and_nonce() -> None:
    transaction = transfer(KEYS[0], RULES, 0, BOB, 1_000)
    block = merged_block([transaction], proposer=4)
    outcome = run(block)
    state = after(STATE, outcome.changes)
    assert account(state, ALICE) == Account(1_000_000 - 1_000 - FEE, 1)
    assert account(state, BOB) == Account(1_001_000, 0)
    assert account(state, FEES_ADDRESS).balance == FEE
    receipt = outcome.receipts[0]
    assert (receipt.transaction_id, receipt.block_id, receipt.fee) == (transaction.id, block.id, FEE)
    assert verdicts(outcome) == [(APPLIED, "")]
    assert (outcome.applied, outcome.failed, outcome.skipped) == (1, 0, 0)


def test_overspending_fails_keeps_the_fee_and_moves_nothing_else() -> None:
    outcome = run(merged_block([transfer(KEYS[0], RULES, 0, BOB, 1_000_000)]))
    state = after(STATE, outcome.changes)
    assert verdicts(outcome) == [(FAILED, "InsufficientBalance")]
    fee = outcome.receipts[0].fee
    assert fee > 0
    assert account(state, ALICE) == Account(1_000_000 - fee, 1)
    assert account(state, BOB) == Account(1_000_000, 0)
    assert account(state, FEES_ADDRESS).balance == fee


@pytest.mark.parametrize(
    ("transaction", "reason"),
    [
        (transfer(KEYS[0], RULES, 1, BOB, 1), "NonceAhead"),
        (transfer(KEYS[0], RULES, 0, BOB, 1, expiry_slot=9), "Expired"),
        (transfer(KEYS[0], RULES, 0, BOB, 1, fee=1_000_001), "FeeUnpayable"),
        (transfer(key_pair(0, "stranger", 0), RULES, 0, BOB, 1), "FeeUnpayable"),
    ],
)
def test_what_is_not_chargeable_is_skipped_and_costs_nothing(
    transaction: SignedTransaction, reason: str
) -> None:
    outcome = run(merged_block([transaction]), slot=10)
    assert verdicts(outcome) == [(SKIPPED, reason)]
    assert outcome.receipts[0].fee == 0
    assert outcome.changes == outcome.previous == {}


def test_fee_that_takes_the_whole_balance_is_payable() -> None:
    outcome = run(merged_block([transfer(KEYS[0], RULES, 0, BOB, 1, fee=1_000_000)]))
    assert verdicts(outcome) == [(FAILED, "InsufficientBalance")]
    assert account(after(STATE, outcome.changes), ALICE) == Account(0, 1)


def test_expiry_is_compared_with_the_slot_of_the_accepting_block() -> None:
    block = merged_block([transfer(KEYS[0], RULES, 0, BOB, 1, expiry_slot=10)])
    assert verdicts(run(block, slot=10)) == [(APPLIED, "")]
    assert verdicts(run(block, slot=11)) == [(SKIPPED, "Expired")]


def test_L3_replay_in_a_later_chain_block_is_skipped() -> None:
    block = merged_block([transfer(KEYS[0], RULES, 0, BOB, 1)])
    state = after(STATE, run(block).changes)
    outcome = run(block, state=state)
    assert verdicts(outcome) == [(SKIPPED, "NonceUsed")]
    assert outcome.changes == {}


def test_L5_transaction_in_three_parallel_blocks_is_applied_once_and_skipped_twice() -> None:
    transaction = transfer(KEYS[0], RULES, 0, BOB, 1_000)
    blocks = [merged_block([transaction], number=number, proposer=number) for number in range(3)]
    outcome = run(*blocks)
    assert verdicts(outcome) == [(APPLIED, ""), (SKIPPED, "Duplicate"), (SKIPPED, "Duplicate")]
    assert [receipt.block_id for receipt in outcome.receipts] == [block.id for block in blocks]
    assert account(after(STATE, outcome.changes), BOB).balance == 1_001_000
    assert fee_credit(MappingState(after(STATE, outcome.changes)), 0) == FEE


def test_L5_same_nonce_in_parallel_blocks_is_applied_once_and_skipped_once() -> None:
    first, second = transfer(KEYS[0], RULES, 0, BOB, 1_000), transfer(KEYS[0], RULES, 0, CAROL, 2_000)
    outcome = run(merged_block([first], number=1), merged_block([second], number=2))
    assert verdicts(outcome) == [(APPLIED, ""), (SKIPPED, "NonceUsed")]
    state = after(STATE, outcome.changes)
    assert account(state, BOB).balance == 1_001_000
    assert account(state, CAROL).balance == 1_000_000


def test_failed_transaction_carried_again_is_a_duplicate() -> None:
    transaction = transfer(KEYS[0], RULES, 0, BOB, 1_000_000)
    outcome = run(merged_block([transaction], number=1), merged_block([transaction], number=2))
    assert verdicts(outcome) == [(FAILED, "InsufficientBalance"), (SKIPPED, "Duplicate")]


def test_copy_skipped_for_a_gap_is_applied_from_the_later_carrier_that_closes_it() -> None:
    later = transfer(KEYS[0], RULES, 1, BOB, 1)
    outcome = run(
        merged_block([later], number=1, proposer=1),
        merged_block([transfer(KEYS[0], RULES, 0, BOB, 1), later], number=2, proposer=2),
    )
    assert verdicts(outcome) == [(SKIPPED, "NonceAhead"), (APPLIED, ""), (APPLIED, "")]
    state = MappingState(after(STATE, outcome.changes))
    assert fee_credit(state, 1) == 0
    assert fee_credit(state, 2) == sum(receipt.fee for receipt in outcome.receipts)


def test_contiguous_nonces_of_one_sender_apply_in_one_block() -> None:
    outcome = run(merged_block([transfer(KEYS[0], RULES, nonce, BOB, 1) for nonce in range(20)]))
    assert outcome.applied == 20
    assert account(after(STATE, outcome.changes), ALICE).nonce == 20


def test_fees_go_to_a_blue_carrier_and_for_a_red_one_to_the_merger() -> None:
    outcome = run(
        merged_block([transfer(KEYS[0], RULES, 0, BOB, 1_000)], number=1, proposer=1, blue=True),
        merged_block([transfer(KEYS[1], RULES, 0, BOB, 1_000)], number=2, proposer=2, blue=False),
        merging_proposer=9,
    )
    state = after(STATE, outcome.changes)
    assert [fee_credit(MappingState(state), proposer) for proposer in (1, 2, 9)] == [FEE, 0, FEE]
    assert fee_credit_key(2) not in state


def test_fee_credits_accumulate_over_blocks_and_equal_the_balance_of_fees() -> None:
    state = dict(STATE)
    for number in range(6):
        outcome = run(
            merged_block([transfer(KEYS[0], RULES, number, BOB, 1_000)], proposer=number % 2), state=state
        )
        state = after(state, outcome.changes)
    assert fee_credit(MappingState(state), 0) == fee_credit(MappingState(state), 1) == 3 * FEE
    assert account(state, FEES_ADDRESS).balance == 6 * FEE


def test_batch_applies_all_legs_also_to_repeated_recipients_and_the_sender() -> None:
    outcome = run(
        merged_block([batch_transfer(KEYS[0], RULES, 0, [(BOB, 1), (BOB, 2), (ALICE, 7), (CAROL, 4)])])
    )
    state = after(STATE, outcome.changes)
    assert account(state, BOB).balance == 1_000_003
    assert account(state, CAROL).balance == 1_000_004
    assert account(state, ALICE).balance == 1_000_000 - 7 - outcome.receipts[0].fee


def test_batch_that_the_sender_cannot_pay_wholly_pays_no_leg() -> None:
    outcome = run(merged_block([batch_transfer(KEYS[0], RULES, 0, [(BOB, 999_000), (CAROL, 999_000)])]))
    state = after(STATE, outcome.changes)
    assert verdicts(outcome) == [(FAILED, "InsufficientBalance")]
    assert account(state, BOB).balance == account(state, CAROL).balance == 1_000_000


def test_transfer_to_oneself_changes_nonce_and_fee_only() -> None:
    outcome = run(merged_block([transfer(KEYS[0], RULES, 0, ALICE, 5)]))
    assert verdicts(outcome) == [(APPLIED, "")]
    assert account(after(STATE, outcome.changes), ALICE) == Account(1_000_000 - outcome.receipts[0].fee, 1)


def test_undo_restores_the_state_byte_for_byte_and_redo_repeats_it() -> None:
    outcome = run(merged_block([transfer(KEYS[0], RULES, 0, b"N" * 20, 1_000)]))
    state = after(STATE, outcome.changes)
    undone = after(state, outcome.previous)
    assert undone == STATE
    assert after(undone, outcome.changes) == state


def test_undo_holds_old_values_of_touched_keys_only() -> None:
    rich_state = dict(STATE)
    for number in range(5_000):
        rich_state[account_key(number.to_bytes(20, "big"))] = encode_account(Account(0, 1))
    outcome = run(merged_block([transfer(KEYS[0], RULES, 0, BOB, 1_000)]), state=rich_state)
    touched = {account_key(ALICE), account_key(BOB), account_key(FEES_ADDRESS), fee_credit_key(0), FLOWS_KEY}
    assert set(outcome.previous) == set(outcome.changes) == touched
    assert sum(len(key) + len(value or b"") for key, value in outcome.previous.items()) < 60 * len(touched)


def test_empty_merge_set_changes_nothing_and_has_a_root() -> None:
    outcome = run()
    assert outcome.changes == {}
    assert len(outcome.receipts_root) == 32


def test_receipts_root_covers_order_status_and_carrier() -> None:
    first, second = transfer(KEYS[0], RULES, 0, BOB, 1), transfer(KEYS[1], RULES, 0, BOB, 1)
    roots = {
        run(merged_block([first, second])).receipts_root,
        run(merged_block([second, first])).receipts_root,
        run(merged_block([first, second], number=1)).receipts_root,
        run(merged_block([first])).receipts_root,
        run(merged_block([first, second]), slot=2_000_000).receipts_root,
    }
    assert len(roots) == 5


def test_stored_receipts_decode_to_the_receipts() -> None:
    outcome = run(merged_block([transfer(KEYS[0], RULES, nonce, BOB, 1) for nonce in (0, 2, 1)]))
    assert RECEIPTS_CODEC.decode(outcome.receipts_encoded) == outcome.receipts


def test_equal_input_gives_equal_bytes_whatever_the_order_of_the_state_dict() -> None:
    blocks = [
        merged_block(
            [transfer(KEYS[number], RULES, 0, ADDRESSES[-1 - number], 10)], number=number, proposer=number
        )
        for number in range(8)
    ]
    shuffled = list(STATE.items())
    Random(5).shuffle(shuffled)
    first, second = run(*blocks), run(*blocks, state=dict(shuffled))
    assert list(first.changes.items()) == list(second.changes.items())
    assert first.receipts_encoded == second.receipts_encoded


def test_L24_transaction_that_was_payable_when_looked_at_is_judged_again_when_applied() -> None:
    spend_all = transfer(KEYS[0], RULES, 0, BOB, 1_000_000 - FEE - 500)
    then = transfer(KEYS[0], RULES, 1, BOB, 1)
    alone = run(merged_block([transfer(KEYS[0], RULES, 0, BOB, 1)]))
    assert alone.applied == 1
    outcome = run(merged_block([spend_all, then]))
    assert verdicts(outcome) == [(APPLIED, ""), (SKIPPED, "FeeUnpayable")]


FINGERPRINT = """
from builders.ledger import block_context, devnet_genesis, merged_block, transfer
from ledger.addresses import address_of
from ledger.execution import execute_mergeset
from ledger.genesis import chain_rules, genesis_state
from ledger.kinds import ledger_kinds
from ledger.state import MappingState

genesis, _, keys = devnet_genesis()
rules = chain_rules(genesis)
to = [address_of(key.public_key) for key in reversed(keys)]
blocks = [
    merged_block([transfer(key, rules, 0, to[place], 10 + place)], number=place, proposer=place)
    for place, key in enumerate(keys)
]
outcome = execute_mergeset(MappingState(genesis_state(genesis)), blocks, block_context(rules), ledger_kinds())
print(outcome.receipts_root.hex(), list(outcome.changes.items()), list(outcome.previous.items()))
"""


def test_L16_outcome_is_the_same_in_any_process_and_locale() -> None:
    root = Path(__file__).parents[2]
    printed = set()
    for hash_seed, locale in (("0", "C"), ("1", "tr_TR.UTF-8"), ("random", "de_DE.UTF-8")):
        environment = {
            **os.environ,
            "PYTHONHASHSEED": hash_seed,
            "LANG": locale,
            "LC_ALL": locale,
            "PYTHONPATH": os.pathsep.join((str(root), str(root / "tests"))),
        }
        process = subprocess.run(
            [sys.executable, "-c", FINGERPRINT], env=environment, capture_output=True, check=True, timeout=60
        )
        printed.add(process.stdout)
    assert len(printed) == 1


class Note(Record, frozen=True):
    """Payload of the kinds made up below."""

    text: bytes


def kind_that(number: int, apply: Any) -> Kind:
    return Kind(
        number,
        f"test_{number}",
        Codec(Note, "note", 64),
        lambda payload, rules: None,
        apply,
        lambda payload: 0,
    )


def note(kind: Kind, nonce: int = 0) -> SignedTransaction:
    return sign_transaction(
        KEYS[0], RULES, nonce=nonce, expiry_slot=100, fee=None, kind=kind, payload_record=Note(b"n")
    )


def mint(overlay: Overlay, transaction: SignedTransaction, payload: Note, context: BlockContext) -> None:
    overlay.set_account(BOB, Account(overlay.account(BOB).balance + 1, 0))


def overdraw(overlay: Overlay, transaction: SignedTransaction, payload: Note, context: BlockContext) -> None:
    taken = overlay.account(BOB)
    overlay.set_account(BOB, Account(taken.balance - 2_000_000, taken.nonce))
    given = overlay.account(CAROL)
    overlay.set_account(CAROL, Account(given.balance + 2_000_000, given.nonce))


def reject_late(
    overlay: Overlay, transaction: SignedTransaction, payload: Note, context: BlockContext
) -> None:
    overlay.put(b"mrecord", payload.text)
    overlay.delete(b"mold")
    overlay.set_account(BOB, Account(0, 0))
    overlay.set_account(b"N" * 20, Account(1, 0))
    raise Rejected("NotToday")


def crash(overlay: Overlay, transaction: SignedTransaction, payload: Note, context: BlockContext) -> None:
    overlay.set_account(BOB, Account(0, 0))
    raise ZeroDivisionError("a bug")


def run_kind(kind: Kind, state: dict[bytes, bytes]) -> Outcome:
    blocks = [merged_block([note(kind)])]
    return execute_mergeset(MappingState(state), blocks, block_context(RULES), REGISTRY.extended([kind]))


def test_kind_that_makes_money_stops_the_node() -> None:
    with pytest.raises(ConservationBroken, match="merge set"):
        run_kind(kind_that(90, mint), STATE)


def test_kind_that_overdraws_an_account_stops_the_node() -> None:
    with pytest.raises(AccountOutOfRange):
        run_kind(kind_that(90, overdraw), STATE)


def test_L25_rejection_after_writes_rolls_back_all_but_fee_and_nonce() -> None:
    state = {**STATE, b"mold": b"o"}
    outcome = run_kind(kind_that(90, reject_late), state)
    assert verdicts(outcome) == [(FAILED, "NotToday")]
    assert set(outcome.changes) == {
        account_key(ALICE),
        account_key(FEES_ADDRESS),
        fee_credit_key(0),
        FLOWS_KEY,
    }


def test_L25_unforeseen_failure_propagates_and_leaves_the_reader_as_it_was() -> None:
    state = dict(STATE)
    with pytest.raises(ZeroDivisionError):
        run_kind(kind_that(90, crash), state)
    assert state == STATE


def test_transaction_of_a_kind_that_the_engine_lacks_is_not_executed() -> None:
    kind = kind_that(90, mint)
    with pytest.raises(UnknownKind):
        run(merged_block([note(kind)]))


def test_registry_is_a_value_that_packages_above_extend() -> None:
    kind = kind_that(90, mint)
    extended = REGISTRY.extended([kind])
    assert extended.kind(90) is extended.named("test_90") is kind
    assert [known.number for known in extended.kinds()] == [*(one.number for one in REGISTRY.kinds()), 90]
    assert REGISTRY.named("test_90") is None
    with pytest.raises(KindsClash):
        extended.extended([kind_that(90, mint)])
    with pytest.raises(KindsClash):
        KindRegistry(
            [
                TRANSFER,
                Kind(
                    5,
                    "transfer",
                    TRANSFER.payload_codec,
                    TRANSFER.check_payload,
                    TRANSFER.apply,
                    TRANSFER.spends,
                ),
            ]
        )


def test_context_gives_kinds_what_they_need_to_know() -> None:
    seen: list[BlockContext] = []

    def look(overlay: Overlay, transaction: SignedTransaction, payload: Note, context: BlockContext) -> None:
        seen.append(context)

    run_kind(kind_that(90, look), STATE)
    assert seen == [block_context(RULES)]
    assert isinstance(seen[0].rules, ChainRules)


def pays_nothing(
    overlay: Overlay, transaction: SignedTransaction, payload: Any, context: BlockContext
) -> Any:
    return 3, 2**63 - 1


def test_what_a_kind_did_stands_in_its_receipt_and_in_the_root() -> None:
    outcome = run_kind(kind_that(90, pays_nothing), STATE)
    [receipt] = outcome.receipts
    assert (receipt.kind, receipt.result) == (90, (3, 2**63 - 1))
    silent = run_kind(kind_that(90, lambda *_: None), STATE)
    assert silent.receipts[0].result == ()
    assert silent.receipts_root != outcome.receipts_root
    late = run_kind(kind_that(90, reject_late), STATE)
    assert late.receipts[0].result == ()


def test_a_paused_kind_fails_in_its_epoch_only_and_others_do_not() -> None:
    state = {**STATE, PAUSE_KEY: (1).to_bytes(4, "big") + (7).to_bytes(8, "big")}
    payment = transfer(KEYS[0], RULES, 0, BOB, 1_000)
    kind = kind_that(90, pays_nothing)
    registry = REGISTRY.extended([kind])

    def reasons(epoch: int, *transactions: SignedTransaction) -> list[str]:
        # The transition is not what is looked at: the state is in that epoch already.
        now = {**state, EPOCH_KEY: epoch_bytes(epoch, 0)}
        context = block_context(RULES, epoch=epoch)
        outcome = execute_mergeset(MappingState(now), [merged_block(transactions)], context, registry)
        assert all(receipt.fee for receipt in outcome.receipts)
        return [receipt.reason for receipt in outcome.receipts]

    assert [reasons(epoch, payment)[0] for epoch in (6, 7, 8)] == ["", KIND_PAUSED, ""]
    assert reasons(7, note(kind)) == [""]
