"""What a kind of transaction is, and the registry of kinds, a value that the engine is given.

A kind is one module: payload record, rule in isolation, apply function. No table here knows all of them, so that
packages above can add theirs (consensus: evidence; node: contracts) without the ledger importing them.
"""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

from ledger.encoding import Codec
from ledger.errors import KindsClash, LedgerError, UnknownKind
from ledger.rules import BlockContext, ChainRules
from ledger.state import Overlay
from ledger.transactions import SignedTransaction


def spends_nothing(_: object) -> int:
    """`Kind.spends` of what costs its sender the fee alone."""
    return 0


def _one_record(_: object) -> int:
    """What most kinds touch."""
    return 1


class Rejected(LedgerError):
    """Raised by a kind's apply: a well-formed transaction that the state does not allow now.

    Its fee is kept, everything else that the transaction did is rolled back, and the reason stands in the receipt.
    """

    def __init__(self, reason: str, detail: str = "") -> None:
        """`reason` is a stable symbol of at most 32 characters; `detail` is for people."""
        super().__init__(detail or reason)
        self.reason = reason


@dataclass(frozen=True, slots=True)
class Kind:
    """One kind of transaction."""

    number: int
    """On the wire; never reused."""
    name: str
    """The field's own name, for RPC and people."""
    payload_codec: Codec[Any]
    check_payload: Callable[[Any, ChainRules], None]
    """(payload, rules): raises `InvalidTransaction` for what no state can make valid."""
    apply: Callable[[Overlay, SignedTransaction, Any, BlockContext], tuple[int, ...] | None]
    """(overlay, transaction, payload, context): nonce and fee are charged already; raises `Rejected`. What it gives,
    at most 8 numbers of 0 to 2^63 − 1, stands in the receipt: what the sender could not know when signing."""
    spends: Callable[[Any], int]
    """(payload): units that the sender must own besides the fee, or `apply` rejects. For mempools, not for validity."""
    touches: Callable[[Any], int] = _one_record
    """(payload): records beside the sender's account that it may create or change. The least fee grows with them, and
    a block has room for so many."""
    result_names: tuple[str, ...] = ()
    """What the numbers are that `apply` gives."""
    may_pause: bool = True
    """Whether an emergency vote may pause it for an epoch. Never what finality, stakes and votes rest on."""


class KindRegistry:
    """The kinds of one engine. Immutable."""

    __slots__ = ("_by_name", "_by_number")

    def __init__(self, kinds: Iterable[Kind]) -> None:
        """Errors: `KindsClash` when two kinds share a number or a name."""
        self._by_number: dict[int, Kind] = {}
        self._by_name: dict[str, Kind] = {}
        for kind in kinds:
            if kind.number in self._by_number or kind.name in self._by_name:
                raise KindsClash(kind.number, kind.name)
            self._by_number[kind.number] = kind
            self._by_name[kind.name] = kind

    def kind(self, number: int) -> Kind:
        """The kind with this number. Errors: `UnknownKind`."""
        kind = self._by_number.get(number)
        if kind is None:
            raise UnknownKind(number, tuple(sorted(self._by_number)))
        return kind

    def named(self, name: str) -> Kind | None:
        """The kind with this name, or None."""
        return self._by_name.get(name)

    def kinds(self) -> tuple[Kind, ...]:
        """All kinds in the order of their numbers."""
        return tuple(self._by_number[number] for number in sorted(self._by_number))

    def extended(self, kinds: Iterable[Kind]) -> "KindRegistry":
        """A registry with further kinds. Errors: `KindsClash`."""
        return KindRegistry((*self.kinds(), *kinds))
