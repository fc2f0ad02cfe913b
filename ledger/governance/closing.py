"""The epoch step `governance`: what passed and has waited takes effect, what is due is closed.

It costs a few reads when nothing is due, and work for the proposals that are, however many votes were cast: the tallies
are kept while voting.
"""

from collections.abc import Mapping, Sequence

import msgspec

from ledger.accounts import DEPOSITS_ADDRESS, TRANSITION_RESERVE_ADDRESS
from ledger.epoch_steps import EpochChange
from ledger.errors import ConservationBroken, Malformed
from ledger.governance.classes import CLASSES, CONSTITUTIONAL, time_lock_epochs
from ledger.governance.effects import enact
from ledger.governance.records import (
    EXECUTED,
    FAILED,
    NO_QUORUM,
    OPEN_KEY,
    PASSED,
    REJECTED,
    WAITING_KEY,
    Due,
    Proposal,
    due_of,
    read_due,
    read_proposal,
    write_due,
    write_proposal,
)
from ledger.governance.tally import bands_approving, bands_needed, bands_of, quorum_reached, share_reached
from ledger.issuance import burn_units
from ledger.registry import Rejected
from ledger.staking.activity import reveals_of
from ledger.staking.snapshot import read_snapshot
from ledger.staking.validator_set import next_mix
from ledger.state import Overlay

BELOW_THRESHOLD = "BelowThreshold"
TOO_FEW_BANDS = "TooFewBands"


def close_proposals(overlay: Overlay, change: EpochChange) -> None:
    """The step `governance`."""
    epoch = change.context.epoch
    waiting, opened = read_due(overlay, WAITING_KEY), read_due(overlay, OPEN_KEY)
    still_waiting = [one for one in waiting if one.epoch > epoch]
    for one in waiting:
        if one.epoch <= epoch:
            write_proposal(overlay, _enacted(overlay, _listed(overlay, one), epoch))
    due = [one for one in opened if one.epoch <= epoch]
    bands: tuple[Mapping[int, int], ...] = ()
    if any(one.class_ == CONSTITUTIONAL for one in due):
        snapshot = read_snapshot(overlay)
        bands = bands_of(snapshot, next_mix(snapshot.mix, reveals_of(tuple(change.activity.items()))))
    for one in due:
        proposal = _closed(overlay, _listed(overlay, one), bands, epoch)
        if proposal.status == PASSED:
            lock = time_lock_epochs(proposal.class_, change.context.staking)
            proposal = msgspec.structs.replace(proposal, effect_epoch=epoch + lock)
            if lock:
                still_waiting.append(due_of(proposal, proposal.effect_epoch))
            else:
                proposal = _enacted(overlay, proposal, epoch)
        write_proposal(overlay, proposal)
    if due:
        write_due(overlay, OPEN_KEY, tuple(one for one in opened if one.epoch > epoch))
    if tuple(still_waiting) != waiting:
        # In order of ids too: whatever waits was voted on for equally long, so it closed in order of creation.
        write_due(overlay, WAITING_KEY, tuple(still_waiting))


def _listed(overlay: Overlay, due: Due) -> Proposal:
    proposal = read_proposal(overlay, due.id)
    if proposal is None:
        raise Malformed("proposal", f"{due.id} is listed, and the state does not hold it")
    return proposal


def _closed(overlay: Overlay, proposal: Proposal, bands: Sequence[Mapping[int, int]], epoch: int) -> Proposal:
    """The proposal with its verdict; its deposit goes back, or is burned when too few took part."""
    quorum = quorum_reached(proposal.voted_units, proposal.total_stake_units, proposal.quorum_ppm)
    _settle_deposit(overlay, proposal, quorum)
    threshold = CLASSES[proposal.class_].threshold_ppm
    status, reason, approving, populated = PASSED, "", 0, 0
    if not quorum:
        status = NO_QUORUM
    elif not share_reached(proposal.yes_units, proposal.no_units, threshold):
        status, reason = REJECTED, BELOW_THRESHOLD
    elif proposal.class_ == CONSTITUTIONAL:
        approving, populated = bands_approving(overlay, proposal, bands, threshold)
        if approving < bands_needed(populated):
            status, reason = REJECTED, TOO_FEW_BANDS
    return msgspec.structs.replace(
        proposal,
        status=status,
        reason=reason,
        bands_approving=approving,
        bands_populated=populated,
        closed_epoch=epoch,
    )


def _settle_deposit(overlay: Overlay, proposal: Proposal, quorum: bool) -> None:
    units = proposal.deposit_units
    if not units:
        return
    held = overlay.account(DEPOSITS_ADDRESS).balance
    if held < units:
        raise ConservationBroken(f"deposit of proposal {proposal.id}", held, units)
    if quorum:
        overlay.debit(DEPOSITS_ADDRESS, units)
        overlay.credit(proposal.proposer, units)
    else:
        burn_units(overlay, DEPOSITS_ADDRESS, TRANSITION_RESERVE_ADDRESS, units)


def _enacted(overlay: Overlay, proposal: Proposal, epoch: int) -> Proposal:
    """The proposal carried out; or failed, with the reason, and nothing else changed."""
    mark = overlay.checkpoint()
    try:
        enact(overlay, proposal.action, epoch)
    except Rejected as rejected:
        overlay.rollback(mark)
        return msgspec.structs.replace(proposal, status=FAILED, reason=rejected.reason, executed_epoch=epoch)
    return msgspec.structs.replace(proposal, status=EXECUTED, executed_epoch=epoch)
