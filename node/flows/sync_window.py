"""How far headers may run ahead of what is processed: one epoch, for further ahead the validators' keys are not known
and what was fetched would wait in memory."""

import trio

from consensus.params import Params
from node.chain_writer import ChainWriter


class SyncWindow:
    """Slots from the base on, an epoch of them. The base is the greatest processed slot, the head's or more."""

    def __init__(self, writer: ChainWriter, params: Params) -> None:
        self._writer = writer
        self._epoch_slots = params.epoch_slots
        self._processed_slot = 0
        self._fetched = 0
        self._admitted = 0
        self._moved = trio.lowlevel.ParkingLot()

    @property
    def last_slot(self) -> int:
        """The last one that is open."""
        return max(self._writer.head.slot, self._processed_slot) + self._epoch_slots

    def fetched(self, headers: int) -> None:
        """So many more are on their way."""
        self._fetched += headers

    def admitted(self, headers: int) -> None:
        """So many of them are judged, and their bodies may be asked for."""
        self._admitted += headers

    def processed(self, headers: int, slot: int) -> None:
        """So many admitted ones, up to `slot`, are done with."""
        self._fetched -= headers
        self._admitted -= headers
        self._move(slot)

    def left_out(self, headers: int) -> None:
        """So many fetched ones are dropped."""
        self._fetched -= headers
        self._move(0)

    def _move(self, slot: int) -> None:
        self._processed_slot = max(self._processed_slot, slot)
        self._moved.unpark_all()

    async def wait_to_fetch(self, slot: int) -> None:
        """Until more may be fetched after a header of `slot`: it lies in the window, or nothing else is under way."""
        while slot > self.last_slot and self._fetched:
            await self._moved.park()

    async def wait_to_admit(self, slot: int) -> None:
        """Until a header of `slot` may be judged: it lies in the window, or nothing before it is left. So a gap in the
        chain, longer than the window, is crossed."""
        while slot > self.last_slot and self._admitted:
            await self._moved.park()
        if slot > self.last_slot:
            self._processed_slot = slot

    async def wait_for_all(self) -> None:
        """Until everything that was admitted is processed."""
        while self._admitted:
            await self._moved.park()
