"""The economy's methods on a real node whose chain has carried the economy's transactions, and on a rich state.

One story is told once: tokens, pools, a swap, a message, a citizen, reports, a vote. Each test reads one fact off what
the methods answered.
"""

from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import pytest
import trio
from builders.blocks import FoundedChain, chain_of
from builders.economy import founded_economy
from builders.floor import person
from builders.governance import TEXT_HASH
from builders.ledger import FAR_SLOT, devnet_genesis, key_pair
from builders.live_node import clock_at, live_node
from builders.staking import NXT

from consensus.params import epoch_at
from ledger.accounts import RESERVES, SECTORS
from ledger.addresses import NXT_ASSET, address_of, encode_address, token_id
from ledger.amounts import MAX_SUPPLY_UNITS
from ledger.economy.floor.attestation import CitizenAttest
from ledger.economy.floor.registration import CitizenRegister
from ledger.economy.message_burn import Message, message_price_units
from ledger.exchange.kinds import PoolCreate, Swap
from ledger.exchange.pools import address_of_pair
from ledger.exchange.swapping import EXACT_IN
from ledger.governance.actions import ParameterChange, TextOnly
from ledger.governance.classes import PARAMETER, POLICY
from ledger.governance.proposals import ProposalCreate
from ledger.governance.records import YES
from ledger.governance.voting import Ballot, Vote, VoteDelegate
from ledger.governed.parameters import PARAMETERS, RESERVE_SHARE_PPM
from ledger.keys import KeyPair
from ledger.oracle.feeds import FEEDS, GLOBAL_DEBT_USD
from ledger.oracle.reports import OracleReport
from ledger.storage.memory import MemoryStore
from ledger.storage.state_store import LedgerStore
from ledger.storage.store import WriteBatch
from ledger.tokens.kinds import TokenBurn, TokenCreate, TokenTransfer
from ledger.transactions import sign_transaction
from ledger.transfer import Transfer
from node.rpc.exchange_methods import price_text
from node.rpc.methods import NodeMethods
from node.rpc.protocol import INVALID_PARAMS, NOT_FOUND, REJECTED, RpcError
from p2p.simulated import SimulatedFabric

pytestmark = pytest.mark.xdist_group("economy methods")
"""The story is told once, not in every worker."""

Answer = dict[str, Any]

DEBT_USD = 310_000_000_000_000
CONTENT = b"a message of some length"
REGISTRAR, CITIZEN, TRADER, FOUNDER = 7, 2, 1, 0
SOLD = 10**9

