"""`nexus devnet`: a private network of real node processes on this machine."""

import argparse
import signal
import sys
from contextlib import ExitStack
from pathlib import Path
from time import monotonic, sleep, time_ns
from typing import Any

from cli.connection import add_common_options, print_result
from cli.devnet_files import (
    WALLETS,
    create_devnet,
    devnet_lock,
    devnet_path,
    read_devnet,
    write_devnet,
)
from cli.devnet_processes import START_LIMIT_S, is_alive, kill_node, start_node, stop_nodes
from cli.exits import CommandFailed, ExitCode

MAX_NODES = 32
MAX_VALIDATORS = 1_000
LEAST_SLOT_MS = 100


def add_commands(parser: argparse.ArgumentParser) -> None:
    """Add the group's commands."""
    commands = parser.add_subparsers(metavar="COMMAND")
    up = commands.add_parser("up", help="create the network if need be and start it")
    up.add_argument("--validators", type=int, metavar="N", help="validator keys (default 12)")
    up.add_argument("--nodes", type=int, metavar="N", help="processes (default 4)")
    up.add_argument("--slot-ms", type=int, metavar="MS", help="length of a slot (default 1000)")
    up.add_argument("--detach", action="store_true", help="return when the network runs; `down` stops it")
    up.set_defaults(call=_up)
    status = commands.add_parser("status", help="each node: alive, head, peers")
    status.set_defaults(call=_status)
    compare = commands.add_parser(
        "compare", help="id and state root of the same chain block at every node; exit 4 when they differ"
    )
    compare.set_defaults(call=_compare)
    kill = commands.add_parser("kill", help="kill -9 one node")
    kill.add_argument("number", type=int, metavar="N")
    kill.set_defaults(call=_kill)
    heal = commands.add_parser("heal", help="start a node that was killed")
    heal.add_argument("number", type=int, metavar="N")
    heal.set_defaults(call=_heal)
    load = commands.add_parser("load", help="send transfers from many accounts and measure")
    load.add_argument("--senders", type=int, default=128, metavar="N", help="accounts (default 128)")
    load.add_argument("--seconds", type=int, default=20, metavar="S", help="how long (default 20)")
    load.add_argument(
        "--rate", type=int, default=0, metavar="TX/S", help="offered load; 0: as much as it takes"
    )
    load.set_defaults(call=_load)
    down = commands.add_parser("down", help="stop all nodes")
    down.add_argument("--delete", action="store_true", help="also delete the devnet's directory")
    down.set_defaults(call=_down)
    for command in (up, status, compare, kill, heal, load, down):
        add_common_options(command)


def _directory(options: argparse.Namespace) -> Path:
    directory: Path = options.dir.resolve()
    return directory


def _up(options: argparse.Namespace) -> int:
    directory = _directory(options)
    devnet = _existing(options, directory) or create_devnet(
        directory,
        validators=_within("--validators", _given(options.validators, 12), 1, MAX_VALIDATORS),
        nodes=_within("--nodes", _given(options.nodes, 4), 1, MAX_NODES),
        slot_ms=_within("--slot-ms", _given(options.slot_ms, 1000), LEAST_SLOT_MS, 60_000),
        now_ms=time_ns() // 1_000_000,
    )
    stop = _SignalFlag()
    try:
        with devnet_lock(directory):
            for node in devnet["nodes"]:
                if not is_alive(directory, node) and not stop.is_set:
                    start_node(directory, devnet, node["number"])
        if not stop.is_set:
            _await_network(directory, devnet, stop)
            _print_network(options, directory, devnet)
    except BaseException:
        stop_nodes(directory, devnet)
        raise
    if options.detach and not stop.is_set:
        return ExitCode.OK
    _watch(directory, stop)
    return ExitCode.OK


def _given(value: int | None, default: int) -> int:
    return default if value is None else value


def _within(name: str, value: int, least: int, most: int) -> int:
    if not least <= value <= most:
        raise CommandFailed(ExitCode.USAGE, f"{name} {value}: expected {least} to {most}")
    return value


def _existing(options: argparse.Namespace, directory: Path) -> dict[str, Any] | None:
    """The devnet of the directory, when there is one and the options don't ask for another."""
    if not devnet_path(directory).exists():
        return None
    devnet = read_devnet(directory)
    if any(is_alive(directory, node) for node in devnet["nodes"]):
        raise CommandFailed(
            ExitCode.REJECTED,
            f"the devnet in {directory} runs already; see `nexus devnet status`, `nexus devnet down`",
        )
    present = {
        "--validators": devnet["validators"],
        "--nodes": len(devnet["nodes"]),
        "--slot-ms": devnet["slot_ms"],
    }
    asked = {"--validators": options.validators, "--nodes": options.nodes, "--slot-ms": options.slot_ms}
    for name, value in asked.items():
        if value is not None and value != present[name]:
            raise CommandFailed(
                ExitCode.REJECTED,
                f"{name} {value}: the devnet in {directory} has {present[name]}; choose another --dir, or delete it "
                f"with `nexus devnet down --delete --dir {directory}`",
            )
    return devnet


