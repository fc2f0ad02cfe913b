"""`nexus chain`: what a node has committed."""

import argparse
from typing import Any

from cli.connection import add_client_options, connected, print_result
from cli.exits import ExitCode


def add_commands(parser: argparse.ArgumentParser) -> None:
    """Add the group's commands."""
    commands = parser.add_subparsers(metavar="COMMAND")
    head = commands.add_parser("head", help="the tip of the selected chain")
    add_client_options(head)
    head.set_defaults(call=_head)
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