REFUSALS: dict[str, tuple[str, dict[str, object], int, str]] = {
    "token": ("token_get", {"id": "ab" * 20}, NOT_FOUND, "TokenNotFound"),
    "token id": ("token_get", {"id": "ab" * 32}, INVALID_PARAMS, "ParamsInvalid"),
    "page of 0": ("token_list", {"limit": 0}, INVALID_PARAMS, "ParamsInvalid"),
    "page of 101": ("token_list", {"limit": 101}, INVALID_PARAMS, "ParamsInvalid"),
    "balances": ("token_getBalances", {"address": "dnxt1qqqq"}, INVALID_PARAMS, "AddressMalformed"),
    "pool of assets": ("dex_getPool", {"first": "NXT", "second": "ab" * 20}, NOT_FOUND, "PoolNotFound"),
    "pool of one asset": ("dex_getPool", {"first": "NXT"}, INVALID_PARAMS, "ParamsInvalid"),
    "pools after": ("dex_getPools", {"after": "dnxt1qqqq"}, INVALID_PARAMS, "AddressMalformed"),
    "asset": ("dex_getPool", {"first": "nxt", "second": "ab" * 20}, INVALID_PARAMS, "ParamsInvalid"),
    "no path": ("dex_quote", {"sell": "NXT", "buy": "ab" * 20, "amount": 5}, NOT_FOUND, "PathNotFound"),
    "path unknown": ("dex_quote", {"path": ["NXT", "ab" * 20], "amount": 5}, REJECTED, "UnknownPool"),
    "path cycle": ("dex_quote", {"path": ["NXT", "NXT"], "amount": 5}, INVALID_PARAMS, "ParamsInvalid"),
    "neither": ("dex_quote", {"amount": 5}, INVALID_PARAMS, "ParamsInvalid"),
    "both": (
        "dex_quote",
        {"path": ["NXT", "ab" * 20], "sell": "NXT", "amount": 5},
        INVALID_PARAMS,
        "ParamsInvalid",
    ),
    "amount 0": (
        "dex_quote",
        {"sell": "NXT", "buy": "ab" * 20, "amount": "0"},
        INVALID_PARAMS,
        "ParamsInvalid",
    ),
    "amount text": (
        "dex_quote",
        {"sell": "NXT", "buy": "ab" * 20, "amount": "1.5"},
        INVALID_PARAMS,
        "ParamsInvalid",
    ),
    "slippage": (
        "dex_quote",
        {"sell": "NXT", "buy": "ab" * 20, "amount": 5, "slippage_ppm": 1_000_000},
        INVALID_PARAMS,
        "ParamsInvalid",
    ),
    "window": (
        "dex_getTwap",
        {"first": "NXT", "second": "ab" * 20, "window_epochs": 8},
        INVALID_PARAMS,
        "ParamsInvalid",
    ),
    "twap": ("dex_getTwap", {"first": "NXT", "second": "ab" * 20}, NOT_FOUND, "PoolNotFound"),
    "size": ("message_getPrice", {"size_bytes": 8_193}, INVALID_PARAMS, "ParamsInvalid"),
    "region": ("message_getPrice", {"size_bytes": 1, "region": "PINK"}, INVALID_PARAMS, "ParamsInvalid"),
    "person": ("floor_getAttestation", {"person": "xyz"}, INVALID_PARAMS, "ParamsInvalid"),
    "proposal": ("governance_get", {"id": 99}, NOT_FOUND, "ProposalNotFound"),
    "proposal too great": ("governance_get", {"id": 2**63}, INVALID_PARAMS, "ParamsInvalid"),
    "unknown member": ("economy_getStatus", {"epoch": 1}, INVALID_PARAMS, "ParamsInvalid"),
}


@dataclass
class Story:
    """A node with keys to send transactions from, and what its methods answered."""

    chain: FoundedChain
    methods: NodeMethods
    answers: dict[str, Answer] = field(default_factory=dict)
    refusals: dict[str, RpcError] = field(default_factory=dict)
    nonces: dict[bytes, int] = field(default_factory=dict)
    gauges: dict[str, float | None] = field(default_factory=dict)

    def address(self, key: KeyPair) -> str:
        return encode_address(self.chain.rules.address_prefix, address_of(key.public_key))

    async def ask(self, name: str, method: str, **params: object) -> Answer:
        """Call and keep the answer under a name."""
        found = await self.methods.call(method, params)
        assert isinstance(found, dict)
        self.answers[name] = found
        return found

    async def refused(self, name: str, method: str, **params: object) -> None:
        """Call and keep the error under a name."""
        with pytest.raises(RpcError) as caught:
            await self.methods.call(method, params)
        self.refusals[name] = caught.value

    async def send(self, key: KeyPair, kind: str, payload: Any) -> str:
        """Submit a transaction with the key's next nonce; its id."""
        nonce = self.nonces.get(key.public_key, 0)
        self.nonces[key.public_key] = nonce + 1
        made = sign_transaction(
            key,
            self.chain.rules,
            nonce=nonce,
            expiry_slot=FAR_SLOT,
            fee=None,
            kind=self.chain.registry.named(kind),  # type: ignore[arg-type]
            payload_record=payload,
        )
        await self.methods.call("tx_submit", {"raw": made.raw.hex()})
        return made.id.hex()

    async def accepted(self, *transactions: str) -> Answer:
        """Wait until they are applied; what `tx_status` says of the last."""
        found: Answer = {}
        for transaction in transactions:
            with trio.fail_after(60):
                while True:
                    found = await self.methods.call("tx_status", {"id": transaction})  # type: ignore[assignment]
                    assert found["status"] in ("pending", "accepted", "unknown"), found
                    if found["status"] == "accepted":
                        break
                    await trio.sleep(0.2)
        return found


