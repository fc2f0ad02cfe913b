"""`nexus lab story economy`: sets the stage, plays the acts, shows the table, audits the store."""

import argparse
from pathlib import Path
from time import time_ns

from cli.connection import connected
from cli.exits import CommandFailed, ExitCode
from cli.story.acts import (
    TOKEN_DECIMALS,
    found_a_pool,
    make_a_token,
    pay_the_cast,
    send_messages,
    stake_and_hand_over,
    trade,
)
from cli.story.acts_of_state import (
    campaign,
    live_on_the_floor,
    register_citizens,
    report_the_world,
    see_the_campaign_through,
    vote_a_parameter,
)
from cli.story.book import Book
from cli.story.chain import Chain
from cli.story.narrator import Narrator
from cli.story.stage import Cast, devnet_of_story, stopped_nodes, validator_name
from cli.story.teller import StoryFailed, Teller
from cli.story.world import POOL

START_LIMIT_S = 60.0


def play(options: argparse.Namespace) -> int:
    """The whole story; the exit code: 4 when anything differs. Errors: `CommandFailed`."""
    narrator = Narrator(as_json=options.output == "json", token_decimals=TOKEN_DECIMALS)
    directory = options.dir.resolve()
    with devnet_of_story(options, time_ns() // 1_000_000) as own:
        told = _told(options, narrator)
    if not told:
        narrator.finish(explained=False)
        return ExitCode.REJECTED
    with stopped_nodes(directory, all_stopped=own) as nodes:
        faults = {node.name: _audited(node, narrator) for node in nodes}
    sound = not any(faults.values())
    narrator.finish(explained=True, audits=faults)
    return ExitCode.OK if sound else ExitCode.REJECTED


def _told(options: argparse.Namespace, narrator: Narrator) -> bool:
    with connected(options) as node:
        chain = Chain(node, options.timeout)
        chain.wait("the first block", lambda: _has_chain(chain), START_LIMIT_S)
        teller = _teller(options, chain, narrator)
        try:
            pay_the_cast(teller)
            send_messages(teller)
            make_a_token(teller)
            handed_over_epoch = stake_and_hand_over(teller)
            found_a_pool(teller)
            trade(teller)
            report_the_world(teller)
            number = campaign(teller)
            register_citizens(teller)
            live_on_the_floor(teller)
            vote_a_parameter(teller, handed_over_epoch)
            see_the_campaign_through(teller, number)
        except StoryFailed:
            return False
        narrator.table(teller.book.first, teller.world)
    return True


def _has_chain(chain: Chain) -> bool:
    return int(chain.node.call("chain_head")["blue_score"]) > 0


def _teller(options: argparse.Namespace, chain: Chain, narrator: Narrator) -> Teller:
    directory: Path = options.dir.resolve()
    cast = Cast(directory)
    active = [one for one in chain.node.call("validator_list")["validators"] if int(one["effective_stake"])]
    active.sort(key=lambda one: (-int(one["effective_stake"]), one["index"]))
    whole = sum(int(one["effective_stake"]) for one in active)
    chosen: list[dict[str, str]] = []
    while active and 3 * sum(int(one["effective_stake"]) for one in chosen) <= 2 * whole:
        chosen.append(active.pop(0))
    cast.add_validators(directory, chosen)
    book = Book(chain, cast.addresses())
    indices = [int(one["index"]) for one in chosen]
    narrator.say(
        f"{', '.join(f'{role} is {name}' for role, name in cast.wallets.items())}; epochs of "
        f"{chain.calendar.epoch_slots} slots of {chain.slot_ms} ms; {POOL} is the story's own; of the validators "
        f"{', '.join(validator_name(index) for index in indices)} take part"
    )
    return Teller(chain, cast, book, narrator, indices)


def _audited(directory: Path, narrator: Narrator) -> list[str]:
    """Faults that `nexus db audit` finds in a node's store. Errors: `CommandFailed` STORE."""
    from consensus.stores import SCHEMA_VERSION
    from ledger.storage.audit import audit
    from ledger.storage.database import Database
    from ledger.storage.errors import StoreError
    from node.layout import database_directory

    try:
        database = Database(database_directory(directory), schema_version=SCHEMA_VERSION, create=False)
        try:
            report = audit(database)
        finally:
            database.close()
    except StoreError as error:
        raise CommandFailed(ExitCode.STORE, str(error)) from None
    faults = list(report.faults)
    narrator.say(
        f"\naudit of {directory.name}: {report.accounts} accounts, {'; '.join(faults) or 'exact to the unit'}"
    )
    return faults
