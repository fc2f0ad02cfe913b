"""`nexus chain`: what a node has committed."""

import argparse
from collections.abc import Callable
from importlib import import_module
from pathlib import Path
from typing import Any

from cli.connection import add_client_options, add_common_options, connected, print_result
from cli.exits import ExitCode


def add_commands(parser: argparse.ArgumentParser) -> None:
    """Add the group's commands."""
    commands = parser.add_subparsers(metavar="COMMAND")
    head = commands.add_parser("head", help="the tip of the selected chain")
    add_client_options(head)
    head.set_defaults(call=_head)
    status = commands.add_parser(
        "status", help="whether the node is level with its peers, and if not, until when"
    )
    add_client_options(status)
    status.set_defaults(call=_status)
    finality = commands.add_parser("finality", help="what nothing can undo any more, and who votes")
    add_client_options(finality)
    finality.set_defaults(call=_finality)
    block = commands.add_parser("block", help="one block by id, or the chain block at an index")
    block.add_argument("block", metavar="ID|INDEX")
    add_client_options(block)
    block.set_defaults(call=_block)
    dag = commands.add_parser("dag", help="the last slots of the DAG, one line a block")
    dag.add_argument("--blocks", type=int, default=30, metavar="N", help="how many (default 30, at most 500)")
    add_client_options(dag)
    dag.set_defaults(call=_dag)
    tx = commands.add_parser("tx", help="one transaction by id")
    tx.add_argument("transaction", metavar="ID")
    add_client_options(tx)
    tx.set_defaults(call=_transaction)
    _add_proof_commands(commands)


def _add_proof_commands(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    checkpoint = commands.add_parser(
        "checkpoint", help="the newest checkpoint that a newcomer can begin with, as PERIOD:ID"
    )
    add_client_options(checkpoint)
    checkpoint.set_defaults(call=_proofs("print_checkpoint"))
    proof = commands.add_parser("proof", help="write a file that proves a balance without a node")
    proof.add_argument("--account", required=True, metavar="NAME|ADDRESS")
    proof.add_argument("--out", type=Path, required=True, metavar="FILE")
    proof.add_argument(
        "--checkpoint", metavar="PERIOD:ID", help="begin there and not with genesis; it must be vouched for"
    )
    add_client_options(proof)
    proof.set_defaults(call=_proofs("write_proof"))
    verify = commands.add_parser(
        "verify", help="check such a file, without a node; exit 4 when it is refused"
    )
    verify.add_argument("file", type=Path, metavar="FILE")
    verify.add_argument(
        "--genesis", type=Path, required=True, metavar="FILE", help="the chain's genesis.json"
    )
    verify.add_argument("--checkpoint", metavar="PERIOD:ID", help="a checkpoint that you trust")
    add_common_options(verify)
    verify.set_defaults(call=_proofs("verify_proof_file"))


def _proofs(name: str) -> Callable[[argparse.Namespace], int]:
    """A command of `chain_proofs`, which is imported when it runs."""

    def call(options: argparse.Namespace) -> int:
        command: Callable[[argparse.Namespace], int] = getattr(import_module("cli.chain_proofs"), name)
        return command(options)

    return call


def _facts(value: dict[str, Any]) -> str:
    width = max(map(len, value))
    return "\n".join(f"{key.ljust(width)}  {_shown(item)}" for key, item in value.items())


def _shown(item: Any) -> str:
    if isinstance(item, list):
        return "".join(f"\n    {_shown(part)}" for part in item) or "none"
    if isinstance(item, dict):
        return " ".join(f"{key}={part}" for key, part in item.items())
    return str(item)


def _head(options: argparse.Namespace) -> int:
    with connected(options) as node:
        result = node.call("chain_head")
    print_result(options, result, _facts(result))
    return ExitCode.OK


def _status(options: argparse.Namespace) -> int:
    with connected(options) as node:
        sync, head = node.call("node_info")["sync"], node.call("chain_head")
    print_result(options, {"sync": sync, "head": head}, "\n".join(_status_lines(sync, head)))
    return ExitCode.OK


def _status_lines(sync: dict[str, Any], head: dict[str, Any]) -> list[str]:
    """For people: what the node does, how fast, until when, and why it does not."""
    lines = [f"head   slot {head['slot']}, blue score {head['blue_score']}", f"sync   {sync['state']}"]
    if sync["reason"]:
        lines.append(f"why    {sync['reason']}")
    if sync["state"] == "synchronising":
        lines += [
            f"doing  {sync['activity']}, with {sync['peer']}, bodies from {sync['sources']}",
            f"done   {sync['blocks_done']} of about {sync['blocks_target']} blocks, "
            f"{sync['blocks_per_second']}/s with {sync['transactions_per_second']} transactions/s",
            f"left   {sync['slots_left']} slots, {_duration(sync['seconds_left'])}",
        ]
    return lines


def _duration(seconds: float | None) -> str:
    if seconds is None:
        return "no telling how long"
    if seconds < 120:
        return f"about {seconds:.0f} s"
    return f"about {seconds / 60:.0f} min" if seconds < 7_200 else f"about {seconds / 3_600:.1f} h"


def _finality(options: argparse.Namespace) -> int:
    with connected(options) as node:
        result = node.call("finality_status")
    print_result(options, result, _facts(result))
    return ExitCode.OK


def _block(options: argparse.Namespace) -> int:
    by_index = options.block.isdigit() and len(options.block) < 20
    with connected(options) as node:
        key: dict[str, object] = {"index": int(options.block)} if by_index else {"id": options.block}
        result = node.call("chain_getBlock", **key)
    print_result(options, result, _facts(result))
    return ExitCode.OK


def _transaction(options: argparse.Namespace) -> int:
    with connected(options) as node:
        result = node.call("tx_get", id=options.transaction)
    print_result(options, result, _facts(result))
    return ExitCode.OK


def _dag(options: argparse.Namespace) -> int:
    with connected(options) as node:
        result = node.call("chain_getDag", limit=options.blocks)
    lines = []
    slot = None
    for block in result["blocks"]:
        if block["slot"] != slot:
            slot = block["slot"]
            lines.append(f"slot {slot}")
        mark = {"chain": "●", "blue": "○", "red": "×", "pending": "·"}[block["color"]]
        parents = " ".join(parent[:8] for parent in block["parents"])
        lines.append(
            f"  {mark} {block['id'][:8]}  {block['band']:<6}  {block['color']:<7}"
            f"  txs {block['transactions']:<4} parents {parents}"
        )
    lines.append("● selected chain  ○ blue  × red  · not merged yet")
    print_result(options, result, "\n".join(lines))
    return ExitCode.OK
