"""Proofs from a real node that finalises: over the RPC, and through the commands that need no node to check them."""

import argparse
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import trio
from builders.blocks import FoundedChain, found_chain
from builders.live_node import KeptStores, clock_at, live_node

from cli import chain_proofs
from cli.exits import CommandFailed, ExitCode
from cli.main import run_command
from cli.proof_files import ProofFile, parse_checkpoint, proof_file_text, read_proof_file, verify
from consensus.light_client import (
    FINALITY_PROOF_CODEC,
    LightClientRefused,
    follow_all,
    trust_genesis,
    verify_account,
)
from consensus.stores import chain_index
from ledger.addresses import address_of, encode_address
from ledger.genesis_text import genesis_to_json
from node.rpc.methods import NodeMethods
from node.rpc.protocol import INVALID_PARAMS, NOT_FOUND, RpcError
from p2p.simulated import SimulatedFabric

EPOCH_SLOTS = 16


class Client:
    def __init__(self, chain: FoundedChain, handle: Any) -> None:
        self.chain = chain
        self.services = handle.services
        self.methods = NodeMethods(handle.services)

    async def call(self, method: str, **params: object) -> Any:
        return await self.methods.call(method, params)

    def address(self, account: int) -> str:
        return encode_address(
            self.chain.rules.address_prefix, address_of(self.chain.accounts[account].public_key)
        )

    async def until_epoch(self, epoch: int) -> list[Any]:
        """The stored proofs once there is one of `epoch`."""
        with trio.fail_after(EPOCH_SLOTS * (epoch + 4)):
            while True:
                proofs = (await self.call("finality_getProofs"))["proofs"]
                decoded = [FINALITY_PROOF_CODEC.decode(bytes.fromhex(raw)) for raw in proofs]
                if decoded and decoded[-1].header.slot >= epoch * EPOCH_SLOTS:
                    return decoded
                await trio.sleep(1)


@asynccontextmanager
async def validator(
    directory: Path, stores: KeptStores | None = None, slot: int = 1
) -> AsyncIterator[Client]:
    chain = found_chain(6, epoch_slots=EPOCH_SLOTS)
    async with (
        SimulatedFabric(1) as fabric,
        live_node(
            fabric, chain, directory, clock=clock_at(chain, slot), keys=chain.keys, stores=stores
        ) as handle,
    ):
        yield Client(chain, handle)


async def test_a_balance_is_proved_by_what_two_calls_answer(
    tmp_path: Path, autojump_clock: trio.testing.MockClock
) -> None:
    async with validator(tmp_path) as client:
        proofs = await client.until_epoch(2)
        answer = await client.call("ledger_getProof", address=client.address(0))
        chain, genesis_id = client.chain, chain_index(client.services.store, 0)
        assert genesis_id is not None
    trusted = trust_genesis(chain.genesis, chain.params, genesis_id)
    newest = FINALITY_PROOF_CODEC.decode(bytes.fromhex(answer["finality"]))
    period = newest.justifying.target.period
    trusted = follow_all(trusted, [*(one for one in proofs if one.justifying.target.period < period), newest])
    account = verify_account(
        trusted,
        address_of(chain.accounts[0].public_key),
        bytes.fromhex(answer["value"]),
        bytes.fromhex(answer["proof"]),
    )
    assert answer["balance"] == str(account.balance)
    assert int(answer["period"]) == period >= 4
    assert answer["state_root"] == trusted.state_root.hex()


async def test_before_anything_is_final_there_is_no_proof(
    tmp_path: Path, autojump_clock: trio.testing.MockClock
) -> None:
    async with validator(tmp_path) as client:
        await trio.sleep(2)
        with pytest.raises(RpcError) as refused:
            await client.call("ledger_getProof", address=client.address(0))
        assert (refused.value.number, refused.value.code) == (NOT_FOUND, "NothingProved")
        answer = await client.call("finality_getProofs")
        assert answer == {"proofs": [], "earlier": [], "next_epoch": None}
        assert (await client.call("finality_status"))["proved"] is None
        with pytest.raises(RpcError) as wrong:
            await client.call("finality_getProofs", from_epoch=1, after_period=2)
        assert wrong.value.number == INVALID_PARAMS


