"""The audit of the economy: floor, flows, messages, parameters and feeds; tokens and governance have modules of their
own beside this one."""

from collections.abc import Mapping
from dataclasses import dataclass

from ledger.accounts import DEPOSITS, F_FLOOR, SECTORS
from ledger.addresses import ADDRESS_BYTES, is_pool_address
from ledger.economy.crisis import read_crisis
from ledger.economy.floor.queries import audit_floor
from ledger.economy.floor.records import EMPTY_FLOOR, FloorState, read_floor
from ledger.economy.loop_totals import read_loop_totals
from ledger.economy.message_burn import read_region_ledger
from ledger.economy.monetary_policy import read_policy
from ledger.economy.regions import REGIONS
from ledger.errors import CodecError
from ledger.governed.parameters import PARAMETER_NUMBERED, PARAMETER_PREFIX
from ledger.governed.pauses import PAUSABLE_KINDS, read_pause
from ledger.governed.registrars import read_registrars
from ledger.governed.sector_tokens import SECTOR_TOKEN_PREFIX
from ledger.issuance import NO_FLOWS, ONE, Flows, read_flows, read_issuance_share
from ledger.oracle.feeds import FEEDS
from ledger.oracle.records import read_feed
from ledger.storage.exchange_audit import audit_exchange
from ledger.storage.governance_audit import audit_governance
from ledger.storage.state_store import LedgerStore
from ledger.tokens.records import read_token

_NUMBER_BYTES = 2
_VALUE_BYTES = 8


@dataclass(frozen=True, slots=True)
class EconomyFigures:
    """What the audit counted of the economy."""

    tokens: int
    pools: int
    positions: int
    pooled_units: int
    """NXT in pools; it circulates."""
    citizens: int
    floor_owed_units: int
    """Of F_FLOOR's balance: what citizens have not claimed or spent yet."""
    proposals: int
    open_proposals: int
    deposits_units: int
    """Of the open ones; equals the balance of DEPOSITS."""
    message_burned_units: int
    issued_units: int
    """Out of the reserves since genesis."""
    burned_units: int
    """Into the reserves since genesis."""


def audit_economy(
    store: LedgerStore, system_balances: Mapping[str, int], circulating_units: int
) -> tuple[EconomyFigures, list[str]]:
    """(what there is, what contradicts a rule). Reads every record of the economy once.

    * tokens, pools and positions: `ledger.storage.exchange_audit`;
    * the floor owes what its citizens are owed: `ledger.economy.floor.queries.audit_floor`;
    * proposals, ballots, deposits and locks: `ledger.storage.governance_audit`;
    * what lies outside of the reserves == circulating at genesis + issued − burned; the regions' message burns are
      among the burned;
    * parameters, pauses, sectors' tokens and feeds are what a vote or a report could have made them.
    """
    exchange = audit_exchange(store)
    _, floor_faults = audit_floor(store, system_balances.get(F_FLOOR, 0))
    governance = audit_governance(store, system_balances.get(DEPOSITS, 0), exchange.latest_lock_epoch)
    flows, message_units, flow_faults = _flows(store, circulating_units)
    floor = _floor(store)
    figures = EconomyFigures(
        tokens=exchange.tokens,
        pools=exchange.pools,
        positions=exchange.positions,
        pooled_units=exchange.pooled_units,
        citizens=floor.population,
        floor_owed_units=floor.owed_units,
        proposals=governance.proposals,
        open_proposals=governance.open_proposals,
        deposits_units=governance.deposits_units,
        message_burned_units=message_units,
        issued_units=flows.issued_units,
        burned_units=flows.burned_units,
    )
    return figures, [
        *exchange.faults,
        *floor_faults,
        *governance.faults,
        *flow_faults,
        *_parameters(store),
        *_governed(store),
        *_steps(store),
        *_feeds(store),
    ]


def _floor(store: LedgerStore) -> FloorState:
    try:
        return read_floor(store)
    except CodecError:
        return EMPTY_FLOOR  # `audit_floor` says so


