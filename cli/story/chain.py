"""The chain as the story sees it: sending, waiting, and reading figures that belong together."""

from collections.abc import Callable
from dataclasses import dataclass
from time import monotonic, sleep
from typing import Any

from cli.connection import Caller, chain_rules_of
from cli.exits import CommandFailed, ExitCode
from cli.story.entries import DROPPED, Entry
from cli.story.world import Calendar
from ledger.addresses import encode_address
from ledger.keys import KeyPair
from ledger.registry import Kind
from ledger.transactions import sign_transaction

YEAR_MS = 365 * 24 * 3600 * 1000
BATCH = 50
EXPIRY_SLOTS = 600
POLL_S = 0.1
VOTING_EPOCHS = 3
"""Of the devnet preset (consensus/README.md)."""

Call = tuple[str, dict[str, object]]


@dataclass(frozen=True, slots=True)
class Look:
    """What was seen of one epoch, for what the book cannot compute."""

    validator_pool: int
    """Units of VALIDATOR_POOL after the epoch's transition."""
    closed: int
    """The epoch that the transition closed."""


class Chain:
    """One node of the devnet."""

    def __init__(self, node: Caller, timeout_s: float) -> None:
        """`timeout_s` bounds each wait."""
        info = node.call("node_info")
        self.node = node
        self.rules = chain_rules_of(info)
        self.timeout_s = timeout_s
        self.slot_ms = int(info["slot_ms"])
        epoch_ms = self.slot_ms * int(info["epoch_slots"])
        self.calendar = Calendar(int(info["epoch_slots"]), max(1, YEAR_MS // epoch_ms), VOTING_EPOCHS)
        self.looks: dict[int, Look] = {}

    def text(self, address: bytes) -> str:
        """An address as the RPC names it."""
        return encode_address(self.rules.address_prefix, address)

    def batch(self, calls: list[Call]) -> list[Any]:
        """Results of any number of calls, in order. Errors: `CommandFailed`."""
        from node.rpc.client import RpcCallFailed, RpcTimeout, RpcUnreachable

        results: list[Any] = []
        try:
            for first in range(0, len(calls), BATCH):
                results += self.node.client.batch(calls[first : first + BATCH])
        except RpcUnreachable as error:
            raise CommandFailed(ExitCode.UNREACHABLE, str(error)) from None
        except RpcTimeout as error:
            raise CommandFailed(ExitCode.TIMEOUT, str(error)) from None
        for result in results:
            if isinstance(result, RpcCallFailed):
                raise CommandFailed(ExitCode.REJECTED, str(result))
        return results

    def together(self, calls: list[Call]) -> tuple[Any, Any, list[Any]]:
        """(economy_getStatus, economy_getPolicy, results of `calls`), all of one state.

        Within an epoch nothing but transactions changes a balance, and the story waits for its own; so equal figures
        before and after say that nothing moved in between. Errors: `CommandFailed` TIMEOUT.
        """
        frame: list[Call] = [("economy_getStatus", {}), ("economy_getPolicy", {})]
        deadline = monotonic() + self.timeout_s
        while monotonic() < deadline:
            before, policy, *results, after, policy_after = self.batch([*frame, *calls, *frame])
            if policy == policy_after and {**before, "slot": ""} == {**after, "slot": ""}:
                self._note(before, policy)
                return before, policy, results
        raise CommandFailed(
            ExitCode.TIMEOUT, f"the chain did not stand still for one look in {self.timeout_s:g} s"
        )

    def look(self) -> int:
        """Note what the running epoch shows; its number."""
        status, _, _ = self.together([])
        return int(status["epoch"])

    def _note(self, status: Any, policy: Any) -> None:
        step = policy["last_step"]
        closed = -1 if step is None else int(step["epoch"])
        self.looks[int(status["epoch"])] = Look(int(status["reserves"]["VALIDATOR_POOL"]), closed)

    def wait(self, what: str, done: Callable[[], bool], limit_s: float | None = None) -> None:
        """Until `done`, looking at every epoch that passes. Errors: `CommandFailed` TIMEOUT."""
        deadline = monotonic() + (limit_s or self.timeout_s)
        while not done():
            if monotonic() > deadline:
                raise CommandFailed(ExitCode.TIMEOUT, f"{what}: not within {limit_s or self.timeout_s:g} s")
            self.look()
            sleep(POLL_S)

    def wait_epoch(self, epoch: int) -> None:
        """Until the state is in `epoch` or a later one."""
        ahead = max(0, epoch - self.look())
        epoch_s = self.slot_ms * self.calendar.epoch_slots / 1000
        self.wait(f"epoch {epoch}", lambda: self.look() >= epoch, self.timeout_s + 2 * ahead * epoch_s)

    def sign(self, key: KeyPair, sender: bytes, kind: Kind, payload: Any) -> Any:
        """A signed transaction with the sender's next nonce and the least fee."""
        account, info = self.batch([("ledger_getAccount", {"address": self.text(sender)}), ("node_info", {})])
        kind.check_payload(payload, self.rules)
        return sign_transaction(
            key,
            self.rules,
            nonce=int(account["next_nonce"]),
            expiry_slot=int(info["slot"]) + EXPIRY_SLOTS,
            fee=None,
            kind=kind,
            payload_record=payload,
        )

    def submit(self, raw: bytes) -> None:
        """Hand it to the node. Errors: `CommandFailed` REJECTED."""
        self.node.call("tx_submit", raw=raw.hex())

    def refresh(self, entries: list[Entry]) -> bool:
        """Ask what became of the entries that are not final; whether all are on the chain now."""
        asked = [entry for entry in entries if not entry.final]
        for entry, status in zip(asked, self.batch([status_call(entry) for entry in asked]), strict=True):
            take_status(entry, status)
        return all(entry.is_settled for entry in entries)


def status_call(entry: Entry) -> Call:
    """The call that says what became of a transaction."""
    return "tx_status", {"id": entry.id}


def take_status(entry: Entry, status: Any) -> None:
    """Note what became of a transaction. Errors: `CommandFailed` REJECTED when it should be on the chain and will not.

    One that must be refused a node drops when it makes a block, and so nobody is charged; a node that sees another
    state at that moment may still take it, and then it fails there for a fee.
    """
    dropped = entry.status == DROPPED and status["status"] != "failed"
    if dropped or (status["status"] == "rejected" and entry.refused == status["reason"]):
        entry.status, entry.reason = DROPPED, entry.refused
        return
    entry.status = status["status"]
    entry.reason = status.get("reason", "")
    if entry.status == "rejected":
        raise CommandFailed(
            ExitCode.REJECTED, f"{entry.kind} of {entry.sender} was not taken: {entry.reason}"
        )
    if entry.status in ("accepted", "failed"):
        entry.slot = int(status["slot"])
        entry.final = bool(status["final"])
        entry.result = {name: int(value) for name, value in status["result"].items()}
