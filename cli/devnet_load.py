"""`nexus devnet load`: transfers from many accounts over all nodes, and what became of them.

Everything is signed before the clock starts, so that signing does not compete with the nodes. Accounts send to each
other in a ring; each keeps at most `WINDOW` transfers unaccepted. Submit-to-accepted is measured at one node: from just
before the submission until its chain, asked every `POLL_S`, shows the transaction accepted.
"""

import argparse
from collections import deque
from dataclasses import dataclass, field
from pathlib import Path
from time import monotonic, sleep
from typing import Any

from cli.connection import chain_rules_of, print_result
from cli.devnet_files import LOAD_ACCOUNTS, load_keys, read_devnet
from cli.devnet_processes import is_alive
from cli.exits import CommandFailed, ExitCode

WINDOW = 48
"""Unaccepted transfers an account may have; the mempool takes 64."""
SUBMIT_BATCH = 256
POLL_S = 0.1
DRAIN_LIMIT_S = 60.0
AMOUNT_UNITS = 1_000
EXPIRY_SLOTS = 3_600
MEASURED_SLOTS = 80
"""Six lanes of so many slots are what one call of `chain_getDag` shows."""
MOST_TRANSFERS = 60_000
"""Signed in advance without --rate; about 15 s of one core."""


@dataclass(slots=True)
class _Sender:
    """One account's signed transfers, in the order of their nonces."""

    waiting: deque[tuple[str, str]]
    """(id, raw) in hex, not submitted yet."""
    unaccepted: int = 0


@dataclass(slots=True)
class _Tally:
    """What was seen so far."""

    submitted_at: dict[str, float] = field(default_factory=dict)
    owner: dict[str, _Sender] = field(default_factory=dict)
    latencies_s: list[float] = field(default_factory=list)
    unfinal: deque[tuple[int, float]] = field(default_factory=deque)
    """(chain index of the accepting block, when it was submitted) of what is accepted and not final yet."""
    final_latencies_s: list[float] = field(default_factory=list)
    finalised: str = ""
    """Id of the finalised block as of the last look."""
    accepted: int = 0
    failed: int = 0
    rejected: dict[str, int] = field(default_factory=dict)


def run_load(options: argparse.Namespace, directory: Path) -> int:
    """Run the load and print the figures."""
    from node.rpc.client import RpcCallFailed, RpcClient, RpcTimeout, RpcUnreachable

    if not 1 <= options.senders <= LOAD_ACCOUNTS:
        raise CommandFailed(ExitCode.USAGE, f"--senders {options.senders}: expected 1 to {LOAD_ACCOUNTS}")
    devnet = read_devnet(directory)
    nodes = [node for node in devnet["nodes"] if is_alive(directory, node)]
    if not nodes:
        raise CommandFailed(ExitCode.UNREACHABLE, f"no node of {directory} runs; `nexus devnet up --detach`")
    clients = [RpcClient(node["rpc"], timeout_s=30.0) for node in nodes]
    try:
        senders = _sign_all(options, directory, clients[0])
        result = _measure(options, clients, senders)
    except (RpcUnreachable, RpcTimeout) as error:
        raise CommandFailed(ExitCode.UNREACHABLE, str(error)) from None
    except RpcCallFailed as error:
        raise CommandFailed(ExitCode.REJECTED, str(error)) from None
    finally:
        for client in clients:
            client.close()
    result["memory_mib"] = {str(node["number"]): _resident_mib(node["pid"]) for node in nodes}
    lines = [f"{name.replace('_', ' ')}: {value}" for name, value in result.items()]
    print_result(options, result, "\n".join(lines))
    return ExitCode.OK


