"""The overlay: journal, nested rollback, and what comes out of it."""

from random import Random

import pytest

from ledger.accounts import EMPTY_ACCOUNT, Account, encode_account
from ledger.amounts import MAX_SUPPLY_UNITS
from ledger.errors import AccountOutOfRange, Malformed, StateKeyRefused
from ledger.state import MappingState, Overlay, account_key, fee_credit_key

ALICE, BOB = b"A" * 20, b"B" * 20
STATE = {account_key(ALICE): encode_account(Account(100, 3)), b"mone": b"1", b"mtwo": b"2"}


def overlay() -> Overlay:
    return Overlay(MappingState(STATE))


def test_untouched_overlay_changes_nothing() -> None:
    view = overlay()
    assert view.account(ALICE) == Account(100, 3)
    assert view.account(BOB) == EMPTY_ACCOUNT
    assert view.get(b"mone") == b"1"
    assert view.changes() == view.previous() == {}


def test_changes_and_previous_hold_the_touched_keys_only() -> None:
    view = overlay()
    view.set_account(ALICE, Account(90, 4))
    view.set_account(BOB, Account(10, 0))
    view.delete(b"mone")
    view.put(b"mnew", b"n")
    assert view.changes() == {
        account_key(ALICE): encode_account(Account(90, 4)),
        account_key(BOB): encode_account(Account(10, 0)),
        b"mnew": b"n",
        b"mone": None,
    }
    assert view.previous() == {
        account_key(ALICE): STATE[account_key(ALICE)],
        account_key(BOB): None,
        b"mnew": None,
        b"mone": b"1",
    }
    assert (view.changes(), view.previous()) == view.differences()


def test_changes_are_in_key_order_whatever_the_order_of_writes() -> None:
    view = overlay()
    for key in (b"z", b"m", b"b", b"q"):
        view.put(key, b"1")
    view.set_account(BOB, Account(1, 0))
    view.set_account(ALICE, Account(1, 0))
    assert list(view.changes()) == sorted(view.changes())


def test_value_written_back_is_no_change() -> None:
    view = overlay()
    view.set_account(ALICE, Account(0, 0))
    view.set_account(ALICE, Account(100, 3))
    view.put(b"mone", b"x")
    view.put(b"mone", b"1")
    view.put(b"mthree", b"3")
    view.delete(b"mthree")
    assert view.changes() == {}


def test_rollback_restores_values_deletions_and_absence() -> None:
    view = overlay()
    view.put(b"mtwo", b"kept")
    mark = view.checkpoint()
    view.set_account(BOB, Account(5, 0))
    view.set_account(ALICE, Account(95, 3))
    view.delete(b"mone")
    view.delete(b"mtwo")
    view.put(b"mnew", b"n")
    view.rollback(mark)
    assert view.account(BOB) == EMPTY_ACCOUNT
    assert view.changes() == {b"mtwo": b"kept"}


def test_rollback_to_an_outer_mark_undoes_the_inner_steps_too() -> None:
    view = overlay()
    outer = view.checkpoint()
    view.put(b"m1", b"1")
    inner = view.checkpoint()
    view.put(b"m2", b"2")
    view.rollback(inner)
    assert view.changes() == {b"m1": b"1"}
    view.put(b"m3", b"3")
    view.rollback(outer)
    assert view.changes() == {}


def test_account_set_to_zero_exists_and_rolls_back_to_absent() -> None:
    view = overlay()
    mark = view.checkpoint()
    view.set_account(BOB, EMPTY_ACCOUNT)
    assert view.changes() == {account_key(BOB): encode_account(EMPTY_ACCOUNT)}
    assert view.get(account_key(BOB)) == encode_account(EMPTY_ACCOUNT)
    view.rollback(mark)
    assert view.changes() == {}
    assert view.get(account_key(BOB)) is None


def test_overlay_reads_through_an_overlay() -> None:
    lower = overlay()
    lower.set_account(BOB, Account(7, 0))
    lower.delete(b"mone")
    upper = Overlay(lower)
    assert upper.account(BOB) == Account(7, 0)
    assert upper.get(b"mone") is None
    upper.set_account(BOB, Account(8, 0))
    assert lower.account(BOB) == Account(7, 0)
    assert upper.previous() == {account_key(BOB): encode_account(Account(7, 0))}


