"""message_* and economy_*: what messages cost, where the loop's units are, what the policy decided, what backs NXT."""

from dataclasses import dataclass

from ledger.accounts import (
    ADDRESS_OF_SYSTEM_ACCOUNT,
    EMPTY_ACCOUNT,
    RESERVES,
    SECTORS,
    SYSTEM_ACCOUNTS,
    TRANSITION_RESERVE,
    decode_account,
)
from ledger.amounts import MAX_SUPPLY_UNITS
from ledger.economy.allocation import SECTOR_WEIGHTS_PPM
from ledger.economy.crisis import CrisisRecord, read_crisis
from ledger.economy.debt_backing import DebtBacking, debt_backing, format_backing
from ledger.economy.floor.queries import FloorView, floor_view
from ledger.economy.loop import drain_limit_units, due_allocation_units
from ledger.economy.loop_totals import LoopTotals, read_loop_totals
from ledger.economy.message_burn import RegionLedger, message_price_units, read_region_ledger
from ledger.economy.monetary_policy import PolicyRecord, read_policy
from ledger.economy.regions import REGIONS
from ledger.economy.seeding import SeedingOutlook, seeding_outlook
from ledger.economy.supply_chain import demand_of_sectors
from ledger.issuance import (
    FRACTION_BITS,
    Flows,
    read_flows,
    read_issuance_share,
    read_price_rise_ppm,
)
from ledger.staking_rules import StakingRules
from ledger.state import StateReader, account_key
from node.rpc.economy_schema import PRIORITY_NUMBER, GetMessagePrice
from node.rpc.groups import Method, MethodGroup, SinkState
from node.rpc.schema import Params

PPM = 1_000_000
SHOWN_BYTES = 1_024
"""Size of the message whose price stands for its region."""


@dataclass(frozen=True, slots=True)
class EconomyView:
    """All that `economy_getStatus` shows, of one instant."""

    balances: dict[str, int]
    flows: Flows
    totals: LoopTotals
    demand_ppm: tuple[int, ...]
    outlooks: tuple[SeedingOutlook, ...]
    regions: tuple[RegionLedger, ...]
    rise_ppm: int
    share: int
    crisis: CrisisRecord
    floor: FloorView
    policy: PolicyRecord | None
    next_allocation_units: int
    drain_limit_units: int


def economy_view(reader: StateReader, slot: int, epoch: int, rules: StakingRules) -> EconomyView:
    """The economy at `slot` of `epoch`."""
    balances = {name: _balance(reader, ADDRESS_OF_SYSTEM_ACCOUNT[name]) for name in SYSTEM_ACCOUNTS}
    reserve = balances[TRANSITION_RESERVE]
    return EconomyView(
        balances=balances,
        flows=read_flows(reader),
        totals=read_loop_totals(reader),
        demand_ppm=demand_of_sectors(reader, epoch),
        outlooks=tuple(seeding_outlook(reader, sector, epoch, slot) for sector in range(len(SECTORS))),
        regions=tuple(read_region_ledger(reader, region) for region in range(len(REGIONS))),
        rise_ppm=read_price_rise_ppm(reader),
        share=read_issuance_share(reader),
        crisis=read_crisis(reader),
        floor=floor_view(reader, epoch, rules),
        policy=read_policy(reader),
        next_allocation_units=due_allocation_units(reader, reserve),
        drain_limit_units=drain_limit_units(reader, reserve),
    )


def _balance(reader: StateReader, address: bytes) -> int:
    raw = reader.get(account_key(address))
    return (EMPTY_ACCOUNT if raw is None else decode_account(raw)).balance


