"""Phase two: the faults are over, so all honest nodes agree within a deadline and finality moves on."""

import json
from collections.abc import Sequence

import trio
from builders.ledger import GENESIS_TIME_MS
from network.byzantine import Offence
from network.checkers import Checkers
from network.node_life import SimulatedNode, true_time_ms
from network.oracle import check_accounts, check_conservation, check_verdicts
from network.scenario import Report, RuleBroken, Scenario
from network.workload import Workload

from consensus.params import Params, epoch_at
from consensus.stores import chain_index
from ledger.genesis import Genesis
from ledger.keys import KeyPair
from ledger.registry import KindRegistry
from ledger.staking.slashing import read_validator
from ledger.storage.state_store import LedgerStore

PUNISHED_WITHIN_EPOCHS = 2
OFFENCE_EVENT = "validator broke a rule that costs its stake"


async def await_agreement(
    scenario: Scenario,
    honest: Sequence[SimulatedNode],
    workload: Workload,
    checkers: Checkers,
    report: Report,
) -> None:
    """Until all honest nodes hold the same chain, it has everything that was sent, and each of them has something final
    that was not final anywhere when the faults ended, which is when the last node is back. Errors: `RuleBroken`."""
    for node in honest:
        with trio.fail_after(scenario.agreement_s):
            await node.is_up()
    began_s, final_before = trio.current_time(), checkers.highest_final
    agreed = final = False
    while True:
        # Late in a slot: its blocks, made at its start, have arrived.
        slot_ms = scenario.slot_ms
        await trio.sleep(((slot_ms * 17 // 20 - true_time_ms()) % slot_ms + 1) / 1000)
        passed_s = trio.current_time() - began_s
        disagreement = _disagreement(scenario, honest, workload)
        if disagreement is None and not agreed:
            agreed, report.agreed_after_s = True, passed_s
        lowest = min(node.finalised_period for node in honest)
        if lowest > final_before and not final:
            final, report.final_after_s = True, passed_s
        if disagreement is None and final:
            return
        if passed_s > scenario.agreement_s:
            stuck = (
                disagreement or f"period {lowest} is final, it was {final_before} at the end of the faults"
            )
            raise RuleBroken(f"{passed_s:.0f} s after the faults: {stuck}")
        handle = honest[0].handle
        if disagreement is not None and handle is not None:
            await workload.send_again(handle)


def _disagreement(scenario: Scenario, honest: Sequence[SimulatedNode], workload: Workload) -> str | None:
    """Why the network does not agree yet, or None."""
    handles = [node.handle for node in honest if node.handle is not None]
    if len(handles) < len(honest):
        return f"{len(honest) - len(handles)} nodes do not run"
    heads = [handle.services.head for handle in handles]
    if len({(head.id, head.state_root) for head in heads}) != 1:
        shown = [(head.slot, head.blue_score, head.id.hex()[:8]) for head in heads]
        return f"heads (slot, blue score, id) differ: {shown}"
    slot = (true_time_ms() - GENESIS_TIME_MS) // scenario.slot_ms
    if heads[0].slot < slot - 1:
        return f"the head is of slot {heads[0].slot} in slot {slot}"
    waiting = workload.waiting(handles[0])
    return f"{waiting} transfers are not on the chain" if waiting else None


async def await_punishment(
    honest: Sequence[SimulatedNode], params: Params, offences: Sequence[Offence]
) -> None:
    """Until every honest node's ledger has punished whoever was seen at these offences. Errors: `RuleBroken` when that
    takes more than two epochs from the offence, or from now where the network was not whole before (row L6)."""
    now_slot = (true_time_ms() - GENESIS_TIME_MS) // params.slot_ms
    first: dict[int, int] = {}
    seen = {validator for node in honest for validator in _noticed(node)}
    for offence in offences:
        if offence.validator not in seen:
            continue  # nobody got both statements, or whoever did has died since
        first.setdefault(offence.validator, offence.slot)
    for validator, slot in sorted(first.items()):
        last_epoch = epoch_at(params, max(slot, now_slot)) + PUNISHED_WITHIN_EPOCHS
        while not all(_is_punished(node, validator) for node in honest):
            await trio.sleep(params.slot_ms / 1000)
            if epoch_at(params, (true_time_ms() - GENESIS_TIME_MS) // params.slot_ms) > last_epoch:
                raise RuleBroken(
                    f"validator {validator} offended in slot {slot} and was not punished by the end of epoch "
                    f"{last_epoch}"
                )


def _noticed(node: SimulatedNode) -> list[int]:
    """Validators that the node has found guilty in this life, as its log has it."""
    life = node.log.getvalue().rpartition('"event": "chain opened"')[2]
    lines = [json.loads(line) for line in life.splitlines() if OFFENCE_EVENT in line]
    return [int(line["validator"]) for line in lines if line["event"] == OFFENCE_EVENT]


def _is_punished(node: SimulatedNode, validator: int) -> bool:
    if node.handle is None:
        return False
    record = read_validator(LedgerStore(node.handle.services.store), validator)
    return record is not None and len(record.slashes) > 0


def check_ledgers(
    scenario: Scenario,
    honest: Sequence[SimulatedNode],
    genesis: Genesis,
    registry: KindRegistry,
    keys: Sequence[KeyPair],
    report: Report,
) -> None:
    """All honest nodes hold the same, the oracle agrees with it, and nobody honest was punished, by the chain or by
    another node. `keys`: of all accounts that send transfers. Errors: `RuleBroken`."""
    handles = {node.name: node.handle for node in honest if node.handle is not None}
    for name, handle in handles.items():
        check_conservation(name, handle.services.store)
        for other in handles:
            if handle.services.peer_score(other) <= -100:
                raise RuleBroken(f"{name} has banned {other}, which is honest")
    name, handle = next(iter(handles.items()))
    # The others hold the same chain and state: their head is the same block, and its state has the same root.
    check_accounts(name, handle.services.store, genesis, registry, keys)
    report.slashed = check_verdicts(name, handle.services.store, registry, scenario.honest_validators)
    head = handle.services.head
    report.blue_score, report.head = head.blue_score, head.id.hex()
    report.finalised_period = handle.services.finality().finalised.period
    # Blocks of the last slot may still travel; what is below is settled.
    for index in range(head.chain_index):
        if len({chain_index(one.services.store, index) for one in handles.values()}) != 1:
            raise RuleBroken(f"chains differ at index {index}")
