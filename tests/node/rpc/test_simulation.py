"""`tx_simulate`: what a transaction would do, without doing it."""

from pathlib import Path
from typing import Any

import pytest
import trio
from builders.ledger import FAR_SLOT
from builders.rpc_client import Client, address_text, client_of_a_validator

from ledger.addresses import address_of, token_id
from ledger.kinds import ledger_kinds
from ledger.tokens.kinds import TokenCreate, TokenTransfer
from ledger.transactions import SignedTransaction, sign_transaction
from node.rpc.protocol import INVALID_PARAMS, REJECTED, RpcError


def signed(client: Client, kind: str, payload: Any, nonce: int = 0) -> SignedTransaction:
    chosen = ledger_kinds().named(kind)
    assert chosen is not None
    return sign_transaction(
        client.chain.accounts[0],
        client.chain.rules,
        nonce=nonce,
        expiry_slot=FAR_SLOT,
        fee=None,
        kind=chosen,
        payload_record=payload,
    )


async def test_a_simulated_transaction_says_what_it_would_do_and_does_nothing(
    tmp_path: Path, autojump_clock: trio.testing.MockClock
) -> None:
    async with client_of_a_validator(tmp_path) as client:
        payment = client.payment()
        shown = await client.call("tx_simulate", raw=payment.raw.hex())
        assert shown["status"] == "applied" and shown["reason"] == "" and shown["kind"] == "transfer"
        assert int(shown["fee"]) == payment.body.fee
        account = await client.call("ledger_getAccount", address=address_text(client, 0))
        assert (account["nonce"], account["pending"]) == ("0", 0)
        assert (await client.call("tx_status", id=payment.id.hex()))["status"] == "unknown"


async def test_it_names_what_the_state_does_not_allow(
    tmp_path: Path, autojump_clock: trio.testing.MockClock
) -> None:
    async with client_of_a_validator(tmp_path) as client:
        token = token_id(address_of(client.chain.accounts[0].public_key), 0)
        moved = signed(client, "token_transfer", TokenTransfer(token, b"r" * 20, 5, b""))
        shown = await client.call("tx_simulate", raw=moved.raw.hex())
        assert (shown["status"], shown["reason"]) == ("failed", "UnknownToken")
        ahead = signed(client, "token_create", TokenCreate("TEA", "tea leaves", 2, 100), nonce=5)
        shown = await client.call("tx_simulate", raw=ahead.raw.hex())
        assert (shown["status"], shown["reason"], shown["fee"]) == ("skipped", "NonceAhead", "0")


async def test_what_no_state_can_make_valid_is_refused(
    tmp_path: Path, autojump_clock: trio.testing.MockClock
) -> None:
    async with client_of_a_validator(tmp_path) as client:
        for raw, code in (("00", "Malformed"), (client.payment(amount=0).raw.hex(), "PayloadInvalid")):
            with pytest.raises(RpcError) as refused:
                await client.call("tx_simulate", raw=raw)
            assert (refused.value.number, refused.value.code) == (REJECTED, code)
        with pytest.raises(RpcError) as refused:
            await client.call("tx_simulate", raw="zz")
        assert refused.value.number == INVALID_PARAMS


async def test_assets_of_a_payload_are_shown_as_assets_and_results_by_name(
    tmp_path: Path, autojump_clock: trio.testing.MockClock
) -> None:
    async with client_of_a_validator(tmp_path) as client:
        created = signed(client, "token_create", TokenCreate("TEA", "tea leaves", 2, 100))
        token = token_id(created.sender, 0)
        moved = signed(client, "token_transfer", TokenTransfer(token, b"r" * 20, 5, b""), nonce=1)
        for transaction in (created, moved):
            await client.call("tx_submit", raw=transaction.raw.hex())
            await client.until(transaction, "accepted")
        shown = await client.call("tx_get", id=moved.id.hex())
        assert shown["payload"]["token"] == token.hex()
        assert shown["payload"]["recipient"].startswith("dnxt1")
        assert shown["kind"] == "token_transfer"