class EconomyMethods(MethodGroup):
    """The economic loop."""

    def methods(self) -> tuple[Method, ...]:
        """See `MethodGroup`."""
        return (
            Method("message_getPrice", GetMessagePrice, self._get_price),
            Method("economy_getStatus", Params, self._get_status),
            Method("economy_getPolicy", Params, self._get_policy),
            Method("economy_getDebtBacking", Params, self._get_debt_backing),
        )

    async def _get_price(self, params: GetMessagePrice) -> object:
        rise_ppm = await self.read_state(lambda sink: read_price_rise_ppm(sink.state))
        priority = PRIORITY_NUMBER[params.priority]
        return {
            "size_bytes": params.size_bytes,
            "priority": params.priority,
            "price_rise_ppm": rise_ppm,
            "prices": [
                {
                    "region": region.name,
                    "number": number,
                    "centre_pm": region.centre_pm,
                    "price": str(message_price_units(number, priority, params.size_bytes, rise_ppm)),
                }
                for number, region in enumerate(REGIONS)
                if params.region in (None, region.name)
            ],
        }

    async def _get_status(self, _: Params) -> object:
        rules = self.services.params.staking

        def job(sink: SinkState) -> tuple[EconomyView, int, int]:
            return economy_view(sink.state, sink.slot, sink.epoch, rules), sink.slot, sink.epoch

        view, slot, epoch = await self.read_state(job)
        return {
            "slot": str(slot),
            "epoch": str(epoch),
            "supply": _supply_json(view),
            "reserves": {name: str(view.balances[name]) for name in RESERVES},
            "bonded": str(view.balances["BONDED"]),
            "deposits": str(view.balances["DEPOSITS"]),
            "next_allocation": str(view.next_allocation_units),
            "floor_income_from_reserve": str(view.totals.reserve_floor_units),
            "sectors": self._sectors_json(view),
            "messages": _messages_json(view),
            "price_rise_ppm": view.rise_ppm,
            "crisis": _crisis_json(view),
            "floor": {
                "population": str(view.floor.floor.population),
                "balance": str(view.floor.balance_units),
                "owed": str(view.floor.floor.owed_units),
                "stability_ppm": view.floor.stability_ppm,
                "paid": str(view.floor.floor.paid_units),
            },
            "policy": {
                "output_ppm": None if view.policy is None else _ppm(view.policy.output),
                "issuance_share_ppm": _ppm(view.share),
                "floor_income": "0" if view.policy is None else str(view.policy.floor_income_units),
            },
        }

    def _sectors_json(self, view: EconomyView) -> list[dict[str, object]]:
        return [
            {
                "name": name,
                "balance": str(view.balances[f"SECTOR_{name}"]),
                "weight_ppm": SECTOR_WEIGHTS_PPM[sector],
                "demand_ppm": str(view.demand_ppm[sector]),
                "token": view.outlooks[sector].token.hex() or None,
                "pool": self.encode_address(view.outlooks[sector].pool)
                if view.outlooks[sector].pool
                else None,
                "next_seeding": "0"
                if view.outlooks[sector].obstacle
                else str(view.outlooks[sector].max_units),
                "seeding_obstacle": view.outlooks[sector].obstacle,
                "allocated": str(totals.allocated_units),
                "paid_to_floor": str(totals.floor_units),
                "seeded": str(totals.seeded_units),
                "seedings": str(totals.seedings),
            }
            for sector, (name, totals) in enumerate(zip(SECTORS, view.totals.sectors, strict=True))
        ]

    async def _get_policy(self, _: Params) -> object:
        def job(sink: SinkState) -> tuple[PolicyRecord | None, Flows, int, int]:
            reader = sink.state
            return (
                read_policy(reader),
                read_flows(reader),
                read_issuance_share(reader),
                read_price_rise_ppm(reader),
            )

        policy, flows, share, rise_ppm = await self.read_state(job)
        return {
            "issuance_share_q32": str(share),
            "issuance_share_ppm": _ppm(share),
            "price_rise_ppm": rise_ppm,
            "running_epoch": {
                "fees": str(flows.epoch_fee_units),
                "message_burns": str(flows.epoch_message_units),
                "transactions": str(flows.epoch_transactions),
            },
            "last_step": None if policy is None else _policy_json(policy),
        }

    async def _get_debt_backing(self, _: Params) -> object:
        rules = self.services.params.staking

        def job(sink: SinkState) -> tuple[DebtBacking, FloorView, int]:
            reader = sink.state
            return debt_backing(reader, sink.epoch, rules), floor_view(reader, sink.epoch, rules), sink.epoch

        backing, floor, epoch = await self.read_state(job)
        return {
            "epoch": str(epoch),
            "debt_usd": str(backing.debt_usd),
            "source": "oracle" if backing.from_oracle else "growth",
            "value_epoch": str(backing.value_epoch),
            "circulating": str(backing.circulating_units),
            "micro_usd_per_nxt": str(backing.micro_usd_per_nxt),
            "display": format_backing(backing.micro_usd_per_nxt),
            "population": str(floor.floor.population),
            "floor_credits_per_day": str(floor.credit_units_per_day),
            "release_ppm": floor.floor.release_ppm,
        }


