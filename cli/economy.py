"""`nexus economy`: where the units are, what the monetary policy decided, what stands behind one NXT."""

from __future__ import annotations

import argparse

from cli.connection import add_client_options, connected, print_result
from cli.exits import ExitCode
from cli.figures import format_percent


def add_commands(parser: argparse.ArgumentParser) -> None:
    """Add the group's commands."""
    commands = parser.add_subparsers(metavar="COMMAND")
    status = commands.add_parser("status", help="supply, reserves, sectors, crisis")
    status.set_defaults(call=_status)
    policy = commands.add_parser("policy", help="what the Nexus equation saw and decided")
    policy.set_defaults(call=_policy)
    backing = commands.add_parser("backing", help="the world's debt behind one NXT")
    backing.set_defaults(call=_backing)
    for command in (status, policy, backing):
        add_client_options(command)


def _status(options: argparse.Namespace) -> int:
    from ledger.amounts import format_nxt

    with connected(options) as node:
        result = node.call("economy_getStatus")
    supply, crisis, floor = result["supply"], result["crisis"], result["floor"]
    nxt = {
        name: format_nxt(int(supply[name]))
        for name in ("circulating", "circulating_at_genesis", "issued", "burned")
    }
    lines = [
        f"epoch {result['epoch']}, slot {result['slot']}; circulating {nxt['circulating']} NXT = at genesis "
        f"{nxt['circulating_at_genesis']} + issued {nxt['issued']} - burned {nxt['burned']}, "
        f"off by {supply['identity_error']} units",
    ]
    lines += [
        f"{name:<20} {format_nxt(int(units)):>18}"
        for name, units in result["reserves"].items()
        if not name.startswith("SECTOR_")
    ]
    lines += [f"{'BONDED':<20} {format_nxt(int(result['bonded'])):>18}"]
    lines += [f"{'DEPOSITS':<20} {format_nxt(int(result['deposits'])):>18}", ""]
    lines.append(
        f"{'sector':<14} {'NXT':>16} {'weight':>8} {'demand':>8} {'allocated':>16} {'to floor':>16}  seeding"
    )
    lines += [
        f"{one['name']:<14} {format_nxt(int(one['balance'])):>16} {format_percent(one['weight_ppm']):>8} "
        f"{format_percent(int(one['demand_ppm'])):>8} {format_nxt(int(one['allocated'])):>16} "
        f"{format_nxt(int(one['paid_to_floor'])):>16}  "
        f"{one['seeding_obstacle'] or format_nxt(int(one['next_seeding']))}"
        for one in result["sectors"]
    ]
    lines += [
        "",
        f"floor: {floor['population']} citizens, {format_nxt(int(floor['balance']))} NXT, owed "
        f"{format_nxt(int(floor['owed']))}, paid {format_nxt(int(floor['paid']))}",
        f"crisis: {'yes' if crisis['active'] else 'no'}; {crisis['drains']} drains, together "
        f"{format_nxt(int(crisis['drained']))} NXT",
    ]
    print_result(options, result, "\n".join(lines))
    return ExitCode.OK


def _policy(options: argparse.Namespace) -> int:
    from ledger.amounts import format_nxt

    with connected(options) as node:
        result = node.call("economy_getPolicy")
    running, last = result["running_epoch"], result["last_step"]
    lines = [
        f"issued now: {format_percent(result['issuance_share_ppm'])} of the budgets; messages cost "
        f"{format_percent(result['price_rise_ppm'])} more than their formula",
        f"running epoch: fees {format_nxt(int(running['fees']))}, message burns "
        f"{format_nxt(int(running['message_burns']))} NXT, {running['transactions']} transactions",
    ]
    if last is not None:
        signals = ", ".join(f"{name} {format_percent(ppm)}" for name, ppm in last["signals_ppm"].items())
        lines += [
            f"last step, of epoch {last['epoch']}: {signals}",
            f"circulating {format_nxt(int(last['circulating']))} of {format_nxt(int(last['target']))} NXT aimed at; "
            f"output {format_percent(last['output_ppm'])}, floor income {format_nxt(int(last['floor_income']))} NXT",
        ]
    print_result(options, result, "\n".join(lines))
    return ExitCode.OK


def _backing(options: argparse.Namespace) -> int:
    from ledger.amounts import format_nxt

    with connected(options) as node:
        result = node.call("economy_getDebtBacking")
    source = {"oracle": "reported by the oracle", "growth": "grown 5 % a year"}[result["source"]]
    lines = [
        f"one NXT stands for {result['display']} of the world's debt",
        f"{int(result['debt_usd']):,} USD ({source}, value of epoch {result['value_epoch']}) over "
        f"{format_nxt(int(result['circulating']))} circulating NXT",
        f"floor credits {format_nxt(int(result['floor_credits_per_day']))} a day for {result['population']} citizens: "
        f"a weight, no money; {format_percent(result['release_ppm'])} of the floor's income is released",
    ]
    print_result(options, result, "\n".join(lines))
    return ExitCode.OK
