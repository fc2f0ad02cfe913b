"""The node's own view of its signer: the doppelganger watch in front of it, what is known without asking, and status.

Everything here is for the event loop; the signer's own calls, which write to a disk or wait for a socket, run on
`Workers.run_signer`. `refusal` costs nothing: whoever is about to work for a signature asks it first. The signer itself
is what makes sure.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Final

import trio

from consensus.blocks import Header, HeaderCore, header_id
from consensus.events import BlockAdded
from consensus.params import Params, slot_at
from consensus.schedule import Schedule
from consensus.votes import Vote, VoteCore, vote_core
from node.chain_writer import Resync, Subscription
from node.env import Workers
from node.logs import Log
from node.metrics import Metrics
from node.signing.doppelganger import DoppelgangerWatch, Sighting
from node.signing.errors import (
    AlreadySigned,
    DoppelgangerSeen,
    DoppelgangerWait,
    SignerUnavailable,
    SigningRefused,
)
from node.signing.signer import Signer, vote_signing_root

PROBE_EVERY_S: Final = 2.0
"""How often the signer is asked whether it is there, and the countdown is looked at."""


@dataclass(frozen=True, slots=True)
class SigningStatus:
    """For status pages."""

    state: str
    """`no keys`, `waiting` (doppelganger), `ready`, `unavailable`, `doppelganger`."""
    keys: int
    wait_slots: int
    """What the doppelganger wait still takes."""
    reason: str
    """Why nothing is signed, and what to do; empty when there is no reason."""


class SigningGuard:
    """One per node with a signer. `run` is the service."""

    def __init__(
        self,
        signer: Signer,
        params: Params,
        workers: Workers,
        *,
        now_ms: Callable[[], int],
        metrics: Metrics,
        log: Log,
    ) -> None:
        """`now_ms`: the wall clock. Call `refresh` before anything else."""
        self._signer = signer
        self._params = params
        self._workers = workers
        self._now_ms = now_ms
        self._metrics = metrics
        self._log = log
        self._watch = DoppelgangerWatch(params)
        self._signed_up_to: dict[bytes, int] = {}
        """key -> last slot that it signed for, as far as we have heard."""
        self._unavailable: SignerUnavailable | None = None
        self._logged_wait_slots = 0

    def public_keys(self) -> tuple[bytes, ...]:
        """The keys that can be signed with, sorted."""
        return self._signer.public_keys()

    async def refresh(self) -> None:
        """Ask whether the signer is there, for its keys and their history: a remote one may come back with others.

        Errors: `SigningRecordCorrupted`, and the store's.
        """
        try:
            await self._workers.run_signer(self._signer.probe)
        except SignerUnavailable as error:
            self._note_unavailable(error)
        else:
            self._note_unavailable(None)
        histories = await self._workers.run_signer(self._signer.histories)
        self._watch.track(histories, self._now_slot(), trio.current_time())
        for history in histories:
            if history.block is not None:
                self._note_last(history.public_key, history.block.slot)

    def refusal(self, public_key: bytes, slot: int) -> SigningRefused | None:
        """Why a block of `slot` would not be signed, as far as is known without asking the signer; None: it may be."""
        refusal = self._refusal_of(public_key)
        if refusal is not None:
            return refusal
        last = self._signed_up_to.get(public_key, 0)
        return AlreadySigned(public_key, slot, last) if slot <= last else None

    async def sign_block(self, public_key: bytes, core: HeaderCore) -> Header:
        """As `Signer.sign_block`, and `DoppelgangerWait`, `DoppelgangerSeen`."""
        self._require_allowed(public_key)
        try:
            header = await self._workers.run_signer(lambda: self._signer.sign_block(public_key, core))
        except AlreadySigned as error:
            self._note_last(public_key, error.last)
            raise
        except SignerUnavailable as error:
            self._note_unavailable(error)
            raise
        self._note_last(public_key, core.slot)
        self._watch.signed_block(public_key, core.slot, header_id(header))
        self._require_allowed(public_key)
        return header

    async def sign_vote(self, public_key: bytes, core: VoteCore) -> Vote:
        """As `Signer.sign_vote`, and `DoppelgangerWait`, `DoppelgangerSeen`."""
        self._require_allowed(public_key)
        try:
            vote = await self._workers.run_signer(lambda: self._signer.sign_vote(public_key, core))
        except SignerUnavailable as error:
            self._note_unavailable(error)
            raise
        root = vote_signing_root(core, self._params.genesis_hash)
        self._watch.signed_vote(public_key, core.target.period, root)
        self._require_allowed(public_key)
        return vote

    async def reveal(self, public_key: bytes, generation: int, layers: int) -> bytes:
        """As `Signer.reveal`."""
        try:
            return await self._workers.run_signer(lambda: self._signer.reveal(public_key, generation, layers))
        except SignerUnavailable as error:
            self._note_unavailable(error)
            raise

    def observed_block(self, public_key: bytes, slot: int, block_id: bytes) -> None:
        """A block with a verified signature by `public_key`, whosever key that is. From the first proof of a
        doppelganger on nothing is signed."""
        self._alarm(self._watch.observed_block(public_key, slot, block_id))

    def observed_vote(self, public_key: bytes, vote: Vote) -> None:
        """A vote with a verified signature by `public_key`, whosever key that is. As `observed_block`."""
        if public_key in self.public_keys():
            root = vote_signing_root(vote_core(vote), self._params.genesis_hash)
            self._alarm(self._watch.observed_vote(public_key, vote.target.period, root))

    @property
    def status(self) -> SigningStatus:
        """Of this moment."""
        keys, refusal = len(self.public_keys()), self._refusal()
        wait_slots = self._wait_slots()
        if isinstance(refusal, DoppelgangerSeen):
            return SigningStatus("doppelganger", keys, 0, str(refusal))
        if self._unavailable is not None:
            return SigningStatus("unavailable", keys, wait_slots, str(self._unavailable))
        if refusal is not None:
            return SigningStatus("waiting", keys, wait_slots, str(refusal))
        return SigningStatus("ready" if keys else "no keys", keys, 0, "")

    async def run(self) -> None:
        """Keep up with the signer, and show the countdown, until cancelled. Errors as `refresh`."""
        while True:
            self._show_wait()
            await trio.sleep(PROBE_EVERY_S)
            await self.refresh()

    def _refusal(self) -> SigningRefused | None:
        return self._watch.refusal(self._now_slot(), trio.current_time())

    def _refusal_of(self, public_key: bytes) -> SigningRefused | None:
        """As `_refusal`; and a key that came with a reconnection is watched for before it signs (L22)."""
        refusal = self._refusal()
        if refusal is None and not self._watch.is_tracked(public_key):
            return DoppelgangerWait(self._watch.wait_slots)
        return refusal

    def _require_allowed(self, public_key: bytes) -> None:
        refusal = self._refusal_of(public_key)
        if refusal is not None:
            raise refusal

    def _wait_slots(self) -> int:
        return self._watch.remaining_slots(self._now_slot(), trio.current_time())

    def _show_wait(self) -> None:
        """A line at the beginning, one each period, and one at the end."""
        wait_slots, logged = self._wait_slots(), self._logged_wait_slots
        self._metrics.signing_wait_slots.set(wait_slots)
        if wait_slots > logged or (wait_slots and logged - wait_slots >= self._params.period_slots):
            self._log.info(
                "doppelganger wait",
                slots_left=wait_slots,
                seconds_left=wait_slots * self._params.slot_ms / 1000,
            )
            self._logged_wait_slots = wait_slots
        elif logged and not wait_slots:
            self._log.info("doppelganger wait over", signing=self._refusal() is None)
            self._logged_wait_slots = 0

    def _alarm(self, sighting: Sighting | None) -> None:
        if sighting is not None:
            self._metrics.doppelgangers.inc()
            self._log.error("doppelganger seen", error=str(DoppelgangerSeen(str(sighting))))

    def _note_unavailable(self, error: SignerUnavailable | None) -> None:
        self._metrics.signer_available.set(error is None)
        if error is not None and self._unavailable is None:
            self._log.error("signer unavailable", error=str(error))
        elif error is None and self._unavailable is not None:
            self._log.info("signer available again")
        self._unavailable = error

    def _note_last(self, public_key: bytes, slot: int) -> None:
        self._signed_up_to[public_key] = max(slot, self._signed_up_to.get(public_key, 0))

    def _now_slot(self) -> int:
        return slot_at(self._params, self._now_ms())


class OwnValidators:
    """Which validators of an epoch are ours: those whose consensus key our signer holds."""

    def __init__(self, schedule: Schedule, guard: SigningGuard | None) -> None:
        """`guard` None: a node without keys."""
        self._schedule = schedule
        self._guard = guard
        self._found: dict[tuple[bytes, tuple[bytes, ...]], Mapping[int, bytes]] = {}

    def at(self, slot: int) -> Mapping[int, bytes]:
        """validator index -> public key of ours, in the epoch of `slot`, ascending; of epoch 0 before genesis."""
        if self._guard is None:
            return {}
        validators = self._schedule.of_slot(max(0, slot)).validators
        held = self._guard.public_keys()
        found = self._found.get((validators.digest, held))
        if found is None:
            keys = frozenset(held)
            found = {
                one.index: one.consensus_key for one in validators.validators if one.consensus_key in keys
            }
            # An epoch's and the next one's: nobody asks for more in turn.
            while len(self._found) > 1:
                self._found.pop(next(iter(self._found)))
            self._found[validators.digest, held] = found
        return found

    def indices(self, slot: int) -> tuple[int, ...]:
        """Their indices, ascending."""
        return tuple(sorted(self.at(slot)))

    def strangers(self, slot: int) -> tuple[bytes, ...]:
        """Keys of ours that belong to no validator of that epoch: not registered, not active yet, or retired."""
        own = self.at(slot).values()
        return (
            () if self._guard is None else tuple(key for key in self._guard.public_keys() if key not in own)
        )


async def watch_blocks(guard: SigningGuard, own: OwnValidators, updates: Subscription) -> None:
    """Show every block that came into the DAG under one of our keys to `guard`, until the writer ends. What a lagging
    subscription loses is not seen: a doppelganger signs again."""
    with updates:
        while True:
            try:
                update = await updates.receive()
            except trio.EndOfChannel:
                return
            for event in () if isinstance(update, Resync) else update.events:
                if isinstance(event, BlockAdded):
                    public_key = own.at(event.slot).get(event.proposer)
                    if public_key is not None:
                        guard.observed_block(public_key, event.slot, event.block_id)


def vote_observer(guard: SigningGuard, own: OwnValidators, params: Params) -> Callable[[Vote], None]:
    """Shows every vote under one of our keys to `guard`."""

    def observed(vote: Vote) -> None:
        public_key = own.at(vote.target.period * params.period_slots).get(vote.validator)
        if public_key is not None:
            guard.observed_vote(public_key, vote)

    return observed