def _ppm(q32: int) -> int:
    """A Q32.32 number in ppm, rounded towards minus infinity."""
    return q32 * PPM >> FRACTION_BITS


def _supply_json(view: EconomyView) -> dict[str, object]:
    reserved = sum(view.balances[name] for name in RESERVES)
    circulating = MAX_SUPPLY_UNITS - reserved
    return {
        "max_supply": str(MAX_SUPPLY_UNITS),
        "reserved": str(reserved),
        "circulating": str(circulating),
        "circulating_at_genesis": str(view.flows.circulating_at_genesis),
        "issued": str(view.flows.issued_units),
        "burned": str(view.flows.burned_units),
        "identity_error": str(circulating - view.flows.circulating_units),
    }


def _messages_json(view: EconomyView) -> list[dict[str, object]]:
    return [
        {
            "region": region.name,
            "centre_pm": region.centre_pm,
            "messages": str(known.messages),
            "content_bytes": str(known.content_bytes),
            "burned": str(known.burned_units),
            "price_of_1024_bytes": str(
                message_price_units(number, PRIORITY_NUMBER["normal"], SHOWN_BYTES, view.rise_ppm)
            ),
        }
        for number, (region, known) in enumerate(zip(REGIONS, view.regions, strict=True))
    ]


def _crisis_json(view: EconomyView) -> dict[str, object]:
    have, need = view.floor.crisis_have_units, view.floor.crisis_need_units
    return {
        "active": have < need,
        "have": str(have),
        "need": str(need),
        "lack": str(max(0, need - max(0, have))),
        "drain_limit": str(view.drain_limit_units),
        "drains": str(view.crisis.epochs),
        "last_epoch": str(view.crisis.epoch) if view.crisis.epochs else None,
        "last_drained": str(view.crisis.units),
        "drained": str(view.crisis.total_units),
    }


def _policy_json(policy: PolicyRecord) -> dict[str, object]:
    return {
        "epoch": str(policy.epoch),
        "epochs": str(policy.epochs),
        "signals_ppm": {
            "contribution": _ppm(policy.contribution),
            "distribution": _ppm(policy.distribution),
            "activity": _ppm(policy.activity),
            "circulation": _ppm(policy.circulation),
        },
        "circulating": str(policy.circulating_units),
        "target": str(policy.target_units),
        "error_ppm": _ppm(policy.error),
        "integral_ppm": _ppm(policy.integral),
        "error_q32": str(policy.error),
        "integral_q32": str(policy.integral),
        "integral_remainder": str(policy.remainder),
        "output_ppm": _ppm(policy.output),
        "output_q32": str(policy.output),
        "price_rise_ppm": policy.price_rise_ppm,
        "floor_income": str(policy.floor_income_units),
        "floor_income_total": str(policy.floor_income_total_units),
    }
