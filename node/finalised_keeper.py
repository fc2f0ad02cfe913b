"""Keeps the state as of the finalised checkpoint, and a finality proof of every epoch.

Both live on reads: a second state tree follows finality by the store's undo records, in reader workers. Only the
finished proofs go through the chain writer, one small synced batch an epoch.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TypeVar

import trio

from consensus.events import PeriodFinalised
from consensus.finalised_state import FinalisedState, ProvedValue, UndoRecordsGone
from consensus.light_client import FinalityProof
from consensus.proof_making import begin_state, catch_up, make_finality_proof
from consensus.proof_store import stage_proof
from consensus.votes import Checkpoint
from ledger.storage.store import Reader, WriteBatch
from node.chain_context import ChainContext
from node.chain_writer import ChainUpdate, ChainWriter, ChainWriterClosed, Resync, Subscription
from node.env import Workers
from node.logs import Log

T = TypeVar("T")


class NothingProved(Exception):
    """There is no finalised checkpoint yet of which anything can be proved; the text says why."""


@dataclass(frozen=True, slots=True)
class ProvedValues:
    """Values of state keys under a finalised checkpoint."""

    finality: FinalityProof
    values: tuple[ProvedValue, ...]


class FinalisedKeeper:
    """One per node. `run` is the service."""

    def __init__(
        self, chain: ChainContext, writer: ChainWriter, workers: Workers, *, archive: bool, log: Log
    ) -> None:
        """`archive`: no proof is ever dropped."""
        self._chain = chain
        self._writer = writer
        self._workers = workers
        self._archive = archive
        self._log = log
        self._state: FinalisedState | None = None
        self._turn = trio.Lock()
        """Of whoever uses `_state`."""
        self._proof: FinalityProof | None = None
        """Of the checkpoint that `_state` stands at, once somebody asked for it."""

    @property
    def position(self) -> tuple[Checkpoint, int] | None:
        """The checkpoint that the state stands at and its block's slot; None while it is being read."""
        state = self._state
        return None if state is None else (state.checkpoint, state.header.slot)

    async def run(self, updates: Subscription) -> None:
        """Follow finality until the writer ends. Errors: the store's."""
        with updates:
            try:
                await self._catch_up()
                while True:
                    match await updates.receive():
                        case ChainUpdate(events=events):
                            moved = any(isinstance(event, PeriodFinalised) for event in events)
                        case Resync():
                            moved = True
                    if moved:
                        await self._catch_up()
            except (trio.EndOfChannel, ChainWriterClosed):
                return

    async def prove(self, keys: Sequence[bytes]) -> ProvedValues:
        """Values and proofs of state keys as of the finalised checkpoint, and the proof that it is final.

        Errors: `NothingProved`; `ProofTooLarge`; the store's.
        """
        async with self._turn:
            state = self._state
            if state is None:
                raise NothingProved("the finalised state is being read; ask again in some seconds")
            try:
                return await self._read(lambda reader: self._prove(state, reader, keys))
            except UndoRecordsGone as error:
                raise NothingProved(f"{error}; ask again in some seconds") from None

    async def use(self, job: Callable[[FinalisedState, Reader], T]) -> T:
        """The result of a reading job over the finalised state, which stands still meanwhile. Errors as `prove`, and
        those of the job."""
        async with self._turn:
            state = self._state
            if state is None:
                raise NothingProved("the finalised state is being read; ask again in some seconds")
            return await self._read(lambda reader: job(state, reader))

    def _prove(self, state: FinalisedState, reader: Reader, keys: Sequence[bytes]) -> ProvedValues:
        if self._proof is None or self._proof.justifying.target != state.checkpoint:
            self._proof = make_finality_proof(reader, state)
        if self._proof is None:
            raise NothingProved(
                f"period {state.checkpoint.period} is final without certificates of this node's own; "
                "ask again when the next one is"
            )
        return ProvedValues(self._proof, state.prove(reader, keys))

    async def _catch_up(self) -> None:
        async with self._turn:
            proofs = await self._read(self._moved)
        if not proofs:
            return
        batch = WriteBatch()
        epochs = [
            stage_proof(batch, self._chain.store, self._chain.params, proof, archive=self._archive)
            for proof in proofs
        ]
        await self._writer.call(lambda engine: engine.write_beside(batch))
        self._log.info("finality proofs kept", epochs=epochs)

    def _moved(self, reader: Reader) -> tuple[FinalityProof, ...]:
        """The state moved to the finalised checkpoint; the proofs that were made on the way."""
        params = self._chain.params
        if self._state is not None:
            try:
                return catch_up(self._state, reader, params)
            except UndoRecordsGone as error:
                self._log.warning("finalised state fell behind and is read anew", reason=str(error))
        self._state = None
        state = begin_state(reader, params)
        made = catch_up(state, reader, params)
        self._state = state
        return made

    async def _read(self, job: Callable[[Reader], T]) -> T:
        def over_snapshot() -> T:
            snapshot = self._chain.store.snapshot()
            try:
                return job(snapshot)
            finally:
                snapshot.close()

        return await self._workers.run_reader(over_snapshot)