def _sign_all(options: argparse.Namespace, directory: Path, client: Any) -> list[_Sender]:
    """Every sender with its signed transfers."""
    from ledger.addresses import address_of, encode_address
    from ledger.transactions import sign_transaction
    from ledger.transfer import TRANSFER, Transfer

    info = client.call("node_info")
    rules = chain_rules_of(info)
    expiry = int(info["slot"]) + EXPIRY_SLOTS
    keys = load_keys(directory, options.senders)
    addresses = [address_of(key.public_key) for key in keys]
    total = min(options.rate * options.seconds, MOST_TRANSFERS) if options.rate else MOST_TRANSFERS
    each = -(-total // options.senders)
    senders = []
    for number, key in enumerate(keys):
        account = client.call(
            "ledger_getAccount", address=encode_address(rules.address_prefix, addresses[number])
        )
        first = int(account["next_nonce"])
        recipient = addresses[(number + 1) % len(addresses)]
        if recipient == addresses[number]:
            recipient = address_of(load_keys(directory, 2)[1].public_key)
        waiting: deque[tuple[str, str]] = deque()
        for nonce in range(first, first + each):
            transaction = sign_transaction(
                key,
                rules,
                nonce=nonce,
                expiry_slot=expiry,
                fee=None,
                kind=TRANSFER,
                payload_record=Transfer(recipient, AMOUNT_UNITS, b""),
            )
            waiting.append((transaction.id.hex(), transaction.raw.hex()))
        senders.append(_Sender(waiting))
    return senders


def _measure(options: argparse.Namespace, clients: list[Any], senders: list[_Sender]) -> dict[str, Any]:
    tally = _Tally()
    head = clients[0].call("chain_head")
    index, first_slot = int(head["chain_index"]), int(head["slot"]) + 1
    started = monotonic()
    end = started + options.seconds
    turn = 0
    while monotonic() < end:
        turn_started = monotonic()
        allowance = len(senders) * WINDOW
        if options.rate:
            allowance = int((turn_started - started) * options.rate) - len(tally.owner)
        turn = _submit(clients, senders, tally, allowance, turn)
        index = _collect(clients[0], tally, index)
        sleep(max(0.0, POLL_S - (monotonic() - turn_started)))
    offered_s = monotonic() - started
    last_slot = int(clients[0].call("chain_head")["slot"])
    accepted_in_time = tally.accepted
    while (tally.submitted_at or tally.unfinal) and monotonic() < end + DRAIN_LIMIT_S:
        index = _collect(clients[0], tally, index)
        sleep(POLL_S)
    dag = _dag_figures(clients[0], first_slot, last_slot)
    ordered, final = sorted(tally.latencies_s), sorted(tally.final_latencies_s)
    slot_s = int(clients[0].call("node_info")["slot_ms"]) / 1000
    return {
        "senders": len(senders),
        "seconds": round(offered_s, 1),
        "submitted": len(tally.owner),
        "rejected": tally.rejected,
        "accepted": tally.accepted,
        "failed": tally.failed,
        "lost": len(tally.submitted_at),
        "accepted_per_second": round(accepted_in_time / offered_s, 1),
        "submit_to_accepted_p50_s": round(_percentile(ordered, 50), 2),
        "submit_to_accepted_p95_s": round(_percentile(ordered, 95), 2),
        "final": len(final),
        "submit_to_final_p50_slots": round(_percentile(final, 50) / slot_s, 1),
        "submit_to_final_p95_slots": round(_percentile(final, 95) / slot_s, 1),
        **dag,
    }


def _submit(clients: list[Any], senders: list[_Sender], tally: _Tally, allowance: int, turn: int) -> int:
    """Submit what the windows and `allowance` permit, each sender always at the same node; the next turn's start."""
    for offset in range(len(clients)):
        client_number = (turn + offset) % len(clients)
        batch: list[tuple[_Sender, str, str]] = []
        for sender in senders[client_number :: len(clients)]:
            while sender.waiting and sender.unaccepted < WINDOW and allowance > 0:
                transaction_id, raw = sender.waiting.popleft()
                sender.unaccepted += 1
                allowance -= 1
                batch.append((sender, transaction_id, raw))
        for start in range(0, len(batch), SUBMIT_BATCH):
            _submit_batch(clients[client_number], batch[start : start + SUBMIT_BATCH], tally)
    return turn + 1


def _submit_batch(client: Any, batch: list[tuple[_Sender, str, str]], tally: _Tally) -> None:
    now = monotonic()
    reply = client.call("tx_submitBatch", raw=[raw for _, _, raw in batch])
    for (sender, transaction_id, _), outcome in zip(batch, reply["results"], strict=True):
        tally.owner[transaction_id] = sender
        if "error" in outcome:
            code = outcome["error"]
            tally.rejected[code] = tally.rejected.get(code, 0) + 1
        else:
            tally.submitted_at[transaction_id] = now


def _collect(client: Any, tally: _Tally, index: int) -> int:
    """Take in the chain blocks after `index`; the index of the last one."""
    head = int(client.call("chain_head")["chain_index"])
    # A reorganisation may replace the last blocks: look at a few again, what is known already is not counted twice.
    for number in range(max(index - 8, 0) + 1, head + 1):
        block = client.call("chain_getBlock", index=number, receipts=True)
        now = monotonic()
        for receipt in block["receipts"]:
            submitted = tally.submitted_at.get(receipt["id"])
            if submitted is None or receipt["status"] == "skipped":
                continue
            del tally.submitted_at[receipt["id"]]
            tally.owner[receipt["id"]].unaccepted -= 1
            tally.latencies_s.append(now - submitted)
            tally.unfinal.append((number, submitted))
            if receipt["status"] == "applied":
                tally.accepted += 1
            else:
                tally.failed += 1
    _collect_final(client, tally)
    return head


def _collect_final(client: Any, tally: _Tally) -> None:
    """Note the transactions whose accepting block is final by now."""
    finalised = client.call("chain_head")["finalised"]
    if finalised == tally.finalised or not tally.unfinal:
        return
    tally.finalised = finalised
    final_index = int(client.call("chain_getBlock", id=finalised)["chain_index"] or 0)
    now = monotonic()
    while tally.unfinal and tally.unfinal[0][0] <= final_index:
        tally.final_latencies_s.append(now - tally.unfinal.popleft()[1])


def _dag_figures(client: Any, first_slot: int, last_slot: int) -> dict[str, Any]:
    """Blocks a second and share of red blocks over the slots of the load, the last 80 at most."""
    first_slot = max(first_slot, last_slot - MEASURED_SLOTS + 1)
    shown = client.call("chain_getDag", limit=500, last_slot=last_slot)["blocks"]
    blocks = [block for block in shown if int(block["slot"]) >= first_slot and block["color"] != "pending"]
    seconds = (last_slot - first_slot + 1) * int(client.call("node_info")["slot_ms"]) / 1000
    red = sum(block["color"] == "red" for block in blocks)
    return {
        "blocks_per_second": round(len(blocks) / seconds, 2) if last_slot >= first_slot else 0.0,
        "red_share": round(red / len(blocks), 4) if blocks else 0.0,
    }


def _percentile(ordered: list[float], percent: int) -> float:
    return ordered[min(len(ordered) - 1, len(ordered) * percent // 100)] if ordered else 0.0


def _resident_mib(pid: int) -> float:
    for line in (Path("/proc") / str(pid) / "status").read_text().splitlines():
        if line.startswith("VmRSS:"):
            return round(int(line.split()[1]) / 1024, 1)
    return 0.0