def founded() -> FoundedChain:
    """A devnet whose account 7 is a registrar."""
    registrar = address_of(key_pair(0, "account", REGISTRAR).public_key)
    return chain_of(*devnet_genesis(6, account_units=5_000 * NXT, registrars=[registrar]))


async def tell(story: Story) -> None:
    """The economy's transactions, and questions on the way."""
    chain = story.chain
    founder, trader, citizen = chain.accounts[FOUNDER], chain.accounts[TRADER], chain.accounts[CITIZEN]
    registrar = chain.accounts[REGISTRAR]
    owners = [key_pair(0, "withdrawal", index) for index in range(6)]
    alpha, beta = (token_id(address_of(founder.public_key), nonce) for nonce in (0, 1))
    sent = [
        await story.send(founder, "token_create", TokenCreate("ALPHA", "Alpha", 8, 10**15)),
        await story.send(founder, "token_create", TokenCreate("BETA", "Beta", 0, 10**12)),
        await story.send(
            founder, "token_transfer", TokenTransfer(alpha, address_of(trader.public_key), 500, b"")
        ),
        await story.send(founder, "token_burn", TokenBurn(beta, 10**11)),
        await story.send(trader, "message", Message(2, 1, CONTENT, 100 * NXT)),
        await story.send(
            registrar, "citizen_attest", CitizenAttest(person(1), address_of(citizen.public_key))
        ),
        await story.send(
            registrar, "citizen_attest", CitizenAttest(person(2), address_of(trader.public_key))
        ),
        await story.send(chain.accounts[5], "vote_delegate", VoteDelegate(address_of(owners[1].public_key))),
    ]
    for number, owner in enumerate(owners):
        payload = Transfer(address_of(owner.public_key), 50 * NXT, b"")
        sent.append(await story.send(chain.accounts[3 + number % 2], "transfer", payload))
    await story.accepted(*sent)
    for first, second, amounts in (
        (NXT_ASSET, alpha, (1_000 * NXT, 2 * 10**13)),
        (*sorted((alpha, beta)), (10**10, 10**10)),
    ):
        sent.append(await story.send(founder, "pool_create", PoolCreate(first, second, 30, *amounts)))
    sent.append(await story.send(citizen, "citizen_register", CitizenRegister(person(1))))
    for index in range(5):
        report = OracleReport(index, GLOBAL_DEBT_USD.number, DEBT_USD)
        sent.append(await story.send(owners[index], "oracle_report", report))
    policy = ProposalCreate(POLICY, "Open the gardens", TEXT_HASH, TextOnly(), 20 * NXT)
    sent.append(await story.send(chain.accounts[4], "proposal_create", policy))
    await story.accepted(*sent)
    greater = ParameterChange(RESERVE_SHARE_PPM.number, b"", 20_000)
    change = ProposalCreate(PARAMETER, "A greater share", TEXT_HASH, greater, 20 * NXT)
    ballot = Ballot(address_of(owners[0].public_key), (0,))
    await story.accepted(
        await story.send(chain.accounts[4], "proposal_create", change),
        await story.send(owners[0], "vote", Vote(1, YES, (ballot,))),
    )

    pool = address_of_pair(NXT_ASSET, alpha)
    await story.refused("pool not final", "dex_getTwap", first="NXT", second=alpha.hex())
    quote = await story.ask("quote", "dex_quote", path=["NXT", alpha.hex()], amount=SOLD)
    await story.ask("quote out", "dex_quote", path=["NXT", alpha.hex()], amount=str(SOLD), exact="out")
    await story.ask("quote found", "dex_quote", sell="NXT", buy=beta.hex(), amount=SOLD)
    swap = Swap((NXT_ASSET, alpha), EXACT_IN, SOLD, int(quote["min_out"]))
    story.answers["swapped"] = await story.accepted(await story.send(trader, "swap", swap))

    with trio.fail_after(200):
        while True:
            await trio.sleep(1)
            position = story.methods._services.finalised.position
            if position is not None and epoch_at(chain.params, position[1]) >= 2:
                break
    await story.ask("status", "economy_getStatus")
    await story.ask("policy", "economy_getPolicy")
    await story.ask("backing", "economy_getDebtBacking")
    await story.ask("tokens", "token_list")
    await story.ask("tokens 1", "token_list", limit=1)
    await story.ask("tokens 2", "token_list", limit=1, after=story.answers["tokens 1"]["next_after"])
    await story.ask("alpha", "token_get", id=alpha.hex())
    await story.ask("beta", "token_get", id=beta.hex())
    await story.ask("founder's", "token_getBalances", address=story.address(founder))
    await story.ask("founder's 1", "token_getBalances", address=story.address(founder), limit=1)
    after = story.answers["founder's 1"]["next_after"]
    await story.ask("founder's 2", "token_getBalances", address=story.address(founder), limit=1, after=after)
    await story.ask("trader's", "token_getBalances", address=story.address(trader))
    await story.ask("pools", "dex_getPools")
    await story.ask("pools 1", "dex_getPools", limit=1)
    await story.ask("pools 2", "dex_getPools", limit=1, after=story.answers["pools 1"]["next_after"])
    await story.ask("pool", "dex_getPool", address=encode_address(chain.rules.address_prefix, pool))
    await story.ask("pool by assets", "dex_getPool", first=alpha.hex(), second="NXT")
    await story.ask("positions", "dex_getPositions", address=story.address(founder))
    await story.ask("positions 1", "dex_getPositions", address=story.address(founder), limit=1)
    after = story.answers["positions 1"]["next_after"]
    await story.ask("positions 2", "dex_getPositions", address=story.address(founder), limit=1, after=after)
    await story.ask("twap", "dex_getTwap", first="NXT", second=alpha.hex(), window_epochs=1)
    crash = Swap((NXT_ASSET, alpha), EXACT_IN, 1_000 * NXT, 1)
    await story.accepted(await story.send(trader, "swap", crash))
    await story.ask("twap after a crash", "dex_getTwap", first="NXT", second=alpha.hex(), window_epochs=1)
    await story.ask("price", "message_getPrice", size_bytes=len(CONTENT), region="GREEN")
    await story.ask("prices", "message_getPrice", size_bytes=1_024, priority="critical")
    await story.ask("floor", "floor_getStatus")
    await story.ask("citizen", "floor_getCitizen", address=story.address(citizen))
    await story.ask("registered", "floor_getAttestation", person=person(1).hex())
    await story.ask("attested", "floor_getAttestation", person=person(2).hex())
    await story.ask("proposals", "governance_list")
    await story.ask("proposals 1", "governance_list", limit=1)
    await story.ask("proposals 2", "governance_list", limit=1, after="2")
    await story.ask("proposals open", "governance_list", open=True)
    await story.ask("proposal", "governance_get", id=1, limit=10)
    await story.ask("proposal alone", "governance_get", id=1)
    await story.ask("parameters", "governance_getParameters")
    await story.ask("voter", "governance_getVoter", address=story.address(owners[0]), proposal=1)
    await story.ask("delegate", "governance_getVoter", address=story.address(owners[1]))
    await story.ask("delegator", "governance_getVoter", address=story.address(chain.accounts[5]))
    await story.ask("feeds", "oracle_getFeeds")
    await story.refused("no citizen", "floor_getCitizen", address=story.address(trader))
    await story.refused("voter of none", "governance_getVoter", address=story.address(trader), proposal=99)
    for name, (method, params, _, _) in REFUSALS.items():
        await story.refused(name, method, **params)
    finalised = story.methods._services.finalised
    kept, finalised._state = finalised._state, None
    await story.refused("nothing final", "dex_getTwap", first="NXT", second=alpha.hex())
    finalised._state = kept


