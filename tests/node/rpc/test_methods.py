"""The RPC's methods on a real node that makes blocks: what they answer, and how they refuse."""

import re
from pathlib import Path

import pytest
import trio
from builders.chain import devnet
from builders.ledger import batch_transfer, transfer
from builders.live_node import clock_at, live_node
from builders.rpc_client import address_text, client_of_a_validator

from consensus.errors import RecordDamaged
from consensus.stores import HEADERS_PREFIX
from ledger.accounts import TREASURY_ADDRESS
from ledger.addresses import address_of
from ledger.amounts import MAX_SUPPLY_UNITS
from ledger.storage.store import WriteBatch
from node.rpc.protocol import INVALID_PARAMS, NOT_FOUND, REJECTED, RpcError
from node.services import STALE_HEAD_SLOTS
from p2p.simulated import SimulatedFabric


async def test_a_submitted_transfer_is_pending_then_accepted_and_moves_money(
    tmp_path: Path, autojump_clock: trio.testing.MockClock
) -> None:
    async with client_of_a_validator(tmp_path) as client:
        before = await client.call("ledger_getAccount", address=address_text(client, 1))
        payment = client.payment()
        submitted = await client.call("tx_submit", raw=payment.raw.hex())
        assert submitted == {"id": payment.id.hex(), "status": "pending"}
        sender = await client.call("ledger_getAccount", address=address_text(client, 0))
        assert (sender["nonce"], sender["next_nonce"]) == ("0", "1")
        accepted = await client.until(payment, "accepted")
        after = await client.call("ledger_getAccount", address=address_text(client, 1))
        assert int(after["balance"]) - int(before["balance"]) == 7
        assert int(accepted["fee_charged"]) == payment.body.fee
        shown = await client.call("tx_get", id=payment.id.hex())
        assert shown["payload"]["amount"] == "7"
        assert shown["kind"] == "transfer"
        assert shown["raw"] == payment.raw.hex()
        block = await client.call("chain_getBlock", id=accepted["block"], receipts=True)
        assert {"id": payment.id.hex(), "status": "applied"}.items() <= block["receipts"][-1].items()
        carrier = await client.call("chain_getBlock", id=accepted["carrier"], transactions=True)
        assert payment.raw.hex() in carrier["transactions"]


async def test_submitting_again_gives_the_same_answer_before_and_after_acceptance(
    tmp_path: Path, autojump_clock: trio.testing.MockClock
) -> None:
    async with client_of_a_validator(tmp_path) as client:
        payment = client.payment()
        first = await client.call("tx_submit", raw=payment.raw.hex())
        assert await client.call("tx_submit", raw=payment.raw.hex()) == first
        await client.until(payment, "accepted")
        assert (await client.call("tx_submit", raw=payment.raw.hex()))["id"] == payment.id.hex()


async def test_a_batch_is_judged_one_by_one(tmp_path: Path, autojump_clock: trio.testing.MockClock) -> None:
    async with client_of_a_validator(tmp_path) as client:
        good, poor = client.payment(), client.payment(nonce=1, amount=MAX_SUPPLY_UNITS)
        raws = [good.raw.hex(), "00", poor.raw.hex(), good.raw[:-1].hex() + "00"]
        results = (await client.call("tx_submitBatch", raw=raws))["results"]
        assert results[0] == {"id": good.id.hex(), "status": "pending"}
        assert [result.get("error") for result in results[1:]] == [
            "Malformed", "AmountAboveBalance", "SignatureInvalid",
        ]  # fmt: skip


async def test_a_batch_transfer_shows_its_legs(
    tmp_path: Path, autojump_clock: trio.testing.MockClock
) -> None:
    async with client_of_a_validator(tmp_path) as client:
        chain = client.chain
        to = [(address_of(account.public_key), 3) for account in chain.accounts[1:3]]
        batch = batch_transfer(chain.accounts[0], chain.rules, 0, to)
        await client.call("tx_submit", raw=batch.raw.hex())
        await client.until(batch, "accepted")
        shown = await client.call("tx_get", id=batch.id.hex())
        assert [leg["recipient"] for leg in shown["payload"]["legs"]] == [
            address_text(client, 1), address_text(client, 2),
        ]  # fmt: skip


async def test_head_block_and_dag_agree(tmp_path: Path, autojump_clock: trio.testing.MockClock) -> None:
    async with client_of_a_validator(tmp_path) as client:
        await trio.sleep(6)
        head = await client.call("chain_head")
        block = await client.call("chain_getBlock", index=int(head["chain_index"]))
        assert block["id"] == head["id"]
        assert block["state_root"] == head["state_root"]
        assert block["color"] == "chain"
        dag = await client.call("chain_getDag", limit=500)
        by_id = {one["id"]: one for one in dag["blocks"]}
        assert by_id[head["id"]]["color"] == "chain"
        assert [int(one["slot"]) for one in dag["blocks"]] == sorted(
            int(one["slot"]) for one in dag["blocks"]
        )
        blues = sum(one["color"] in ("chain", "blue") for one in dag["blocks"])
        # The head itself is not in its own past: blue score counts the past.
        assert blues == int(head["blue_score"]) + 1
        genesis = await client.call("chain_getBlock", index=0)
        assert genesis["parents"] == []
        assert genesis["selected_parent"] is None


