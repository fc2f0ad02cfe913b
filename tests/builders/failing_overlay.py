"""An overlay that fails at a chosen write, and a run over all of an operation's writes."""

from collections.abc import Callable, Mapping

from ledger.accounts import Account
from ledger.state import MappingState, Overlay
from ledger.state_commitment import StateTree


class Broken(RuntimeError):
    """The injected fault."""


class FailingOverlay(Overlay):
    """Raises at the n-th write from when it is armed."""

    __slots__ = ("left",)

    def __init__(self, reader: MappingState) -> None:
        super().__init__(reader)
        self.left = -1

    def _count(self) -> None:
        if self.left == 0:
            raise Broken
        self.left -= 1

    def set_account(self, address: bytes, account: Account) -> None:
        self._count()
        super().set_account(address, account)

    def debit(self, address: bytes, units: int, nonces: int = 0) -> Account | None:
        self._count()
        return super().debit(address, units, nonces)

    def credit(self, address: bytes, units: int) -> None:
        self._count()
        super().credit(address, units)

    def put(self, key: bytes, value: bytes) -> None:
        self._count()
        super().put(key, value)

    def delete(self, key: bytes) -> None:
        self._count()
        super().delete(key)


def fail_at_every_write(
    state: Mapping[bytes, bytes], act: Callable[[Overlay], object], *, rolls_back_itself: bool = False
) -> int:
    """Run `act` with a fault at its first, second, … write until it passes; how many writes it has.

    After each fault the root is the state's: after a rollback by the caller, as execution does it, or, with
    `rolls_back_itself`, without one.
    """
    tree = StateTree.build(iter(sorted(state.items())))
    step = 0
    while True:
        overlay = FailingOverlay(MappingState(state))
        mark = overlay.checkpoint()
        overlay.left = step
        try:
            act(overlay)
        except Broken:
            overlay.left = -1
            if not rolls_back_itself:
                overlay.rollback(mark)
            assert tree.prepare(overlay.changes()).root == tree.root
            assert overlay.balance_drift() == 0
            step += 1
            continue
        assert overlay.balance_drift() == 0
        assert overlay.changes()
        return step
