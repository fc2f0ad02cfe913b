"""Which node a client command talks to: `--rpc URL`, or a node of the directory `--dir`.

A directory is a devnet's (it holds `devnet.json`) or one node's (it holds `endpoints.json` while the node runs).
"""

from __future__ import annotations

import argparse
import json
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from cli.exits import CommandFailed, ExitCode

TYPE_CHECKING = False  # importing typing costs a third of bare Python's start
if TYPE_CHECKING:
    from typing import Any

    from ledger.rules import ChainRules

DEFAULT_DIR = ".devnet"
DIR_VARIABLE = "NEXUS_DIR"
DEFAULT_TIMEOUT_S = 30.0


def add_common_options(parser: argparse.ArgumentParser) -> None:
    """`--dir --output --debug`: every command has them."""
    parser.add_argument(
        "--dir",
        type=Path,
        default=Path(os.environ.get(DIR_VARIABLE, DEFAULT_DIR)),
        help=f"directory of the devnet or node (default: ${DIR_VARIABLE} or {DEFAULT_DIR})",
    )
    parser.add_argument("--output", choices=("text", "json"), default="text", help="how results are printed")
    parser.add_argument("--debug", action="store_true", help="show a traceback when the command fails")


def add_client_options(parser: argparse.ArgumentParser) -> None:
    """The common options and those of commands that call a node."""
    add_common_options(parser)
    parser.add_argument("--rpc", metavar="URL", help="the node's RPC, instead of one of --dir")
    parser.add_argument(
        "--node", type=int, metavar="N", help="the devnet's node number, from 1 (default: the first alive)"
    )
    parser.add_argument(
        "--timeout",
        type=float,
        default=DEFAULT_TIMEOUT_S,
        metavar="SECONDS",
        help="how long to wait (default 30)",
    )


def read_json_file(path: Path) -> Any:
    """The JSON of a file of ours. Errors: `CommandFailed` CONFIG."""
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise CommandFailed(ExitCode.CONFIG, f"cannot read {path}: {error.strerror}") from None
    except ValueError as error:
        raise CommandFailed(ExitCode.CONFIG, f"{path} is not JSON: {error}") from None


def rpc_urls(options: argparse.Namespace) -> list[str]:
    """The RPC addresses to try, in order. Errors: `CommandFailed`."""
    if options.rpc:
        return [options.rpc]
    devnet, endpoints = options.dir / "devnet.json", options.dir / "endpoints.json"
    if devnet.exists():
        nodes = read_json_file(devnet)["nodes"]
        if options.node is None:
            return [node["rpc"] for node in nodes]
        if not 1 <= options.node <= len(nodes):
            raise CommandFailed(
                ExitCode.USAGE, f"--node {options.node}: this devnet has nodes 1 to {len(nodes)}"
            )
        return [nodes[options.node - 1]["rpc"]]
    if endpoints.exists():
        return [read_json_file(endpoints)["rpc"]]
    raise CommandFailed(
        ExitCode.UNREACHABLE,
        f"no network in {options.dir}: start one with `nexus devnet up --dir {options.dir}`, or name a node with --rpc",
    )


@contextmanager
def connected(options: argparse.Namespace) -> Iterator[Caller]:
    """A client of the first node that answers. Errors: `CommandFailed` with the code of the cause."""
    from node.rpc.client import RpcClient, RpcUnreachable

    failure = ""
    for url in rpc_urls(options):
        try:
            client = RpcClient(url, timeout_s=options.timeout)
            client.get("/livez")
        except RpcUnreachable as error:
            failure = failure or str(error)
            continue
        with client:
            yield Caller(client)
        return
    raise CommandFailed(ExitCode.UNREACHABLE, failure)


class Caller:
    """Calls a node and turns its errors into `CommandFailed`."""

    def __init__(self, client: Any) -> None:
        """`client` is a `node.rpc.client.RpcClient`."""
        self.client = client

    def call(self, method: str, **params: object) -> Any:
        """The result of a call."""
        from node.rpc.client import RpcCallFailed, RpcTimeout, RpcUnreachable

        try:
            return self.client.call(method, **params)
        except RpcUnreachable as error:
            raise CommandFailed(ExitCode.UNREACHABLE, str(error)) from None
        except RpcTimeout as error:
            raise CommandFailed(ExitCode.TIMEOUT, str(error)) from None
        except RpcCallFailed as error:
            codes = {-32002: ExitCode.NOT_FOUND, -32602: ExitCode.USAGE}
            raise CommandFailed(codes.get(error.number, ExitCode.REJECTED), str(error)) from None


def chain_rules_of(info: dict[str, str]) -> ChainRules:
    """The rules that transactions are signed by, from `node_info`."""
    from ledger.rules import ChainRules

    return ChainRules(
        chain_id=info["chain_id"],
        genesis_hash=bytes.fromhex(info["genesis"]),
        address_prefix=info["address_prefix"],
        base_fee_units=int(info["base_fee_units"]),
        fee_per_byte_units=int(info["fee_per_byte_units"]),
    )


def print_result(options: argparse.Namespace, value: Any, text: str) -> None:
    """`value` as JSON or `text`, as `--output` asks. An empty text prints nothing, not an empty line."""
    if options.output == "json":
        print(json.dumps(value, indent=2))
    elif text:
        print(text)
