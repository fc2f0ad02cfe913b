"""`/nexus/certificates/1`, and what it is for: two finalities that contradict each other stop the node (L14).

A chain without our finalised checkpoint is never fetched, so the engine would never see that it is final elsewhere.
When a peer's plan leaves our chain below what is final, we ask it for its certificates from there downwards. Two of
them that finalise another checkpoint than ours, verified by the validators that we know, are the proof: it is kept
beside our own, and the node stops with an alarm. Unproved claims change nothing.
"""

from collections import OrderedDict
from collections.abc import Callable, Sequence
from typing import Annotated, Final

import msgspec
import trio

from consensus.certificates import CERTIFICATE_CODEC, Certificate, verify_certificate
from consensus.engine import Engine
from consensus.finality_proofs import FinalityProof
from consensus.params import epoch_at
from consensus.schedule import GENESIS_EPOCHS
from consensus.stores import read_certificate
from consensus.vote_errors import CertificateInvalid
from ledger.encoding import Codec, Count, Record
from ledger.errors import CodecError
from node.chain_context import ChainContext
from node.chain_writer import ChainWriter, ChainWriterClosed
from node.env import Workers
from node.flows.asking import PeerServedJunk, Report, ask, understood
from node.flows.wire import MAX_REPLY_BYTES
from node.logs import Log
from p2p.errors import NetworkError
from p2p.network import Network, PeerId
from p2p.peers import Fault

CERTIFICATES_PROTOCOL: Final = "/nexus/certificates/1"

MAX_ASKED: Final = 8
MOST_QUESTIONS: Final = 16
"""128 periods downwards: a fork older than that is older than the snapshots by which its certificates are verified."""
ASK_AGAIN_S = 60.0
MAX_SUSPECTS = 64


class CertificatesRequest(Record, frozen=True):
    """Your certificates of these periods, please."""

    first_period: Count
    periods: Annotated[int, msgspec.Meta(ge=1, le=MAX_ASKED)]


class CertificatesReply(Record, frozen=True):
    """Those that there are, ascending by period, as many as fit."""

    certificates: Annotated[
        tuple[Annotated[bytes, msgspec.Meta(max_length=CERTIFICATE_CODEC.max_bytes)], ...],
        msgspec.Meta(max_length=MAX_ASKED),
    ]


REQUEST_CODEC: Final = Codec(CertificatesRequest, "request for certificates", 32)
REPLY_CODEC: Final = Codec(CertificatesReply, "reply with certificates", MAX_REPLY_BYTES)