async def tell_on_a_node(directory: Path) -> Story:
    chain = founded()
    async with (
        SimulatedFabric(1) as fabric,
        live_node(fabric, chain, directory, clock=clock_at(chain, 1), keys=chain.keys) as handle,
    ):
        story = Story(chain, NodeMethods(handle.services))
        await tell(story)
        # The same methods on the state of a richer economy.
        rich = founded_economy()
        store, batch = MemoryStore(), WriteBatch()
        LedgerStore(store).stage_genesis(batch, rich.state)
        store.write(batch, sync=False)
        registry = handle.services.metrics.registry
        for gauge in ("nexus_tokens", "nexus_dex_pools", "nexus_open_proposals", "nexus_floor_population"):
            story.gauges[gauge] = registry.get_sample_value(gauge)
        counter, labels = "nexus_transactions_total", {"kind": "swap", "result": "applied"}
        story.gauges[counter] = registry.get_sample_value(counter, labels)
        story.methods = NodeMethods(replace(handle.services, store=store))
        await story.ask("rich status", "economy_getStatus")
        await story.ask("rich floor", "floor_getStatus")
        return story


@pytest.fixture(scope="module")
def story(tmp_path_factory: pytest.TempPathFactory) -> Story:
    """Told once, in virtual time."""
    clock = trio.testing.MockClock(autojump_threshold=0)
    return trio.run(tell_on_a_node, tmp_path_factory.mktemp("node"), clock=clock)


