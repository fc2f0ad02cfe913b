"""finality_*: what is final, who voted, and the certificates that prove it."""

from consensus.certificates import Certificate, signed_stake
from consensus.params import epoch_at, period_at, slot_at
from consensus.proof_store import (
    ProofsPage,
    earlier_snapshots,
    epoch_after_period,
    proof_epochs_down,
    read_finality_proof,
    read_proofs,
)
from consensus.stores import read_certificate, read_header
from consensus.votes import Checkpoint
from ledger.encoding import MAX_INTEGER
from ledger.storage.store import Reader
from node.rpc.groups import Method, MethodGroup
from node.rpc.protocol import INVALID_PARAMS, MAX_RESULT_BYTES, NOT_FOUND, RpcError
from node.rpc.schema import GetCertificates, GetProofs, Params
from wnsp.spectrum import BANDS

PROOF_BYTES = MAX_RESULT_BYTES // 4
"""Of proofs and snapshots in one answer, which in hex is half of what an answer may have. The first proof always
comes, and has at most 0.7 MiB with 1,000 active validators and as many whose keys alone are known."""


class FinalityMethods(MethodGroup):
    """Justification, finalisation, certificates."""

    def methods(self) -> tuple[Method, ...]:
        """See `MethodGroup`."""
        return (
            Method("finality_status", Params, self._status),
            Method("finality_getCertificates", GetCertificates, self._certificates),
            Method("finality_getProofs", GetProofs, self._proofs),
        )

    async def _status(self, _: Params) -> object:
        services = self.services
        status = await self.read(lambda _: services.finality())
        head = services.head
        slot = max(0, slot_at(services.params, services.now_ms()))
        period = period_at(services.params, slot)
        schedule = services.schedule.of_epoch(
            epoch_at(services.params, period * services.params.period_slots)
        )
        voters = [services.voters(one) for one in (period, period - 1)]
        final_slot = await self.read(lambda reader: _slot_of(reader, status.finalised))
        lag = max(0, head.slot - final_slot)
        online = signed_stake(schedule, voters[0] | voters[1])
        whole = schedule.validators.total_effective_stake_units
        # A healthy block is final about 23 slots after it was made; two periods more are no reason to worry.
        paused = lag > 5 * services.params.period_slots
        return {
            "justified": _checkpoint_json(status.justified),
            "finalised": {**_checkpoint_json(status.finalised), "slot": str(final_slot)},
            "proved": await self.read(_newest_proved),
            "head_slot": str(head.slot),
            "lag_slots": str(lag),
            "period": str(period),
            "mode": schedule.validators.status,
            "bands_required": schedule.bands_required,
            "voting_stake": str(online),
            "total_stake": str(whole),
            "state": "paused" if paused else "advancing",
            "reason": _why_paused(online, whole) if paused else "",
        }

    async def _certificates(self, params: GetCertificates) -> object:
        def job(reader: Reader) -> list[Certificate]:
            found = []
            for period in range(params.first_period, params.first_period + params.limit):
                certificate = read_certificate(reader, period)
                if certificate is not None:
                    found.append(certificate)
            return found

        found = await self.read(job)
        if not found:
            raise RpcError(
                NOT_FOUND,
                f"no certificate for periods {params.first_period} to {params.first_period + params.limit - 1}",
                code="CertificateNotFound",
            )
        return {"certificates": [_certificate_json(one) for one in found]}

    async def _proofs(self, params: GetProofs) -> object:
        if params.from_epoch is not None and params.after_period is not None:
            raise RpcError(
                INVALID_PARAMS, "from_epoch and after_period exclude each other", code="ParamsInvalid"
            )

        def job(reader: Reader) -> tuple[ProofsPage, tuple[bytes, ...]]:
            first = params.from_epoch or 0
            if params.after_period is not None:
                first = epoch_after_period(reader, self.services.params, params.after_period)
            earlier = earlier_snapshots(reader, first, max_bytes=PROOF_BYTES) if params.earlier else ()
            room = PROOF_BYTES - sum(map(len, earlier))
            return read_proofs(reader, first, limit=params.limit, max_bytes=room), earlier

        page, earlier = await self.read(job)
        return {
            "proofs": [raw.hex() for raw in page.proofs],
            "earlier": [raw.hex() for raw in earlier],
            "next_epoch": None if page.next_epoch is None else str(page.next_epoch),
        }


def _slot_of(reader: Reader, checkpoint: Checkpoint) -> int:
    header = read_header(reader, checkpoint.block_id)
    return 0 if header is None else header.slot


def _newest_proved(reader: Reader) -> dict[str, object] | None:
    """The newest checkpoint that a light client or a newcomer can begin with."""
    epoch = next(proof_epochs_down(reader, MAX_INTEGER), None)
    proof = None if epoch is None else read_finality_proof(reader, epoch)
    if proof is None:
        return None
    return {**_checkpoint_json(proof.justifying.target), "slot": str(proof.header.slot)}


def _why_paused(online: int, whole: int) -> str:
    if 3 * online <= 2 * whole:
        return (
            f"votes of {online} of {whole} units of stake are known for the last periods; more than two thirds are "
            "needed. Order goes on; finality resumes when the validators are back"
        )
    return "enough stake votes, but not for one chain or in enough bands yet"


def _checkpoint_json(checkpoint: Checkpoint) -> dict[str, object]:
    return {"period": str(checkpoint.period), "block": checkpoint.block_id.hex()}


def _certificate_json(certificate: Certificate) -> dict[str, object]:
    return {
        "source": _checkpoint_json(certificate.source),
        "target": _checkpoint_json(certificate.target),
        "epoch": str(certificate.epoch),
        "snapshot_epoch": str(certificate.snapshot_epoch),
        "interference": certificate.interference.hex(),
        "votes": [
            {"validator": vote.validator, "band": BANDS[vote.band].name, "signature": vote.signature.hex()}
            for vote in certificate.votes
        ],
    }