@pytest.mark.parametrize("account", [Account(-1, 0), Account(MAX_SUPPLY_UNITS + 1, 0), Account(0, -1)])
def test_C7_account_out_of_range_never_leaves_the_overlay(account: Account) -> None:
    view = overlay()
    view.set_account(BOB, account)
    with pytest.raises(AccountOutOfRange):
        view.changes()


@pytest.mark.parametrize("key", [b"", account_key(ALICE), b"a", b"a" * 30])
def test_raw_writes_to_accounts_are_refused(key: bytes) -> None:
    with pytest.raises(StateKeyRefused):
        overlay().put(key, b"1")
    with pytest.raises(StateKeyRefused):
        overlay().delete(key)


def test_damaged_account_in_the_reader_is_malformed() -> None:
    with pytest.raises(Malformed):
        Overlay(MappingState({account_key(ALICE): b"short"})).account(ALICE)


def test_drift_counts_units_that_appeared_or_vanished() -> None:
    view = overlay()
    assert view.balance_drift() == 0
    view.set_account(BOB, Account(5, 0))
    assert view.balance_drift() == 5
    view.set_account(ALICE, Account(95, 3))
    assert view.balance_drift() == 0
    view.set_account(ALICE, Account(90, 3))
    assert view.balance_drift() == -5


def test_debit_returns_the_account_afterwards_or_writes_nothing() -> None:
    view = overlay()
    assert view.debit(ALICE, 100, nonces=1) == view.account(ALICE) == Account(0, 4)
    mark = view.checkpoint()
    assert view.debit(ALICE, 1) is None
    assert view.debit(BOB, 1) is None
    assert view.checkpoint() == mark


def test_credit_adds_to_an_account_or_makes_one() -> None:
    view = overlay()
    mark = view.checkpoint()
    view.credit(ALICE, 5)
    view.credit(BOB, 7)
    view.credit(BOB, 1)
    assert (view.account(ALICE), view.account(BOB)) == (Account(105, 3), Account(8, 0))
    view.rollback(mark)
    assert view.changes() == {}


def test_fee_credit_keys_sort_by_proposer() -> None:
    assert fee_credit_key(1) < fee_credit_key(255) < fee_credit_key(256) < fee_credit_key(2**40)


@pytest.mark.parametrize("seed", range(20))
def test_random_steps_and_rollbacks_agree_with_copies_of_a_dict(seed: int) -> None:
    rng = Random(seed)
    addresses = [bytes([number]) * 20 for number in range(6)]
    keys = [b"m%d" % number for number in range(6)]
    start = {
        account_key(address): encode_account(Account(rng.randrange(100), 0)) for address in addresses[:3]
    }
    start |= {key: rng.randbytes(2) for key in keys[:3]}
    view, model = Overlay(MappingState(start)), dict(start)
    marks: list[tuple[int, dict[bytes, bytes]]] = []
    for _ in range(300):
        action = rng.randrange(6)
        if action == 0:
            marks.append((view.checkpoint(), dict(model)))
        elif action == 1 and marks:
            place = rng.randrange(len(marks))
            mark, model = marks[place][0], dict(marks[place][1])
            del marks[place:]
            view.rollback(mark)
        elif action == 2:
            key = rng.choice(keys)
            view.delete(key)
            model.pop(key, None)
        elif action == 3:
            key, value = rng.choice(keys), rng.randbytes(2)
            view.put(key, value)
            model[key] = value
        else:
            address, account = rng.choice(addresses), Account(rng.randrange(100), rng.randrange(5))
            view.set_account(address, account)
            model[account_key(address)] = encode_account(account)
        probe = rng.choice([*keys, *map(account_key, addresses)])
        assert view.get(probe) == model.get(probe)
    changed = dict(start)
    for key, value in view.changes().items():
        if value is None:
            del changed[key]
        else:
            changed[key] = value
    assert changed == model
    for key, value in view.previous().items():
        if value is None:
            del changed[key]
        else:
            changed[key] = value
    assert changed == start