@pytest.mark.parametrize("name", REFUSALS)
def test_what_does_not_fit_is_refused_by_name(story: Story, name: str) -> None:
    _, _, number, code = REFUSALS[name]
    refused = story.refusals[name]
    assert (refused.number, refused.code) == (number, code), refused.message


@pytest.mark.parametrize("name", [name for name, row in REFUSALS.items() if row[2] == NOT_FOUND])
def test_what_is_not_there_comes_with_a_hint(story: Story, name: str) -> None:
    assert story.refusals[name].hint


# tokens ---------------------------------------------------------------------------------------------------------------


def test_a_token_shows_what_exists_and_what_was_burned(story: Story) -> None:
    beta = story.answers["beta"]
    assert (beta["symbol"], beta["decimals"]) == ("BETA", 0)
    assert (beta["supply"], beta["burned"]) == (str(9 * 10**11), str(10**11))
    assert beta["creator"] == story.address(story.chain.accounts[FOUNDER])


def test_tokens_come_in_pages_that_meet(story: Story) -> None:
    answers = story.answers
    pages = [answers[name]["tokens"] for name in ("tokens 1", "tokens 2")]
    assert [len(page) for page in pages] == [1, 1]
    assert pages[0] + pages[1] == answers["tokens"]["tokens"]
    assert answers["tokens 2"]["next_after"] is answers["tokens"]["next_after"] is None


def test_balances_come_in_pages_that_meet_and_sum_to_the_supply(story: Story) -> None:
    answers = story.answers
    pages = [answers[name]["balances"] for name in ("founder's 1", "founder's 2")]
    assert pages[0] + pages[1] == answers["founder's"]["balances"]
    held = {one["token"]: int(one["balance"]) for one in answers["founder's"]["balances"]}
    traders = {one["token"]: int(one["balance"]) for one in answers["trader's"]["balances"]}
    for name in ("alpha", "beta"):
        token = answers[name]
        pooled = sum(
            int(pool[f"reserve_{side}"])
            for pool in answers["pools"]["pools"]
            for side in ("first", "second")
            if pool[side] == token["id"]
        )
        assert held[token["id"]] + traders.get(token["id"], 0) + pooled == int(token["supply"])


# exchange -------------------------------------------------------------------------------------------------------------


def test_a_swap_gives_what_its_quote_said(story: Story) -> None:
    quote, swapped = story.answers["quote"], story.answers["swapped"]
    assert swapped["result"] == {"amount_in": quote["amount_in"], "amount_out": quote["amount_out"]}