def _flows(store: LedgerStore, circulating_units: int) -> tuple[Flows, int, list[str]]:
    """(flows, units that messages burned, faults)."""
    try:
        flows = read_flows(store)
        message_units = sum(read_region_ledger(store, region).burned_units for region in range(len(REGIONS)))
    except CodecError as error:
        return NO_FLOWS, 0, [f"flows are damaged: {error}"]
    faults = []
    if flows.circulating_units != circulating_units:
        faults.append(
            f"{circulating_units} units lie outside of the reserves, the flows say {flows.circulating_units}: "
            f"{flows.circulating_at_genesis} at genesis + {flows.issued_units} issued − {flows.burned_units} burned"
        )
    if message_units > flows.burned_units:
        faults.append(
            f"messages burned {message_units} units, only {flows.burned_units} were burned by anything"
        )
    if flows.epoch_fee_units + flows.epoch_message_units > flows.burned_units:
        faults.append("the running epoch has burned more than was burned since genesis")
    return flows, message_units, faults


def _parameters(store: LedgerStore) -> list[str]:
    """Every changed parameter is known, about what it may be about, and within its bounds."""
    faults = []
    for key, value in store.state(PARAMETER_PREFIX):
        rest = key[len(PARAMETER_PREFIX) :]
        number, subject = int.from_bytes(rest[:_NUMBER_BYTES], "big"), rest[_NUMBER_BYTES:]
        parameter = PARAMETER_NUMBERED.get(number)
        if parameter is None or len(value) != _VALUE_BYTES:
            faults.append(f"parameter {number} is none, or is no number: {key.hex()}")
            continue
        is_pool = len(subject) == ADDRESS_BYTES and is_pool_address(subject)
        if (not is_pool) if parameter.per_subject else bool(subject):
            faults.append(f"parameter {parameter.name} is set for {subject.hex() or 'the whole chain'}")
        changed = int.from_bytes(value, "big")
        if not parameter.least <= changed <= parameter.greatest:
            faults.append(
                f"parameter {parameter.name} is {changed}, "
                f"its bounds are {parameter.least} to {parameter.greatest}"
            )
    return faults


def _governed(store: LedgerStore) -> list[str]:
    """Registrars, the latest pause and the sectors' tokens."""
    faults = []
    try:
        registrars = read_registrars(store)
        pause = read_pause(store)
        share = read_issuance_share(store)
        for key, token in store.state(SECTOR_TOKEN_PREFIX):
            sector = key[len(SECTOR_TOKEN_PREFIX) :]
            if len(sector) != 1 or sector[0] >= len(SECTORS):
                faults.append(f"a token stands for sector {sector.hex()}, which is none")
            elif read_token(store, token) is None:
                faults.append(f"sector {SECTORS[sector[0]]} has the token {token.hex()}, which is none")
    except CodecError as error:
        return [f"what governance decided is damaged: {error}"]
    if list(registrars) != sorted(set(registrars)):
        faults.append("registrars do not ascend, or one is there twice")
    if pause is not None and pause[0] not in PAUSABLE_KINDS:
        faults.append(f"kind {pause[0]} was paused, which must never be")
    if share > ONE:
        faults.append(f"the issuance share is {share}, at most {ONE}")
    return faults


def _steps(store: LedgerStore) -> list[str]:
    """What the steps of the transition keep for themselves."""
    try:
        policy = read_policy(store)
        crisis = read_crisis(store)
        read_loop_totals(store)
    except CodecError as error:
        return [f"records of the epoch's steps are damaged: {error}"]
    faults = []
    if policy is not None and not -ONE <= policy.output <= ONE:
        faults.append(f"the policy's output is {policy.output}, expected {-ONE} to {ONE}")
    if crisis.units > crisis.total_units:
        faults.append(f"the last crisis drained {crisis.units} units of {crisis.total_units} in all")
    return faults


def _feeds(store: LedgerStore) -> list[str]:
    faults = []
    for feed in FEEDS:
        try:
            value = read_feed(store, feed.number)
        except CodecError as error:
            faults.append(f"feed {feed.name} is damaged: {error}")
            continue
        if value is not None and not feed.least <= value.value <= feed.greatest:
            faults.append(
                f"feed {feed.name} is {value.value}, its bounds are {feed.least} to {feed.greatest}"
            )
    return faults
