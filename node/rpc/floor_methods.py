"""floor_*: the floor as a whole, its citizens, and what registrars say of a person."""

from ledger.economy.floor.categories import CATEGORIES
from ledger.economy.floor.queries import (
    AttestationView,
    CitizenView,
    FloorView,
    attestation_view,
    citizen_view,
    floor_view,
)
from ledger.governed.registrars import read_registrars
from node.rpc.economy_schema import GetAttestation, GetCitizen
from node.rpc.groups import Method, MethodGroup, SinkState
from node.rpc.protocol import NOT_FOUND, RpcError
from node.rpc.schema import Params


class FloorMethods(MethodGroup):
    """The BHLS floor."""

    def methods(self) -> tuple[Method, ...]:
        """See `MethodGroup`."""
        return (
            Method("floor_getStatus", Params, self._get_status),
            Method("floor_getCitizen", GetCitizen, self._get_citizen),
            Method("floor_getAttestation", GetAttestation, self._get_attestation),
        )

    async def _get_status(self, _: Params) -> object:
        rules = self.services.params.staking

        def job(sink: SinkState) -> tuple[FloorView, tuple[bytes, ...], int]:
            return (
                floor_view(sink.state, sink.epoch, rules),
                read_registrars(sink.state),
                sink.epoch,
            )

        view, registrars, epoch = await self.read_state(job)
        floor = view.floor
        return {
            "epoch": str(epoch),
            "population": str(floor.population),
            "registrations_left": str(view.registrations_left),
            "registrars": [self.encode_address(address) for address in registrars],
            "balance": str(view.balance_units),
            "owed": str(floor.owed_units),
            "held_back": str(floor.held_back_units),
            "waiting_income": str(floor.income_units),
            "free": str(view.free_units),
            "paid": str(floor.paid_units),
            "stability_ppm": view.stability_ppm,
            "basket": dict(zip(CATEGORIES, map(str, view.basket_units), strict=True)),
            "entitlement_month": str(view.month_units),
            "entitlement_day": str(view.day_units),
            "required_month": str(view.required_month_units),
            "required_day": str(view.required_day_units),
            "last_accrual": {
                "epoch": str(floor.epoch),
                "entitlement": str(floor.entitlement_units),
                "payment": str(floor.payment_units),
                "release_ppm": floor.release_ppm,
                "stability_ppm": floor.stability_ppm,
            },
            "floor_credits_per_day": str(view.credit_units_per_day),
            "crisis": {
                "active": view.crisis_have_units < view.crisis_need_units,
                "have": str(view.crisis_have_units),
                "need": str(view.crisis_need_units),
            },
            "citizens_payable_a_month": str(view.citizens_payable),
            "citizens_payable_a_month_by_supply": str(view.citizens_payable_by_supply),
        }

    async def _get_citizen(self, params: GetCitizen) -> object:
        address = self.decode_address(params.address)
        view = await self.read_state(lambda sink: citizen_view(sink.state, address))
        if view is None:
            raise RpcError(
                NOT_FOUND,
                f"{params.address} is no citizen",
                code="CitizenNotFound",
                hint="citizens register with a person's commitment that registrars have attested",
            )
        return self._citizen_json(view)

    def _citizen_json(self, view: CitizenView) -> dict[str, object]:
        citizen = view.citizen
        return {
            "address": self.encode_address(view.address),
            "person": citizen.person.hex(),
            "registered_epoch": str(citizen.registered_epoch),
            "left": str(view.left_units),
            "left_by_category": dict(zip(CATEGORIES, map(str, citizen.left), strict=True)),
            "claimable": str(view.claimable_units),
            "claimed": str(citizen.claimed_units),
            "spent": str(citizen.spent_units),
        }

    async def _get_attestation(self, params: GetAttestation) -> object:
        person = bytes.fromhex(params.person)
        rules = self.services.params.staking

        def job(sink: SinkState) -> AttestationView:
            return attestation_view(sink.state, person, sink.epoch, rules)

        view = await self.read_state(job)
        subjects = {one.subject for one in view.statements}
        return {
            "person": params.person,
            "citizen": None if view.address is None else self.encode_address(view.address),
            "needed": view.needed,
            "ready": any(view.ready_for(subject) for subject in subjects),
            "statements": [
                {
                    "registrar": self.encode_address(one.registrar),
                    "subject": self.encode_address(one.subject),
                    "epoch": str(one.epoch),
                }
                for one in view.statements
            ],
        }