class FinalityWatch:
    """One per node. `run` is the service, `found_fork` tells it of a peer."""

    def __init__(
        self,
        chain: ChainContext,
        writer: ChainWriter,
        network: Network,
        workers: Workers,
        *,
        report: Report,
        log: Log,
    ) -> None:
        self._chain = chain
        self._writer = writer
        self._network = network
        self._workers = workers
        self._report = report
        self._log = log
        self._asked_s: OrderedDict[PeerId, float] = OrderedDict()
        self._suspects: dict[PeerId, None] = {}
        self._found = trio.Event()

    def found_fork(self, peer: PeerId) -> None:
        """The peer's chain leaves ours below our finalised checkpoint."""
        if trio.current_time() - self._asked_s.get(peer, -ASK_AGAIN_S) < ASK_AGAIN_S:
            return
        if len(self._suspects) < MAX_SUSPECTS:
            self._suspects[peer] = None
            self._found.set()

    async def run(self, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> None:
        """Serve certificates, and question suspects one after the other, until cancelled."""
        await self._network.serve(
            CERTIFICATES_PROTOCOL, self._answer, max_request_bytes=REQUEST_CODEC.max_bytes
        )
        task_status.started()
        while True:
            await self._found.wait()
            if not self._suspects:
                self._found = trio.Event()
                continue
            peer = next(iter(self._suspects))
            del self._suspects[peer]
            self._asked_s[peer] = trio.current_time()
            while len(self._asked_s) > MAX_SUSPECTS:
                self._asked_s.popitem(last=False)
            try:
                await self._question(peer)
            except (NetworkError, PeerServedJunk) as error:
                self._log.debug("peer could not prove its finality", peer=peer, error=str(error))
            except ChainWriterClosed:
                return

    # ---- serving

    async def _answer(self, peer: PeerId, data: bytes) -> bytes:
        request = understood(REQUEST_CODEC, peer, data, self._report)
        return await self._workers.run_reader(lambda: self._reply(request))

    def _reply(self, request: CertificatesRequest) -> bytes:
        found: list[bytes] = []
        size = 0
        for period in range(request.first_period, request.first_period + request.periods):
            certificate = read_certificate(self._chain.store, period)
            if certificate is None:
                continue
            raw = CERTIFICATE_CODEC.encode(certificate)
            size += len(raw) + 8
            if size > MAX_REPLY_BYTES - 64:
                break
            found.append(raw)
        return REPLY_CODEC.encode(CertificatesReply(tuple(found)))

    # ---- asking

    async def _question(self, peer: PeerId) -> None:
        """Downwards from our finalised period to where the peer's certificates are ours, then look for a proof."""
        newest = self._writer.finalised.period
        theirs: dict[int, Certificate] = {}
        for turn in range(MOST_QUESTIONS):
            first = max(1, newest + 2 - (turn + 1) * MAX_ASKED)
            batch = await self._certificates(peer, first)
            theirs.update((one.target.period, one) for one in batch)
            if first == 1 or any(self._is_ours(one) for one in batch):
                break
        proof = await self._workers.run_reader(lambda: self._contradiction(theirs, newest))
        if proof is None:
            self._log.warning(
                "peer's chain lacks our finalised checkpoint and proves no finality of its own",
                peer=peer,
                certificates=len(theirs),
            )
            return
        self._log.error(
            "ALARM: two finalities contradict each other",
            peer=peer,
            period=proof.checkpoint.period,
            theirs=proof.checkpoint.block_id,
        )
        await self._writer.call(_stop_for(proof))

    async def _certificates(self, peer: PeerId, first: int) -> Sequence[Certificate]:
        reply = await ask(
            self._network,
            peer,
            CERTIFICATES_PROTOCOL,
            REQUEST_CODEC.encode(CertificatesRequest(first, MAX_ASKED)),
            REPLY_CODEC,
            report=self._report,
        )
        try:
            return [CERTIFICATE_CODEC.decode(raw) for raw in reply.certificates]
        except CodecError as error:
            self._report(peer, Fault.MALFORMED)
            raise PeerServedJunk(peer, f"a malformed certificate: {error}") from None

    def _is_ours(self, certificate: Certificate) -> bool:
        ours = read_certificate(self._chain.store, certificate.target.period)
        return ours is not None and ours.target == certificate.target

    def _contradiction(self, theirs: dict[int, Certificate], newest: int) -> FinalityProof | None:
        """The lowest checkpoint that `theirs` finalise, up to our finalised period, where ours is another one."""
        for period in sorted(theirs):
            justifying, finalising = theirs[period], theirs.get(period + 1)
            ours = read_certificate(self._chain.store, period)
            if period > newest or finalising is None or finalising.source != justifying.target:
                continue
            if ours is None or ours.target == justifying.target:
                continue
            if self._verifies(justifying) and self._verifies(finalising):
                return FinalityProof(justifying.target, (justifying, finalising))
        return None

    def _verifies(self, certificate: Certificate) -> bool:
        """Whether validators and bands that we know have signed it."""
        params, schedule = self._chain.params, self._chain.schedule
        epoch = epoch_at(params, certificate.target.period * params.period_slots)
        anchors = [one for one in schedule.seen.anchors if one.epoch == certificate.snapshot_epoch]
        if epoch < GENESIS_EPOCHS:
            anchors = [schedule.genesis_anchor]
        for anchor in anchors:
            try:
                verify_certificate(certificate, schedule.of_epoch(epoch, anchor), params.genesis_hash)
            except CertificateInvalid:
                continue
            return True
        return False


def _stop_for(proof: FinalityProof) -> Callable[[Engine], None]:
    def stop(engine: Engine) -> None:
        engine.stop_for_foreign_finality(proof)

    return stop
