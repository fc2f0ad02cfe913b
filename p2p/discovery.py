"""`keep_connected`: dial until there are enough outbound peers, and again whenever one is lost. It never gives up."""

import math
import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import trio

from p2p.address_book import MAX_ANCHORS, AddressBook
from p2p.addresses import diversity_group, parse_address
from p2p.errors import AddressMalformed, DialFailed
from p2p.network import Network, PeerId, PeerInfo


@dataclass(frozen=True, slots=True)
class DialPolicy:
    """How eagerly we dial."""

    check_every_s: float = 1.0
    dial_timeout_s: float = 10.0
    parallel_dials: int = 4
    first_backoff_s: float = 1.0
    """After n failures in a row the next dial waits min(largest, first x 2^(n-1)), times a jitter of 0.5..1.5."""
    largest_backoff_s: float = 60.0
    stable_after_s: float = 30.0
    """A connection that ends sooner counts as one more failure, or a peer that drops us at once is dialled for ever."""
    distinct_groups: int = 4
    """Outbound peers must come from at least so many /16 (N1): no group gets more than target / distinct_groups."""


@dataclass(frozen=True, slots=True)
class _Attempts:
    """What we remember of dialling one address."""

    failures: int = 0
    not_before_s: float = -math.inf
    connected_since_s: float | None = None


async def keep_connected(
    network: Network,
    book: AddressBook,
    bootstrap: Sequence[str],
    *,
    rng: random.Random,
    target_outbound: int = 8,
    clock: Callable[[], float] = trio.current_time,
    policy: DialPolicy | None = None,
    task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED,
) -> None:
    """Runs until cancelled. Dials bootstrap peers, then the anchors of the last run, then the book, skipping ourselves,
    peers connected in either direction, and addresses in back-off.

    `clock` gives the seconds that the book keeps (Unix time in a node). Errors: `AddressMalformed` for a bootstrap
    address that is none, at once; nothing later.
    """
    dialler = _Dialler(network, book, tuple(bootstrap), rng, target_outbound, clock, policy or DialPolicy())
    task_status.started()
    await dialler.run()


class _Dialler:
    def __init__(
        self,
        network: Network,
        book: AddressBook,
        bootstrap: tuple[str, ...],
        rng: random.Random,
        target_outbound: int,
        clock: Callable[[], float],
        policy: DialPolicy,
    ) -> None:
        for address in bootstrap:
            if parse_address(address).peer_id is None:
                raise AddressMalformed(address)
        self._network = network
        self._book = book
        self._bootstrap = bootstrap
        self._first_of_all = tuple(dict.fromkeys((*bootstrap, *book.anchors)))
        self._rng = rng
        self._target = target_outbound
        self._clock = clock
        self._policy = policy
        self._attempts: dict[str, _Attempts] = {}
        self._dialling: dict[str, None] = {}

    async def run(self) -> None:
        async with trio.open_nursery() as nursery:
            while True:
                peers = self._network.peers()
                self._notice_lost(peers)
                self._set_anchors()
                outbound = [info for info in peers if info.direction == "outbound"]
                missing = self._target - len(outbound) - len(self._dialling)
                places = min(missing, self._policy.parallel_dials - len(self._dialling))
                if places > 0:
                    for address in self._candidates(peers, outbound, places):
                        self._dialling[address] = None
                        nursery.start_soon(self._dial, address)
                self._forget_unknown()
                await trio.sleep(self._policy.check_every_s)

    def _candidates(
        self, peers: tuple[PeerInfo, ...], outbound: list[PeerInfo], count: int
    ) -> tuple[str, ...]:
        now_s = trio.current_time()
        taken: list[PeerId | None] = [None, self._network.peer_id, *(info.peer_id for info in peers)]
        taken += [parse_address(address).peer_id for address in self._dialling]
        own = self._network.listen_addresses
        groups = [_group(info.addresses[0]) for info in outbound if info.addresses]
        groups += [_group(address) for address in self._dialling]
        most_per_group = max(1, self._target // self._policy.distinct_groups)
        waiting = {address for address, past in self._attempts.items() if past.not_before_s > now_s}
        chosen: list[str] = []

        def consider(address: str, *, trusted: bool) -> None:
            peer_id, group = parse_address(address).peer_id, _group(address)
            crowded = group is not None and groups.count(group) >= most_per_group
            if peer_id in taken or address in waiting or address in own:
                return
            if crowded and not trusted:
                return
            chosen.append(address)
            taken.append(peer_id)
            groups.append(group)

        for address in self._first_of_all:
            if len(chosen) < count:
                consider(address, trusted=address in self._bootstrap)
        if len(chosen) < count:
            for entry in self._book.draw(self._rng, len(self._book), waiting):
                consider(entry.address, trusted=False)
                if len(chosen) >= count:
                    break
        return tuple(chosen)

    async def _dial(self, address: str) -> None:
        try:
            with trio.fail_after(self._policy.dial_timeout_s):
                await self._network.connect(address)
        except (DialFailed, trio.TooSlowError):
            self._book.failed(address)
            self._back_off(address)
            return
        finally:
            del self._dialling[address]
        self._book.add(address, self._clock())
        self._book.succeeded(address, self._clock())
        past = self._attempts.get(address, _Attempts())
        self._attempts[address] = replace(past, connected_since_s=trio.current_time())

    def _notice_lost(self, peers: tuple[PeerInfo, ...]) -> None:
        """A peer that we dialled and that has gone is dialled again: soon if the connection was a stable one."""
        connected = [info.peer_id for info in peers]
        now_s = trio.current_time()
        for address in sorted(self._attempts):
            past = self._attempts[address]
            if past.connected_since_s is None:
                continue
            stable = now_s - past.connected_since_s >= self._policy.stable_after_s
            if parse_address(address).peer_id not in connected:
                self._attempts[address] = replace(
                    past, failures=0 if stable else past.failures, connected_since_s=None
                )
                self._back_off(address)
            elif stable and past.failures:
                self._attempts[address] = replace(past, failures=0)

    def _back_off(self, address: str) -> None:
        past = self._attempts.get(address, _Attempts())
        doublings = min(past.failures, 32)
        wait_s = min(self._policy.largest_backoff_s, self._policy.first_backoff_s * 2.0**doublings)
        wait_s *= 0.5 + self._rng.random()
        self._attempts[address] = _Attempts(past.failures + 1, trio.current_time() + wait_s)

    def _set_anchors(self) -> None:
        """The outbound peers that have lasted longest, while there are any; the old anchors stay until then."""
        lasting = sorted(
            (past.connected_since_s, address)
            for address, past in self._attempts.items()
            if past.connected_since_s is not None
        )
        if lasting:
            self._book.set_anchors([address for _, address in lasting[:MAX_ANCHORS]])

    def _forget_unknown(self) -> None:
        """Attempts are kept for what we may dial again, so they are bounded as the book is."""
        for address in sorted(self._attempts):
            past = self._attempts[address]
            kept = address in self._first_of_all or past.connected_since_s is not None
            if not kept and self._book.get(address) is None:
                del self._attempts[address]


def _group(address: str) -> str | None:
    try:
        return diversity_group(parse_address(address))
    except AddressMalformed:
        return None