class _SignalFlag:
    """Set by SIGINT or SIGTERM."""

    def __init__(self) -> None:
        self.is_set = False
        for number in (signal.SIGINT, signal.SIGTERM):
            signal.signal(number, self._set)

    def _set(self, *_: object) -> None:
        self.is_set = True


def _await_network(directory: Path, devnet: dict[str, Any], stop: _SignalFlag) -> None:
    """Until every node has peers (when there are others) and a chain that moves. Errors: `CommandFailed` TIMEOUT."""
    deadline = monotonic() + START_LIMIT_S
    waiting = list(devnet["nodes"])
    while waiting and not stop.is_set:
        waiting = [node for node in waiting if not _is_running(node, len(devnet["nodes"]))]
        if waiting and monotonic() > deadline:
            numbers = ", ".join(str(node["number"]) for node in waiting)
            raise CommandFailed(
                ExitCode.TIMEOUT,
                f"nodes {numbers} have no moving chain after {START_LIMIT_S:g} s; see nodeN/node.log",
            )
        sleep(0.1)


def _is_running(node: dict[str, Any], nodes: int) -> bool:
    state = _node_state(node)
    return state is not None and state["blue_score"] > 0 and (nodes == 1 or state["peers"] > 0)


def _node_state(node: dict[str, Any]) -> dict[str, Any] | None:
    """Head and peers of a node, None when it does not answer."""
    from node.rpc.client import RpcCallFailed, RpcClient, RpcTimeout, RpcUnreachable

    try:
        with RpcClient(node["rpc"], timeout_s=5.0) as client:
            head: Any = client.call("chain_head")
            peers: Any = client.call("node_peers")
    except (RpcUnreachable, RpcTimeout, RpcCallFailed):
        return None
    return {
        "head": head["id"],
        "slot": int(head["slot"]),
        "blue_score": int(head["blue_score"]),
        "state_root": head["state_root"],
        "peers": len(peers["peers"]),
    }


def _print_network(options: argparse.Namespace, directory: Path, devnet: dict[str, Any]) -> None:
    here = "" if options.dir == Path(".devnet") else f" --dir {options.dir}"
    lines = [f"{devnet['validators']} validators on {len(devnet['nodes'])} nodes, chain {devnet['chain_id']}"]
    for node in devnet["nodes"]:
        lines.append(
            f"  node {node['number']}  rpc {node['rpc']}  metrics {node['metrics']}  pid {node['pid']}"
        )
    lines += [
        f"wallets: {', '.join(WALLETS)}. A first transfer:",
        f"  .venv/bin/nexus wallet send --from alice --to bob 12.5 --wait{here}",
        f"  .venv/bin/nexus wallet balance bob --node {len(devnet['nodes'])}{here}",
    ]
    if not options.detach:
        lines.append("Ctrl-C stops the network.")
    shown = {**devnet, "dir": str(directory)}
    print_result(options, shown, "\n".join(lines))
    sys.stdout.flush()


def _watch(directory: Path, stop: _SignalFlag) -> None:
    """Stay until a signal; say when a node ends or comes back; then stop all."""
    alive: dict[int, bool] = {}
    while not stop.is_set:
        for node in read_devnet(directory)["nodes"]:
            now = is_alive(directory, node)
            number = node["number"]
            if alive.get(number, True) and not now:
                print(
                    f"node {number} has ended; `nexus devnet heal {number}` starts it again", file=sys.stderr
                )
            elif alive.get(number) is False and now:
                print(f"node {number} runs again", file=sys.stderr)
            alive[number] = now
        sleep(0.2)
    print("stopping …", file=sys.stderr)
    with devnet_lock(directory):
        late = stop_nodes(directory, read_devnet(directory))
    if late:
        raise CommandFailed(ExitCode.FAILED, f"nodes {late} did not stop in time and were killed")


def _numbered(devnet: dict[str, Any], number: int) -> dict[str, Any]:
    node: dict[str, Any] = devnet["nodes"][_within("node", number, 1, len(devnet["nodes"])) - 1]
    return node


