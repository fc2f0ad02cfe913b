"""Chains that finalise over several epochs, with the proofs that a node keeps of them."""

from dataclasses import dataclass
from random import Random

from builders.blocks import FoundedChain
from builders.history import Maker, tiny_chain

from consensus.engine import Engine
from consensus.finalised_state import FinalisedState
from consensus.light_client import FinalityProof, Trusted, trust_genesis
from consensus.proof_making import begin_state, catch_up
from consensus.proof_store import stage_proof
from ledger.storage.store import WriteBatch


def keep_proofs(engine: Engine, state: FinalisedState, *, archive: bool = False) -> tuple[FinalityProof, ...]:
    """What the node's service does when a period is final."""
    snapshot = engine.stores.store.snapshot()
    try:
        made = catch_up(state, snapshot, engine.params)
        batch = WriteBatch()
        for proof in made:
            stage_proof(batch, snapshot, engine.params, proof, archive=archive)
    finally:
        snapshot.close()
    if made:
        engine.write_beside(batch)
    return made


@dataclass
class ProvedChain:
    """An engine that lived, and what it can prove."""

    chain: FoundedChain
    maker: Maker
    state: FinalisedState
    proofs: list[FinalityProof]

    @property
    def engine(self) -> Engine:
        return self.maker.engine

    @property
    def trusted(self) -> Trusted:
        """What everybody knows who has the genesis document."""
        return trust_genesis(self.chain.genesis, self.chain.params, self.engine.genesis_id)

    def live(self, slots: int, *, presence: float = 0.8, odd: float = 0.0, payments: int = 1) -> None:
        """Live on; proofs are kept after every slot."""
        for _ in range(slots):
            self.maker.live(1, presence=presence, odd=odd, payments=payments)
            self.proofs.extend(keep_proofs(self.engine, self.state))


def proved_chain(seed: int, slots: int, *, validators: int = 6, odd: float = 0.0) -> ProvedChain:
    """A chain of so many slots, the same for the same arguments."""
    chain = tiny_chain(validators)
    maker = Maker(chain, Random(seed))
    state = begin_state(maker.engine.stores.store, chain.params)
    proved = ProvedChain(chain, maker, state, [])
    proved.live(slots, odd=odd)
    return proved