async def test_proofs_come_in_pages_and_from_a_period_on(
    tmp_path: Path, autojump_clock: trio.testing.MockClock
) -> None:
    async with validator(tmp_path) as client:
        proofs = await client.until_epoch(3)
        page = await client.call("finality_getProofs", limit=1)
        assert page["next_epoch"] == "2"
        second = await client.call("finality_getProofs", from_epoch=2, limit=1)
        assert FINALITY_PROOF_CODEC.decode(bytes.fromhex(second["proofs"][0])) == proofs[1]
        period = proofs[1].justifying.target.period
        later = await client.call("finality_getProofs", after_period=period - 1, earlier=True)
        assert FINALITY_PROOF_CODEC.decode(bytes.fromhex(later["proofs"][0])) == proofs[1]
        assert later["earlier"] == [proofs[0].snapshot.hex()]
        last = await client.call("finality_getProofs", after_period=proofs[-1].justifying.target.period)
        assert last["proofs"] == []
        status = await client.call("finality_status")
        assert int(status["proved"]["period"]) >= proofs[-1].justifying.target.period


async def test_a_restarted_node_has_its_proofs_and_makes_the_next_ones(
    tmp_path: Path, autojump_clock: trio.testing.MockClock
) -> None:
    stores = KeptStores()
    async with validator(tmp_path, stores) as client:
        before = await client.until_epoch(2)
        slot = client.services.head.slot + 2
    async with validator(tmp_path, stores, slot) as client:
        after = await client.until_epoch(4)
        assert after[: len(before)] == before
        assert [one.header.slot // EPOCH_SLOTS for one in after] == list(range(1, len(after) + 1))


# the commands ---------------------------------------------------------------------------------------------------------


class AnsweredCaller:
    """Gives a command the answers that a node gave."""

    def __init__(self, answers: dict[str, Any]) -> None:
        self.answers = answers

    def call(self, method: str, **_: object) -> Any:
        return self.answers[method]


async def files_of_a_node(directory: Path, monkeypatch: pytest.MonkeyPatch) -> tuple[Path, Path, str]:
    """(proof file from genesis, proof file from a checkpoint, that checkpoint), written by the command."""
    async with validator(directory) as client:
        proofs = await client.until_epoch(4)
        target = proofs[1].justifying.target
        checkpoint = f"{target.period}:{target.block_id.hex()}"
        answers = {
            "node_info": await client.call("node_info"),
            "finality_status": await client.call("finality_status"),
            "finality_getProofs": await client.call("finality_getProofs"),
            "ledger_getProof": await client.call("ledger_getProof", address=client.address(3)),
        }
        late = await client.call("finality_getProofs", after_period=target.period - 1, earlier=True)
        address = client.address(3)
        (directory / "genesis.json").write_text(genesis_to_json(client.chain.genesis))
    written = []
    for name, given, pages in (
        ("genesis", None, answers["finality_getProofs"]),
        ("checkpoint", checkpoint, late),
    ):
        caller = AnsweredCaller({**answers, "finality_getProofs": pages})

        @contextmanager
        def connected(_: object, caller: AnsweredCaller = caller) -> Any:
            yield caller

        monkeypatch.setattr(chain_proofs, "connected", connected)
        out = directory / f"{name}.proof"
        options = argparse.Namespace(
            account=address, out=out, checkpoint=given, dir=directory, output="text", debug=False
        )
        assert chain_proofs.write_proof(options) == ExitCode.OK
        written.append(out)
    return written[0], written[1], checkpoint


async def test_the_commands_write_and_check_files_that_need_no_node(
    tmp_path: Path,
    autojump_clock: trio.testing.MockClock,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    whole, late, checkpoint = await files_of_a_node(tmp_path, monkeypatch)
    genesis = ("--genesis", str(tmp_path / "genesis.json"))
    capsys.readouterr()

    def run(*arguments: str) -> SimpleNamespace:
        code = run_command(["chain", "verify", *arguments, *genesis, "--output", "json"])
        out, err = capsys.readouterr()
        return SimpleNamespace(code=code, result=json.loads(out) if out else None, error=err)

    proved = run(str(whole))
    assert proved.code == ExitCode.OK
    assert proved.result["balance"] == str(100 * 10**8)
    assert 3 * int(proved.result["signed_units"]) > 2 * int(proved.result["total_units"]) > 0
    assert (proved.result["trust"], proved.result["weak"]) == ("genesis", True)  # the genesis is of 2023
    from_checkpoint = run(str(late), "--checkpoint", checkpoint)
    assert from_checkpoint.code == ExitCode.OK
    assert from_checkpoint.result["balance"] == proved.result["balance"]
    assert from_checkpoint.result["trust"] == checkpoint
    assert run(str(whole), "--checkpoint", checkpoint).code == ExitCode.OK
    refused = run(str(late))
    assert refused.code == ExitCode.REJECTED
    assert "--checkpoint" in refused.error
    stranger = run(str(whole), "--checkpoint", f"6:{'ab' * 32}")
    assert stranger.code == ExitCode.REJECTED
    assert run(str(whole), "--checkpoint", "6").code == ExitCode.USAGE
    # the text for people
    assert run_command(["chain", "verify", str(whole), *genesis]) == ExitCode.OK
    shown = capsys.readouterr().out
    assert "has 100" in shown
    assert "warning: the trust begins" in shown

    # a file in which one digit differs
    document = json.loads(whole.read_text())
    for part in ("proofs", "account"):
        changed = json.loads(whole.read_text())
        holder, key = (changed["account"], "value") if part == "account" else (changed["proofs"], 2)
        text = holder[key]
        holder[key] = text[:-1] + ("0" if text[-1] != "0" else "1")
        (tmp_path / "changed.proof").write_text(json.dumps(changed))
        assert run(str(tmp_path / "changed.proof")).code == ExitCode.REJECTED
    for junk in (
        "",
        "{}",
        "[]",
        json.dumps(document | {"version": 2}),
        json.dumps(document | {"proofs": []}),
    ):
        (tmp_path / "changed.proof").write_text(junk)
        assert run(str(tmp_path / "changed.proof")).code == ExitCode.REJECTED
    assert run(str(tmp_path / "nothing.proof")).code == ExitCode.CONFIG

    # another chain's genesis
    file = read_proof_file(whole)
    with pytest.raises(CommandFailed, match="is of the chain with genesis"):
        verify(file, found_chain(6, epoch_slots=32).genesis, None)
    swapped = ProofFile(
        file.genesis_hash, None, (), tuple(reversed(file.proofs)), file.address, file.value, file.proof
    )
    (tmp_path / "swapped.proof").write_text(proof_file_text(swapped))
    assert run(str(tmp_path / "swapped.proof")).code == ExitCode.REJECTED
    with pytest.raises(LightClientRefused, match="says nothing about checkpoint"):
        verify(file, found_chain(6, epoch_slots=EPOCH_SLOTS).genesis, parse_checkpoint(f"9:{'00' * 32}"))


async def test_the_checkpoint_command_shows_what_a_newcomer_begins_with(
    tmp_path: Path,
    autojump_clock: trio.testing.MockClock,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    async with validator(tmp_path) as client:
        proofs = await client.until_epoch(1)
        status = await client.call("finality_status")
    caller = AnsweredCaller({"finality_status": status})

    @contextmanager
    def connected(_: object) -> Any:
        yield caller

    monkeypatch.setattr(chain_proofs, "connected", connected)
    assert chain_proofs.print_checkpoint(argparse.Namespace(output="text")) == ExitCode.OK
    shown = parse_checkpoint(capsys.readouterr().out.strip())
    assert shown == proofs[-1].justifying.target