def _status(options: argparse.Namespace) -> int:
    directory = _directory(options)
    nodes, lines = [], []
    for node in read_devnet(directory)["nodes"]:
        alive = is_alive(directory, node)
        state = _node_state(node) if alive else None
        nodes.append({**node, "alive": alive, "state": state})
        told = "stopped" if not alive else "no answer"
        if state is not None:
            told = (
                f"slot {state['slot']}  blue score {state['blue_score']}  peers {state['peers']}"
                f"  head {state['head'][:16]}  state {state['state_root'][:16]}"
            )
        lines.append(f"node {node['number']}  {told}  rpc {node['rpc']}")
    print_result(options, {"nodes": nodes}, "\n".join(lines))
    return ExitCode.OK


def _await_ready(node: dict[str, Any]) -> None:
    """Until the node has caught up: before that it would tell old balances and nonces. Errors: `CommandFailed`."""
    from node.rpc.client import RpcClient, RpcTimeout, RpcUnreachable

    deadline = monotonic() + START_LIMIT_S
    checks: object = "no answer"
    while monotonic() < deadline:
        try:
            with RpcClient(node["rpc"], timeout_s=5.0) as client:
                status, checks = client.get("/readyz")
        except (RpcUnreachable, RpcTimeout):
            status = 0
        if status == 200:
            return
        sleep(0.1)
    raise CommandFailed(
        ExitCode.NOT_SYNCED,
        f"node {node['number']} runs, but is not ready after {START_LIMIT_S:g} s: {checks}",
    )


SETTLED_BLOCKS = 3
"""So many chain blocks behind the lowest head nodes are compared: the last ones may still change sides."""


def _compare(options: argparse.Namespace) -> int:
    from node.rpc.client import RpcCallFailed, RpcClient, RpcTimeout, RpcUnreachable

    directory = _directory(options)
    rows: list[dict[str, Any]] = []
    with ExitStack() as stack:
        try:
            clients = {
                node["number"]: stack.enter_context(RpcClient(node["rpc"], timeout_s=10.0))
                for node in read_devnet(directory)["nodes"]
                if is_alive(directory, node)
            }
            heads = [_index(client) for client in clients.values()]
            if not heads:
                raise CommandFailed(ExitCode.UNREACHABLE, f"no node of {directory} runs")
            index = max(0, min(heads) - SETTLED_BLOCKS)
            for number, client in clients.items():
                block: Any = client.call("chain_getBlock", index=index)
                rows.append({"node": number, "block": block["id"], "state_root": block["state_root"]})
        except (RpcUnreachable, RpcTimeout, RpcCallFailed) as error:
            raise CommandFailed(ExitCode.UNREACHABLE, str(error)) from None
    equal = len({(row["block"], row["state_root"]) for row in rows}) == 1
    lines = [f"node {row['node']}  block {row['block'][:16]}  state root {row['state_root']}" for row in rows]
    lines.append(f"chain block {index}: " + ("equal everywhere" if equal else "DIFFERENT"))
    print_result(options, {"index": index, "equal": equal, "nodes": rows}, "\n".join(lines))
    return ExitCode.OK if equal else ExitCode.REJECTED


def _index(client: Any) -> int:
    head = client.call("chain_head")
    return int(head["chain_index"])


def _kill(options: argparse.Namespace) -> int:
    directory = _directory(options)
    node = _numbered(read_devnet(directory), options.number)
    kill_node(directory, node)
    print_result(options, {"killed": options.number}, f"killed node {options.number} (pid {node['pid']})")
    return ExitCode.OK


def _heal(options: argparse.Namespace) -> int:
    directory = _directory(options)
    with devnet_lock(directory):
        devnet = read_devnet(directory)
        node = _numbered(devnet, options.number)
        if is_alive(directory, node):
            raise CommandFailed(ExitCode.REJECTED, f"node {options.number} runs already (pid {node['pid']})")
        start_node(directory, devnet, options.number)
    _await_ready(node)
    print_result(options, node, f"node {options.number} runs again, rpc {node['rpc']}, pid {node['pid']}")
    return ExitCode.OK


def _load(options: argparse.Namespace) -> int:
    from cli.devnet_load import run_load

    return run_load(options, _directory(options))


def _down(options: argparse.Namespace) -> int:
    directory = _directory(options)
    devnet = read_devnet(directory)
    with devnet_lock(directory):
        late = stop_nodes(directory, devnet)
        for node in devnet["nodes"]:
            node["pid"] = 0
        write_devnet(directory, devnet)
    if options.delete:
        from shutil import rmtree

        rmtree(directory)
    text = "stopped" + (f"; nodes {late} had to be killed" if late else "")
    print_result(options, {"stopped": True, "killed": late, "deleted": options.delete}, text)
    return ExitCode.FAILED if late else ExitCode.OK
