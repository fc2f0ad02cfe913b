"""validator_* and staking_*: who validates, when, and what stands behind them."""

from consensus.params import epoch_at, first_slot_of_epoch, slot_at
from consensus.stores import read_head
from ledger.staking.queries import (
    StakePart,
    UnbondingPart,
    ValidatorView,
    delegations,
    stake_part,
    unbondings,
    validator,
    validators,
)
from ledger.storage.state_store import LedgerStore
from ledger.storage.store import Reader
from node.rpc.groups import Method, MethodGroup
from node.rpc.protocol import INVALID_PARAMS, NOT_FOUND, RpcError
from node.rpc.schema import GetSchedule, GetStakes, GetValidator, Params
from wnsp.spectrum import BAND_COUNT, BANDS

LISTED_VALIDATORS = 4_096


class ValidatorMethods(MethodGroup):
    """Validators, their schedule, their stakes."""

    def methods(self) -> tuple[Method, ...]:
        """See `MethodGroup`."""
        return (
            Method("validator_list", Params, self._list),
            Method("validator_get", GetValidator, self._get),
            Method("validator_schedule", GetSchedule, self._schedule),
            Method("staking_getStakes", GetStakes, self._stakes),
        )

    async def _list(self, _: Params) -> object:
        views = await self.read(self._views)
        schedule = self.services.schedule.of_slot(self._slot())
        return {
            "mode": schedule.validators.status,
            "epoch": str(schedule.epoch),
            "total_effective_stake": str(schedule.validators.total_effective_stake_units),
            "bands_required": schedule.bands_required,
            "validators": [self._validator_json(view) for view in views],
        }

    def _views(self, reader: Reader) -> list[ValidatorView]:
        listed = []
        for view in validators(LedgerStore(reader), self._head_epoch(reader)):
            listed.append(view)
            if len(listed) == LISTED_VALIDATORS:
                break
        return listed

    async def _get(self, params: GetValidator) -> object:
        view = await self.read(
            lambda reader: validator(LedgerStore(reader), params.index, self._head_epoch(reader))
        )
        if view is None:
            raise RpcError(NOT_FOUND, f"no validator {params.index}", code="ValidatorNotFound")
        return self._validator_json(view)

    def _validator_json(self, view: ValidatorView) -> dict[str, object]:
        record = view.record
        schedule = self.services.schedule.of_slot(self._slot())
        member = schedule.validators.find(record.index)
        band = schedule.band_of(record.index)
        return {
            "index": record.index,
            "consensus_key": record.consensus_key.hex(),
            "withdrawal_address": self.encode_address(record.withdrawal_address),
            "status": view.status,
            "self_stake": str(record.self_stake_units),
            "delegated": str(record.delegated_units),
            "effective_stake": "0" if member is None else str(member.effective_stake_units),
            "band": None if band is None else BANDS[band].name,
            "commission_ppm": view.commission_ppm,
            "unpaid_rewards": str(view.own_rewards_units),
            "activation_epoch": str(record.activation_epoch),
            "jailed_until_epoch": str(record.jailed_until_epoch),
            "exit_epoch": str(record.exit_epoch),
            "onion_layers": str(record.onion_layers),
            "onion_generation": str(record.onion_generation),
            "slashes": [
                {
                    "epoch": str(slash.epoch),
                    "offence_epoch": str(slash.offence_epoch),
                    "offence": slash.offence_id.hex(),
                    "units": str(slash.units),
                }
                for slash in record.slashes
            ],
            "ours": record.index in self.services.validator_indices,
        }

    async def _schedule(self, params: GetSchedule) -> object:
        chain = self.services.params
        now = self._slot()
        first = now if params.first_slot is None else params.first_slot
        latest = first_slot_of_epoch(chain, epoch_at(chain, now) + 2) - 1
        if first > latest:
            raise RpcError(
                INVALID_PARAMS,
                f"slot {first} is of an epoch that is not dealt yet; the schedule is known up to slot {latest}",
                code="ScheduleUnknown",
            )
        last = min(first + params.slots - 1, latest)
        slots = []
        for slot in range(first, last + 1):
            schedule = self.services.schedule.of_slot(slot)
            lanes = [
                {"band": BANDS[band].name, "validator": index}
                for band in range(BAND_COUNT)
                if (index := schedule.proposer(slot, band)) is not None
                and (params.validator is None or params.validator == index)
            ]
            if lanes or params.validator is None:
                slots.append({"slot": str(slot), "epoch": str(schedule.epoch), "lanes": lanes})
        return {
            "slot_now": str(now),
            "epoch": str(epoch_at(chain, now)),
            "mode": self.services.schedule.of_slot(now).validators.status,
            "slots": slots,
        }

    async def _stakes(self, params: GetStakes) -> object:
        address = self.decode_address(params.address)
        own = params.validator
        final = self.services.finalised_epoch()

        def job(reader: Reader) -> tuple[list[StakePart], list[UnbondingPart]]:
            state = LedgerStore(reader)
            parts = list(delegations(state, address, final))
            for view in validators(state, self._head_epoch(reader)):
                if view.record.withdrawal_address == address and (own is None or own == view.record.index):
                    part = stake_part(state, address, view.record.index, final)
                    if part is not None:
                        parts.append(part)
            return parts, list(unbondings(state, address, self.services.params.unbonding_epochs))

        parts, leaving = await self.read(job)
        return {
            "address": params.address.lower(),
            "stakes": [
                {
                    "validator": part.validator,
                    "own": part.own,
                    "stake": str(part.stake_units),
                    "rewards": str(part.rewards_units),
                    "claimable": str(part.claimable_units),
                }
                for part in sorted(parts, key=lambda part: (part.validator, part.own))
                if own is None or part.validator == own
            ],
            "unbonding": [
                {
                    "validator": part.validator,
                    "units": str(part.units),
                    "epoch": str(part.epoch),
                    "free_epoch": str(part.free_epoch),
                }
                for part in leaving
                if own is None or part.validator == own
            ],
        }

    def _slot(self) -> int:
        return max(0, slot_at(self.services.params, self.services.now_ms()))

    def _head_epoch(self, reader: Reader) -> int:
        head = read_head(reader)
        return 0 if head is None else epoch_at(self.services.params, head.slot)
