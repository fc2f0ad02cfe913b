"""The audit of governance: proposals against their ballots, deposits and lists, ballots against their locks."""

from collections import defaultdict
from dataclasses import dataclass, field

from ledger.errors import CodecError
from ledger.governance.classes import CONSTITUTIONAL
from ledger.governance.records import (
    ABSTAIN,
    NEXT_ID_KEY,
    NO,
    OPEN,
    OPEN_KEY,
    PASSED,
    PROPOSAL_CODEC,
    PROPOSAL_PREFIX,
    VOTE_CODEC,
    VOTE_PREFIX,
    WAITING_KEY,
    YES,
    Proposal,
    read_due,
    read_tally,
)
from ledger.staking.records import number_of, read_delegation, read_validator
from ledger.staking.vote_lock import VOTE_LOCK_PREFIX, locked_until
from ledger.staking.vote_weight import ADDITIONS_CODEC, ADDITIONS_PREFIX
from ledger.storage.state_store import LedgerStore

_ADDRESS_BYTES = 20
_ID_BYTES = 8
_EPOCH_BYTES = 8


@dataclass(frozen=True, slots=True)
class GovernanceFigures:
    """What the audit counted of governance."""

    proposals: int
    open_proposals: int
    deposits_units: int
    """Of the open ones."""
    faults: list[str]


@dataclass(slots=True)
class _Ballots:
    """What the ballots of one proposal sum to."""

    number: int = 0
    units: dict[int, int] = field(default_factory=lambda: defaultdict(int))
    """By choice."""
    by_validator: dict[tuple[int, int], int] = field(default_factory=lambda: defaultdict(int))
    """By validator and choice; what is neither yes nor no, and shares of pools, are not among it."""


def audit_governance(store: LedgerStore, deposits_balance: int, latest_lock_epoch: int) -> GovernanceFigures:
    """Count governance again. Reads every record of it once. `latest_lock_epoch`: of the exchange's positions.

    * balance(DEPOSITS) == Σ deposits of the open proposals; the lists name the open and the waiting ones and no others;
    * the votes of a proposal == the ballots kept; of a constitutional one by validator too;
    * who has voted on an open proposal has its stake locked until it closes; nothing is locked for longer than the last
      proposal; stake that counts as new is not more than there is.
    """
    faults: list[str] = []
    proposals: dict[int, Proposal] = {}
    try:
        for key, value in store.state(PROPOSAL_PREFIX):
            proposals[int.from_bytes(key[len(PROPOSAL_PREFIX) :], "big")] = PROPOSAL_CODEC.decode(value)
        faults += _list_faults(store, proposals)
        ballots, ballot_faults = _ballots(store, proposals)
        faults += ballot_faults
        for number, proposal in proposals.items():
            faults += _tally_faults(store, proposal, ballots[number])
        faults += _lock_faults(store, proposals, latest_lock_epoch)
        faults += _addition_faults(store)
    except CodecError as error:
        faults.append(f"governance records are damaged: {error}")
    deposits = sum(one.deposit_units for one in proposals.values() if one.status == OPEN)
    if deposits != deposits_balance:
        faults.append(
            f"deposits of open proposals sum to {deposits} units, DEPOSITS holds {deposits_balance}"
        )
    open_proposals = sum(one.status == OPEN for one in proposals.values())
    return GovernanceFigures(len(proposals), open_proposals, deposits, faults)


def _list_faults(store: LedgerStore, proposals: dict[int, Proposal]) -> list[str]:
    faults = []
    for key, status, what in ((OPEN_KEY, OPEN, "open"), (WAITING_KEY, PASSED, "waiting")):
        listed = [one.id for one in read_due(store, key)]
        expected = [number for number, one in proposals.items() if one.status == status]
        if listed != expected:
            faults.append(f"the list of {what} proposals is {listed}, the proposals say {expected}")
    raw = store.get(NEXT_ID_KEY)
    following = 1 if raw is None else int.from_bytes(raw, "big")
    numbers = list(proposals)
    if numbers != list(range(1, following)) or any(proposals[one].id != one for one in numbers):
        faults.append(
            f"{len(numbers)} proposals, the next has number {following}; one is missing or misplaced"
        )
    return faults