def test_a_quote_names_the_limit_to_sign_and_the_impact_on_the_price(story: Story) -> None:
    quote = story.answers["quote"]
    out = int(quote["amount_out"])
    assert int(quote["min_out"]) == out * 995_000 // 1_000_000 < out
    assert quote["spot_price"] == "200"
    assert 0 < quote["price_impact_ppm"] < 20_000
    assert [(hop["asset_in"], hop["fee_bp"], hop["fee"]) for hop in quote["hops"]] == [
        ("NXT", 30, str(SOLD * 30 // 10_000))
    ]


def test_a_quote_of_an_exact_output_names_the_most_to_pay(story: Story) -> None:
    quote = story.answers["quote out"]
    assert quote["amount_out"] == str(SOLD)
    assert int(quote["max_in"]) == -(-int(quote["amount_in"]) * 1_005_000 // 1_000_000)
    assert "min_out" not in quote


def test_without_a_path_one_is_found_through_several_pools(story: Story) -> None:
    quote = story.answers["quote found"]
    alpha, beta = story.answers["alpha"]["id"], story.answers["beta"]["id"]
    assert quote["path"] == ["NXT", alpha, beta]
    assert [hop["asset_out"] for hop in quote["hops"]] == [alpha, beta]


def test_a_pool_is_found_by_its_address_and_by_its_assets(story: Story) -> None:
    pool = story.answers["pool"]
    assert pool == story.answers["pool by assets"]
    assert int(pool["reserve_first"]) == 1_000 * NXT + SOLD
    assert pool["first"] == "NXT"
    assert (pool["fee_bp"], pool["locked_shares"]) == (30, "1000")


def test_pools_and_positions_come_in_pages_that_meet(story: Story) -> None:
    for name in ("pools", "positions"):
        pages = [story.answers[f"{name} {number}"][name] for number in (1, 2)]
        assert pages[0] + pages[1] == story.answers[name][name]
        assert story.answers[f"{name} 2"]["next_after"] is None


def test_a_position_is_worth_its_part_of_the_reserves(story: Story) -> None:
    pool = story.answers["pool"]
    position = next(one for one in story.answers["positions"]["positions"] if one["pool"] == pool["address"])
    shares, all_shares = int(position["shares"]), int(pool["shares"])
    assert all_shares - shares == 1_000
    assert int(position["amount_first"]) == shares * int(pool["reserve_first"]) // all_shares
    assert position["share_ppm"] == 999_999


def test_D5_an_average_price_is_of_the_finalised_state_only(story: Story) -> None:
    assert story.refusals["pool not final"].code == "PoolNotFinal"
    assert story.refusals["nothing final"].code == "NothingFinal"
    for name in ("twap", "twap after a crash"):
        twap = story.answers[name]
        assert int(twap["finalised_epoch"]) >= 2
        assert int(twap["finalised_slot"]) < int(story.answers["status"]["slot"])
        assert int(twap["from_slot"]) + int(twap["slots"]) == int(twap["finalised_slot"])
        # 200 before the first swap, less after it: the mean of both lies between. The crash is not final.
        assert float(story.answers["pool"]["price"]) <= float(twap["first_price"]) <= 200


def test_prices_are_rounded_down_to_eighteen_places() -> None:
    assert price_text(1, 3) == "0.333333333333333333"
    assert price_text(2, 3) == "0.666666666666666666"
    assert price_text(600, 3) == "200"
    assert price_text(1, 10**19) == "0"


# the loop -------------------------------------------------------------------------------------------------------------


def test_issued_less_burned_explains_what_circulates(story: Story) -> None:
    for name in ("status", "rich status"):
        supply = story.answers[name]["supply"]
        assert supply["identity_error"] == "0"
        assert int(supply["circulating"]) + int(supply["reserved"]) == MAX_SUPPLY_UNITS
        assert set(story.answers[name]["reserves"]) == set(RESERVES)


def test_a_message_shows_in_its_region_at_the_price_told(story: Story) -> None:
    burned = message_price_units(2, 1, len(CONTENT))
    by_region = {one["region"]: one for one in story.answers["status"]["messages"]}
    assert by_region["GREEN"]["burned"] == str(burned)
    assert by_region["GREEN"]["messages"] == "1"
    assert by_region["RED"]["burned"] == "0"
    price = story.answers["price"]
    rise_ppm = price["price_rise_ppm"]
    assert price["prices"] == [
        {
            "region": "GREEN",
            "number": 2,
            "centre_pm": 532_500,
            "price": str(message_price_units(2, 1, len(CONTENT), rise_ppm)),
        }
    ]


def test_prices_of_all_regions_fall_with_the_wavelength(story: Story) -> None:
    prices = [int(one["price"]) for one in story.answers["prices"]["prices"]]
    assert len(prices) == 6
    assert prices == sorted(prices, reverse=True)


def test_a_sector_shows_its_token_pool_and_totals(story: Story) -> None:
    sectors = {one["name"]: one for one in story.answers["rich status"]["sectors"]}
    assert tuple(sectors) == SECTORS
    electricity, water = sectors["ELECTRICITY"], sectors["WATER"]
    assert electricity["pool"].startswith("dnxt1") and len(electricity["token"]) == 40
    assert int(electricity["allocated"]) > 0 < int(electricity["paid_to_floor"])
    assert int(electricity["demand_ppm"]) > 1_000_000 == int(water["demand_ppm"])
    assert (water["token"], water["pool"], water["seeding_obstacle"]) == (None, None, "no token")


def test_the_policy_says_what_it_saw_and_decided(story: Story) -> None:
    policy = story.answers["policy"]
    step = policy["last_step"]
    assert int(step["epoch"]) == int(story.answers["status"]["epoch"]) - 1
    assert set(step["signals_ppm"]) == {"contribution", "distribution", "activity", "circulation"}
    assert policy["issuance_share_ppm"] == max(0, step["output_ppm"])
    assert story.answers["status"]["policy"]["output_ppm"] == step["output_ppm"]


def test_the_backing_is_the_oracles_while_that_is_fresh(story: Story) -> None:
    backing = story.answers["backing"]
    assert (backing["source"], backing["debt_usd"]) == ("oracle", str(DEBT_USD))
    per_nxt = DEBT_USD * 10**6 * NXT // int(backing["circulating"])
    assert backing["micro_usd_per_nxt"] == str(per_nxt)
    assert backing["display"].startswith("$")
    assert backing["population"] == "1"


def test_a_feed_shows_value_age_and_reporters(story: Story) -> None:
    feeds = {one["name"]: one for one in story.answers["feeds"]["feeds"]}
    assert list(feeds) == [feed.name for feed in FEEDS]
    debt, price = feeds["global_debt"], feeds["nxt_price"]
    assert (debt["value"], debt["fresh"], debt["reporters"]) == (str(DEBT_USD), True, 5)
    assert int(debt["age_epochs"]) == int(story.answers["feeds"]["epoch"]) - int(debt["value_epoch"])
    assert (price["value"], price["fresh"], price["age_epochs"]) == (None, False, None)


# floor ----------------------------------------------------------------------------------------------------------------


def test_the_floor_accounts_for_its_balance(story: Story) -> None:
    for name in ("floor", "rich floor"):
        floor = story.answers[name]
        parts = [int(floor[part]) for part in ("owed", "held_back", "waiting_income", "free")]
        assert sum(parts) == int(floor["balance"])
    floor = story.answers["floor"]
    assert (floor["population"], floor["entitlement_month"]) == ("1", str(1_150 * NXT))
    assert floor["registrars"] == [story.address(story.chain.accounts[REGISTRAR])]


def test_a_citizen_is_owed_what_the_floor_owes_to_the_only_one(story: Story) -> None:
    citizen = story.answers["citizen"]
    assert citizen["person"] == person(1).hex()
    assert int(citizen["left"]) == sum(map(int, citizen["left_by_category"].values()))
    assert citizen["left"] == story.answers["floor"]["owed"] != "0"
    assert story.refusals["no citizen"].code == "CitizenNotFound"


def test_a_person_is_ready_until_it_has_registered(story: Story) -> None:
    registered, attested = story.answers["registered"], story.answers["attested"]
    assert registered["citizen"] == story.address(story.chain.accounts[CITIZEN])
    assert (registered["ready"], registered["statements"]) == (False, [])
    assert (attested["ready"], attested["citizen"], attested["needed"]) == (True, None, 1)
    assert attested["statements"][0]["subject"] == story.address(story.chain.accounts[TRADER])


# governance -----------------------------------------------------------------------------------------------------------


def test_proposals_come_newest_first_in_pages_that_meet(story: Story) -> None:
    answers = story.answers
    assert [one["id"] for one in answers["proposals"]["proposals"]] == ["2", "1"]
    pages = [answers[name]["proposals"] for name in ("proposals 1", "proposals 2")]
    assert pages[0] + pages[1] == answers["proposals"]["proposals"]
    assert answers["proposals 1"]["next_after"] == "2"
    assert answers["proposals open"]["proposals"] == answers["proposals"]["proposals"]


def test_G4_lists_and_parameters_say_what_the_next_proposal_deposits(story: Story) -> None:
    for name in ("proposals", "proposals open", "parameters"):
        assert story.answers[name]["next_deposit"] == str(10 * NXT)
    paid = [one["deposit"] for one in story.answers["proposals"]["proposals"]]
    assert paid == [str(10 * NXT)] * 2


def test_a_proposal_says_what_it_would_do(story: Story) -> None:
    change = story.answers["proposals"]["proposals"][0]
    assert change["action"] == {
        "type": "parameter",
        "number": RESERVE_SHARE_PPM.number,
        "parameter": "reserve_share",
        "subject": None,
        "value": "20000",
    }
    assert (change["class"], change["threshold_ppm"], change["status"]) == ("parameter", 670_000, "open")


def test_a_ballot_counts_its_stake_and_shows_on_request(story: Story) -> None:
    proposal, alone = story.answers["proposal"], story.answers["proposal alone"]
    owner = story.address(key_pair(0, "withdrawal", 0))
    vote = proposal["votes"][0]
    assert (vote["address"], vote["choice"], vote["cast_by"]) == (owner, "yes", owner)
    assert vote["weight"] == proposal["yes"] == str(1_000 * NXT)
    assert vote["stakes"] == [{"validator": 0, "units": vote["weight"]}]
    assert (proposal["ballots"], proposal["approval_ppm"]) == ("1", 1_000_000)
    assert alone["votes"] == []


def test_every_parameter_shows_value_default_and_bounds(story: Story) -> None:
    shown = {one["name"]: one for one in story.answers["parameters"]["parameters"]}
    assert list(shown) == [parameter.name for parameter in PARAMETERS]
    share = shown["reserve_share"]
    assert (share["value"], share["default"], share["least"], share["greatest"]) == (
        "10000",
        "10000",
        "0",
        "100000",
    )
    assert shown["floor_food"]["class"] == "constitutional"
    assert (shown["pool_fee"]["per_subject"], shown["pool_fee"]["value"]) == (True, "0")


def test_a_voter_sees_weight_lock_and_its_vote(story: Story) -> None:
    voter, proposal = story.answers["voter"], story.answers["proposal"]
    assert voter["weights"] == [{"validator": 0, "units": str(1_000 * NXT)}]
    assert voter["locked_until_epoch"] == proposal["closes_epoch"]
    assert voter["locked"] is True
    assert voter["vote"]["choice"] == "yes"
    assert story.refusals["voter of none"].code == "ProposalNotFound"


def test_a_delegate_and_its_delegator_see_each_other(story: Story) -> None:
    delegate, delegator = story.answers["delegate"], story.answers["delegator"]
    assert delegator["delegate"] == delegate["address"]
    assert [(one["address"], one["counts"]) for one in delegate["delegators"]] == [
        (delegator["address"], True)
    ]
    assert (delegate["next_after"], delegate["vote"]) == (None, None)


# metrics --------------------------------------------------------------------------------------------------------------


def test_the_gauges_of_the_node_agree_with_the_methods(story: Story) -> None:
    answers = story.answers
    assert story.gauges == {
        "nexus_tokens": len(answers["tokens"]["tokens"]),
        "nexus_dex_pools": len(answers["pools"]["pools"]),
        "nexus_open_proposals": len(answers["proposals"]["proposals"]),
        "nexus_floor_population": int(answers["floor"]["population"]),
        "nexus_transactions_total": 2,
    }