async def test_info_supply_peers_and_mempool_tell_what_the_issue_names(
    tmp_path: Path, autojump_clock: trio.testing.MockClock
) -> None:
    async with client_of_a_validator(tmp_path) as client:
        info = await client.call("node_info")
        expected = {
            "peer_id", "listen_addrs", "gossip_topics", "network", "genesis", "version", "protocol", "sync",
        }  # fmt: skip
        assert expected <= info.keys()
        assert info["genesis"] == client.chain.params.genesis_hash.hex()
        assert len(info["gossip_topics"]) == 3
        supply = await client.call("ledger_getSupply")
        assert (
            int(supply["reserved"]) + int(supply["circulating"])
            == MAX_SUPPLY_UNITS
            == int(supply["max_supply"])
        )
        assert supply["conservation_error"] == "0"
        assert (await client.call("node_peers")) == {"peers": []}
        await client.call("tx_submit", raw=client.payment().raw.hex())
        status = await client.call("mempool_status")
        assert status["transactions"] == 1
        assert status["bytes"] == len(client.payment().raw)


async def test_a_payment_to_a_system_account_is_rejected_by_its_rule(
    tmp_path: Path, autojump_clock: trio.testing.MockClock
) -> None:
    async with client_of_a_validator(tmp_path) as client:
        chain = client.chain
        gift = transfer(chain.accounts[0], chain.rules, 0, TREASURY_ADDRESS, 5)
        with pytest.raises(RpcError) as refused:
            await client.call("tx_submit", raw=gift.raw.hex())
        assert (refused.value.number, refused.value.code) == (REJECTED, "RecipientRefused")


@pytest.mark.parametrize(
    ("method", "params", "number", "code"),
    [
        ("chain_getBlock", {}, INVALID_PARAMS, "ParamsInvalid"),
        ("chain_getBlock", {"id": "00" * 32, "index": 1}, INVALID_PARAMS, "ParamsInvalid"),
        ("chain_getBlock", {"id": "00" * 32}, NOT_FOUND, "BlockNotFound"),
        ("chain_getBlock", {"index": 10**9}, NOT_FOUND, "BlockNotFound"),
        ("chain_getBlock", {"index": True}, INVALID_PARAMS, "ParamsInvalid"),
        ("chain_getBlock", {"index": -1}, INVALID_PARAMS, "ParamsInvalid"),
        ("chain_getDag", {"limit": 501}, INVALID_PARAMS, "ParamsInvalid"),
        ("chain_head", {"unknown": 1}, INVALID_PARAMS, "ParamsInvalid"),
        ("ledger_getAccount", {"address": "dnxt1qqqq"}, INVALID_PARAMS, "AddressMalformed"),
        ("tx_get", {"id": "ab" * 32}, NOT_FOUND, "TransactionNotFound"),
        ("tx_get", {"id": "AB" * 32}, INVALID_PARAMS, "ParamsInvalid"),
        ("tx_submit", {"raw": "0"}, INVALID_PARAMS, "ParamsInvalid"),
        ("tx_submit", {"raw": "00"}, REJECTED, "Malformed"),
        ("tx_submitBatch", {"raw": []}, INVALID_PARAMS, "ParamsInvalid"),
    ],
)
async def test_bad_parameters_get_their_named_error(
    tmp_path: Path,
    autojump_clock: trio.testing.MockClock,
    method: str,
    params: dict[str, object],
    number: int,
    code: str,
) -> None:
    async with client_of_a_validator(tmp_path) as client:
        with pytest.raises(RpcError) as refused:
            await client.call(method, **params)
    assert (refused.value.number, refused.value.code) == (number, code)


async def test_an_unknown_transaction_has_the_status_unknown(
    tmp_path: Path, autojump_clock: trio.testing.MockClock
) -> None:
    async with client_of_a_validator(tmp_path) as client:
        assert (await client.call("tx_status", id="cd" * 32))["status"] == "unknown"


async def test_method_names_are_namespace_underscore_verb(
    tmp_path: Path, autojump_clock: trio.testing.MockClock
) -> None:
    async with client_of_a_validator(tmp_path) as client:
        names = client.methods.names()
    readme = (Path(__file__).parents[3] / "node" / "rpc" / "README.md").read_text(encoding="utf-8")
    assert [name for name in names if f"`{name}`" not in readme] == []
    assert all(re.fullmatch(r"[a-z]+_[a-z][A-Za-z]+", name) for name in names)


async def ask_for_a_damaged_header(directory: Path) -> None:
    async with client_of_a_validator(directory) as client:
        await trio.sleep(3)
        head = await client.call("chain_head")
        batch = WriteBatch()
        batch.put(HEADERS_PREFIX + bytes.fromhex(head["id"]), b"damaged")
        client.methods._services.store.write(batch, sync=True)
        with pytest.raises(RpcError, match="damaged") as refused:
            await client.call("chain_getBlock", id=head["id"])
        assert refused.value.code == "RecordDamaged"
        await trio.sleep_forever()


async def test_a_fault_of_the_store_that_a_question_brings_up_ends_the_node(
    tmp_path: Path, autojump_clock: trio.testing.MockClock
) -> None:
    with pytest.raises(BaseExceptionGroup) as ended:
        await ask_for_a_damaged_header(tmp_path)
    assert ended.group_contains(RecordDamaged)


async def test_a_node_whose_chain_stands_still_is_not_ready(
    tmp_path: Path, autojump_clock: trio.testing.MockClock
) -> None:
    chain = devnet()
    async with (
        SimulatedFabric(1) as fabric,
        live_node(fabric, chain, tmp_path, clock=clock_at(chain, 1)) as handle,
    ):
        ready_at_first, _ = handle.services.readiness()
        await trio.sleep(STALE_HEAD_SLOTS + 1)
        ready, checks = handle.services.readiness()
    assert ready_at_first and not ready
    assert checks["head"].startswith("18 slots old")