def _ballots(store: LedgerStore, proposals: dict[int, Proposal]) -> tuple[dict[int, _Ballots], list[str]]:
    faults = []
    found: dict[int, _Ballots] = defaultdict(_Ballots)
    for key, value in store.state(VOTE_PREFIX):
        number = int.from_bytes(key[len(VOTE_PREFIX) : len(VOTE_PREFIX) + _ID_BYTES], "big")
        address = key[len(VOTE_PREFIX) + _ID_BYTES :]
        vote = VOTE_CODEC.decode(value)
        one = found[number]
        one.number += 1
        one.units[vote.choice] += vote.units
        if vote.choice != ABSTAIN:
            for counted in vote.counted:
                one.by_validator[counted.validator, vote.choice] += counted.units
        proposal = proposals.get(number)
        if proposal is None:
            faults.append(f"a ballot on proposal {number}, which is none")
        elif (
            proposal.status == OPEN and vote.counted and locked_until(store, address) < proposal.closes_epoch
        ):
            faults.append(
                f"{address.hex()} has voted on proposal {number}, which closes in epoch {proposal.closes_epoch}; "
                f"its stake is locked until {locked_until(store, address)}"
            )
    return found, faults


def _tally_faults(store: LedgerStore, proposal: Proposal, ballots: _Ballots) -> list[str]:
    faults = []
    counted = proposal.yes_units, proposal.no_units, proposal.abstain_units, proposal.ballots
    kept = ballots.units[YES], ballots.units[NO], ballots.units[ABSTAIN], ballots.number
    if counted != kept:
        faults.append(
            f"proposal {proposal.id} counts {counted} (yes, no, abstain, ballots), its ballots sum to {kept}"
        )
    if proposal.class_ == CONSTITUTIONAL:
        for index in sorted({index for index, _ in ballots.by_validator}):
            tally = read_tally(store, proposal.id, index)
            own = ballots.by_validator[index, YES], ballots.by_validator[index, NO]
            if tally != own:
                faults.append(
                    f"proposal {proposal.id} counts {tally} (yes, no) of validator {index}, its ballots say {own}"
                )
    return faults


def _lock_faults(store: LedgerStore, proposals: dict[int, Proposal], latest_lock_epoch: int) -> list[str]:
    faults = []
    latest = max((one.closes_epoch for one in proposals.values()), default=0)
    if latest_lock_epoch > latest:
        faults.append(
            f"shares of a pool are locked until epoch {latest_lock_epoch}, the last vote closes in {latest}"
        )
    for key, value in store.state(VOTE_LOCK_PREFIX):
        until = int.from_bytes(value, "big")
        address = key[len(VOTE_LOCK_PREFIX) :]
        if len(value) != _EPOCH_BYTES or not 0 < until <= latest:
            faults.append(
                f"stake of {address.hex()} is locked until epoch {until}, the last vote closes in {latest}"
            )
    return faults


def _addition_faults(store: LedgerStore) -> list[str]:
    """What counts as new of a stake is a part of it. A validator's own stake may have been slashed since."""
    faults = []
    place = len(ADDITIONS_PREFIX)
    for key, value in store.state(ADDITIONS_PREFIX):
        address = key[place : place + _ADDRESS_BYTES]
        index = int.from_bytes(key[place + _ADDRESS_BYTES :], "big")
        additions = ADDITIONS_CODEC.decode(value)
        epochs = [one.epoch for one in additions]
        if not additions or epochs != sorted(set(epochs)):
            faults.append(f"additions of {address.hex()} to validator {index} do not ascend: epochs {epochs}")
        record = read_validator(store, index)
        if record is not None and record.withdrawal_address == address:
            continue
        held = read_delegation(store, address, index)
        shares = 0 if held is None else number_of(held.shares)
        added = sum(number_of(one.shares) for one in additions)
        if added > shares:
            faults.append(
                f"{address.hex()} has added {added} shares to validator {index} lately, of {shares} in all"
            )
    return faults
