"""The mempool: pending transactions in memory, bounded, ordered by fee rate. Pure: no trio, no clock, no store.

Time (`now_s`, any monotonic seconds; `slot`) and account state come in as arguments. Every rejection is a class of its
own (`node.mempool_errors`), whose name is the stable symbol that RPC and metrics show.

Order is (fee rate descending, transaction id), never arrival, and a sender's nonces stay in sequence. Sorted lists
with binary search keep an operation near O(log n): an insertion into the largest list moves at most 400 kB of
pointers (about 15 µs at 50,000 transactions). A sender has at most 64 transactions, so walks over one sender are
constant work.
"""

from bisect import bisect_left, insort
from collections import OrderedDict, deque
from collections.abc import Callable, Iterable, Sequence
from heapq import heapify, heappop, heappush

from ledger.transactions import SignedTransaction
from node.mempool_errors import (
    AlreadyPending,
    ExpiryTooFar,
    MempoolFull,
    MempoolRejected,
    NonceTooLow,
    TransactionExpired,
)
from node.mempool_rules import (
    AccountState,
    Admission,
    Entry,
    MempoolLimits,
    Queue,
    fee_rate,
    first_missing,
    require_funds,
    require_place,
    require_replacement,
)

MAX_AGE_S = 3_600.0
"""A transaction that waits longer leaves (row L4)."""
LANES = 6
WAITED_SLOTS = 2
"""After this many slots any lane may take a transaction (consensus.md, Virtual state)."""
IN_FLIGHT_SLOTS = 4
"""How long a transaction that some block carries is left out of templates. A carried transaction is accepted by the
next chain block, so after this many slots its block was lost or lies outside the merge depth."""
MAX_MISFITS = 64
"""How many transactions that do not fit (too large for the rest of the block) are passed over before it is full."""
REMEMBERED_DROPS = 8_192
"""How many transactions that left without being accepted are remembered with their reason."""


class Mempool:
    """See the module. All methods are synchronous and leave the pool consistent when they raise."""

    def __init__(
        self,
        limits: MempoolLimits,
        minimum_fee: Callable[[int], int],
        epoch_of: Callable[[int], int],
        lane_of: Callable[[bytes, int], int],
        spends: Callable[[SignedTransaction], int],
    ) -> None:
        """`minimum_fee(size_bytes)` is the chain's least fee, `epoch_of(slot)` its epochs, and `lane_of(sender, epoch)`
        the lane that takes a sender's transactions first, so that parallel blocks carry different ones.
        `spends(transaction)` is what the sender must own besides the fee."""
        self._limits = limits
        self._minimum_fee = minimum_fee
        self._epoch_of = epoch_of
        self._lane_of = lane_of
        self._spends = spends
        self._epoch = 0
        self._slot = 0
        self._bytes = 0
        self._entries: dict[bytes, Entry] = {}
        self._queues: dict[bytes, Queue] = {}
        self._ranked: list[tuple[int, bytes]] = []
        """Ranks of all transactions of senders without own ones, best first: the end is evicted."""
        self._ready: list[list[tuple[int, bytes]]] = [[] for _ in range(LANES + 1)]
        """Ranks of the senders' next transactions: one list a lane, and in the last those that any lane may take."""
        self._young: deque[tuple[int, bytes]] = deque()
        """(received slot, id) in order of arrival, until the transaction has waited long enough for any lane."""
        self._in_flight: deque[tuple[int, bytes]] = deque()
        self._by_expiry: list[tuple[int, bytes]] = []
        """Heap of (expiry slot, id), with stale members."""
        self._by_age: deque[tuple[float, bytes]] = deque()
        self._dropped: OrderedDict[bytes, str] = OrderedDict()
        self._settled_own: OrderedDict[bytes, None] = OrderedDict()
        """Own transactions on the chain: when a reorganisation brings one back it is our own still."""

    # ---- questions

    def __len__(self) -> int:
        return len(self._entries)

    def __contains__(self, transaction_id: bytes) -> bool:
        return transaction_id in self._entries

    @property
    def size_bytes(self) -> int:
        """Bytes of all pending transactions."""
        return self._bytes

    @property
    def limits(self) -> MempoolLimits:
        """The bounds in force."""
        return self._limits

    def get(self, transaction_id: bytes) -> SignedTransaction | None:
        """A pending transaction."""
        entry = self._entries.get(transaction_id)
        return None if entry is None else entry.transaction

    def drop_reason(self, transaction_id: bytes) -> str | None:
        """Why a transaction left without being accepted (`Evicted`, `Replaced`, `WaitedTooLong`, or the name of the
        rule that it broke by then), when that is still remembered."""
        return self._dropped.get(transaction_id)

    def pending_of(self, sender: bytes) -> tuple[SignedTransaction, ...]:
        """The sender's pending transactions by nonce."""
        queue = self._queues.get(sender)
        if queue is None:
            return ()
        return tuple(queue.entries[nonce].transaction for nonce in sorted(queue.entries))

    def senders(self) -> tuple[bytes, ...]:
        """Addresses with pending transactions."""
        return tuple(self._queues)

    def next_nonce(self, sender: bytes, account: AccountState) -> int:
        """The first nonce at or above the account's that no pending transaction uses."""
        queue = self._queues.get(sender)
        return account.nonce if queue is None else first_missing(queue, account.nonce)

    def entries(self, limit: int) -> tuple[SignedTransaction, ...]:
        """At most `limit` pending transactions in order of arrival."""
        found: list[SignedTransaction] = []
        for entry in self._entries.values():
            if len(found) >= limit:
                break
            found.append(entry.transaction)
        return tuple(found)

    def fee_rate_floor(self) -> int:
        """The fee rate (millionths of a unit per byte) that a newcomer must exceed: 0 while there is room, else that
        of the cheapest transaction that may be evicted (row N9: the least fee rises with demand)."""
        full = len(self._entries) >= self._limits.max_transactions or self._bytes >= self._limits.max_bytes
        return -self._ranked[-1][0] if full and self._ranked else 0

    # ---- changes

    def add(
        self,
        transaction: SignedTransaction,
        account: AccountState,
        *,
        now_s: float,
        slot: int,
        own: bool = False,
    ) -> Admission:
        """Take in a transaction whose signature and shape are verified. `own`: from a client of this node; such a
        sender is never evicted, it gets an error here instead.

        Errors: the classes of `node.mempool_errors`.
        """
        self._advance(slot)
        body, sender = transaction.body, transaction.sender
        if transaction.id in self._entries:
            raise AlreadyPending(transaction.id)
        if body.expiry_slot <= slot:
            raise TransactionExpired(body.expiry_slot, slot)
        if body.expiry_slot > slot + self._limits.max_expiry_slots:
            raise ExpiryTooFar(body.expiry_slot, slot + self._limits.max_expiry_slots)
        if body.nonce < account.nonce:
            raise NonceTooLow(body.nonce, account.nonce)
        queue = self._queues.get(sender)
        if queue is not None and queue.nonce != account.nonce:
            self._set_nonce(sender, queue, account.nonce)
            queue = self._queues.get(sender)
        old = None if queue is None else queue.entries.get(body.nonce)
        if old is None:
            require_place(queue, body.nonce, account)
        others = () if queue is None else queue.entries.values()
        require_funds(
            (one.transaction for one in others if one is not old),
            transaction,
            self._spends(transaction),
            account,
        )
        if queue is not None and old is not None:
            require_replacement(queue, old, transaction, self._minimum_fee(len(transaction.raw)), now_s)
        rank = (-fee_rate(transaction), transaction.id)
        victims = self._victims(transaction, rank, old)

        for victim in victims:
            self._remove(victim, "Evicted")
        if old is not None and queue is not None:
            times = queue.replacements.setdefault(body.nonce, deque())
            self._remove(old, "Replaced", keep_queue=True)
            times.append(now_s)
            queue.replacements[body.nonce] = times
        if queue is None or sender not in self._queues:
            queue = self._queues.setdefault(sender, Queue(account.nonce))
        self._insert(queue, Entry(transaction, rank, now_s, slot, own))
        return Admission(
            transaction.id,
            None if old is None else old.transaction.id,
            tuple(victim.transaction.id for victim in victims),
        )

    def on_block(self, transaction_ids: Iterable[bytes], slot: int) -> None:
        """A valid block carries these: leave them out of templates until they are accepted or the block is lost."""
        self._advance(slot)
        for transaction_id in transaction_ids:
            entry = self._entries.get(transaction_id)
            if entry is not None and slot + IN_FLIGHT_SLOTS > self._slot and entry.in_flight_slot < slot:
                entry.in_flight_slot = slot
                self._in_flight.append((slot, transaction_id))
                self._place_head(entry.transaction.sender)

    def on_chain_advanced(
        self,
        settled: Iterable[bytes],
        returned: Sequence[SignedTransaction],
        accounts: Callable[[bytes], AccountState],
        *,
        touched: Iterable[bytes] = (),
        now_s: float,
        slot: int,
    ) -> tuple[SignedTransaction, ...]:
        """The selected chain moved.

        `settled`: ids of transactions that the new chain blocks applied or charged; they leave. `returned`: the
        transactions of chain blocks that were removed and that no added block settled; they come back when they still
        can be valid. `touched`: senders whose nonce may have changed. `accounts` reads the new state. Returns those of
        `returned` that are pending again.
        """
        self._advance(slot)
        senders = dict.fromkeys(touched)
        for transaction_id in settled:
            entry = self._entries.get(transaction_id)
            self._dropped.pop(transaction_id, None)
            if entry is not None:
                senders[entry.transaction.sender] = None
                self._remove(entry, None, keep_queue=True)
                if entry.own:
                    self._settled_own[transaction_id] = None
                    if len(self._settled_own) > REMEMBERED_DROPS:
                        self._settled_own.popitem(last=False)
        senders.update(dict.fromkeys(transaction.sender for transaction in returned))
        for sender in senders:
            queue = self._queues.get(sender)
            if queue is not None:
                self._set_nonce(sender, queue, accounts(sender).nonce)
        back: list[SignedTransaction] = []
        for transaction in sorted(returned, key=lambda one: (one.sender, one.body.nonce)):
            own = transaction.id in self._settled_own
            try:
                self.add(transaction, accounts(transaction.sender), now_s=now_s, slot=slot, own=own)
            except AlreadyPending:
                continue
            except MempoolRejected as error:
                self._remember_drop(transaction.id, error.code)
                continue
            back.append(transaction)
        return tuple(back)

    def refuse(self, transaction_id: bytes, reason: str) -> bool:
        """Drop what no block will carry, because it breaks a rule of its kind; whether it was there.

        Such a transaction costs its sender nothing and would hold its place, and its sender's nonce, until it expires.
        """
        entry = self._entries.get(transaction_id)
        if entry is None:
            return False
        self._remove(entry, reason)
        return True

    def expire(self, *, now_s: float, slot: int) -> tuple[bytes, ...]:
        """Drop what can no longer be accepted (expiry slot) and what has waited for an hour. Returns the ids."""
        self._advance(slot)
        dropped: list[bytes] = []
        while self._by_expiry and self._by_expiry[0][0] <= slot:
            entry = self._entries.get(heappop(self._by_expiry)[1])
            if entry is not None:
                self._remove(entry, TransactionExpired.__name__)
                dropped.append(entry.transaction.id)
        while self._by_age and self._by_age[0][0] <= now_s - MAX_AGE_S:
            received_s, transaction_id = self._by_age.popleft()
            entry = self._entries.get(transaction_id)
            if entry is not None and entry.received_s == received_s:
                self._remove(entry, "WaitedTooLong")
                dropped.append(transaction_id)
        return tuple(dropped)

    def candidates(self, lane: int, slot: int, *, limit_bytes: int) -> tuple[SignedTransaction, ...]:
        """What a block of (slot, lane) should carry: best fee rate first, each sender's nonces in sequence, at most
        `limit_bytes` of raw transactions. First the lane's own senders, and those of any lane that have waited."""
        self._advance(slot)
        own_list, any_list = self._ready[lane], self._ready[LANES]
        followers: list[tuple[int, bytes]] = []
        chosen: list[SignedTransaction] = []
        own_at = any_at = used = misfits = 0
        while used < limit_bytes and misfits < MAX_MISFITS:
            options: list[tuple[tuple[int, bytes], int]] = []
            if own_at < len(own_list):
                options.append((own_list[own_at], 0))
            if any_at < len(any_list):
                options.append((any_list[any_at], 1))
            if followers:
                options.append((followers[0], 2))
            if not options:
                break
            rank, source = min(options)
            if source == 0:
                own_at += 1
            elif source == 1:
                any_at += 1
            else:
                heappop(followers)
            entry = self._entries[rank[1]]
            size = len(entry.transaction.raw)
            if used + size > limit_bytes or entry.transaction.body.expiry_slot <= slot:
                misfits += 1
                continue
            used += size
            chosen.append(entry.transaction)
            follower = self._next_of(entry, lane, slot)
            if follower is not None:
                heappush(followers, follower.rank)
        return tuple(chosen)

    def _victims(
        self, transaction: SignedTransaction, rank: tuple[int, bytes], old: Entry | None
    ) -> tuple[Entry, ...]:
        """Who leaves so that the transaction fits: from the cheapest up, each with its sender's later nonces."""
        count = len(self._entries) + (0 if old is not None else 1)
        size = self._bytes + len(transaction.raw) - (0 if old is None else len(old.transaction.raw))
        victims: dict[bytes, Entry] = {}
        at = len(self._ranked) - 1
        while count > self._limits.max_transactions or size > self._limits.max_bytes:
            while at >= 0 and (
                self._ranked[at][1] in victims or (old is not None and self._ranked[at] == old.rank)
            ):
                at -= 1
            if at < 0 or self._ranked[at] <= rank:
                floor = -self._ranked[at][0] if at >= 0 else None
                raise MempoolFull(len(self._entries), self._bytes, -rank[0], floor)
            cheapest = self._entries[self._ranked[at][1]]
            if (
                cheapest.transaction.sender == transaction.sender
                and cheapest.transaction.body.nonce < transaction.body.nonce
            ):
                # Its own predecessor is the cheapest of all: evicting that would leave the newcomer without one.
                raise MempoolFull(len(self._entries), self._bytes, -rank[0], -cheapest.rank[0])
            for entry in self._tail(cheapest):
                if entry.transaction.id not in victims and entry is not old:
                    victims[entry.transaction.id] = entry
                    count -= 1
                    size -= len(entry.transaction.raw)
        return tuple(victims.values())

    def _tail(self, entry: Entry) -> Iterable[Entry]:
        """The entry and its sender's entries with later nonces: they cannot be applied without it."""
        queue = self._queues[entry.transaction.sender]
        nonce = entry.transaction.body.nonce
        return [queue.entries[one] for one in sorted(queue.entries) if one >= nonce]

    # ---- bookkeeping

    def _insert(self, queue: Queue, entry: Entry) -> None:
        transaction = entry.transaction
        if entry.own:
            if queue.own == 0:
                for other in queue.entries.values():
                    _discard(self._ranked, other.rank)
            queue.own += 1
        queue.entries[transaction.body.nonce] = entry
        self._entries[transaction.id] = entry
        self._bytes += len(transaction.raw)
        self._dropped.pop(transaction.id, None)
        if queue.own == 0:
            insort(self._ranked, entry.rank)
        self._young.append((entry.received_slot, transaction.id))
        self._by_age.append((entry.received_s, transaction.id))
        heappush(self._by_expiry, (transaction.body.expiry_slot, transaction.id))
        self._place_head(transaction.sender)
        self._compact()

    def _remove(self, entry: Entry, reason: str | None, *, keep_queue: bool = False) -> None:
        """Take the entry out. `reason` None: it was accepted. `keep_queue`: the caller goes on with the queue."""
        transaction = entry.transaction
        queue = self._queues[transaction.sender]
        del self._entries[transaction.id]
        del queue.entries[transaction.body.nonce]
        queue.replacements.pop(transaction.body.nonce, None)
        self._bytes -= len(transaction.raw)
        if queue.own == 0:
            _discard(self._ranked, entry.rank)
        elif entry.own:
            queue.own -= 1
            if queue.own == 0:
                for other in queue.entries.values():
                    insort(self._ranked, other.rank)
        if reason is not None:
            self._remember_drop(transaction.id, reason)
        self._place_head(transaction.sender)
        if not queue.entries and not keep_queue:
            del self._queues[transaction.sender]

    def _set_nonce(self, sender: bytes, queue: Queue, nonce: int) -> None:
        """The chain's next nonce of the sender is now `nonce`: drop what it used up."""
        queue.nonce = nonce
        for used in sorted(one for one in queue.entries if one < nonce):
            self._remove(queue.entries[used], NonceTooLow.__name__, keep_queue=True)
        if not queue.entries:
            self._queues.pop(sender, None)
        else:
            self._place_head(sender)

    def _remember_drop(self, transaction_id: bytes, reason: str) -> None:
        self._dropped[transaction_id] = reason
        self._dropped.move_to_end(transaction_id)
        if len(self._dropped) > REMEMBERED_DROPS:
            self._dropped.popitem(last=False)

    def _place_head(self, sender: bytes) -> None:
        """Bring the sender's place in the lists of ready transactions up to date."""
        queue = self._queues[sender]
        entry = self._head(queue)
        place: tuple[tuple[int, bytes], int] | None = None
        if entry is not None:
            waited = self._slot - entry.received_slot >= WAITED_SLOTS
            place = (entry.rank, LANES if waited else self._lane_of(sender, self._epoch))
        if place == queue.head:
            return
        if queue.head is not None:
            _discard(self._ready[queue.head[1]], queue.head[0])
        if place is not None:
            insort(self._ready[place[1]], place[0])
        queue.head = place

    def _head(self, queue: Queue) -> Entry | None:
        """The first transaction in nonce sequence that no recent block carries already."""
        nonce = queue.nonce
        while (entry := queue.entries.get(nonce)) is not None:
            if not self._is_in_flight(entry):
                return entry
            nonce += 1
        return None

    def _is_in_flight(self, entry: Entry) -> bool:
        return entry.in_flight_slot >= 0 and entry.in_flight_slot + IN_FLIGHT_SLOTS > self._slot

    def _next_of(self, entry: Entry, lane: int, slot: int) -> Entry | None:
        """The sender's next transaction when it may follow `entry` into a block of `lane`."""
        sender, nonce = entry.transaction.sender, entry.transaction.body.nonce + 1
        queue = self._queues[sender]
        follower = queue.entries.get(nonce)
        while follower is not None and self._is_in_flight(follower):
            nonce += 1
            follower = queue.entries.get(nonce)
        if follower is None:
            return None
        if slot - follower.received_slot < WAITED_SLOTS and self._lane_of(sender, self._epoch) != lane:
            return None
        return follower

    def _advance(self, slot: int) -> None:
        """Time has come to `slot`: lanes are dealt anew each epoch, waiting and carried transactions are released.
        A clock that steps back changes nothing."""
        if slot <= self._slot:
            return
        self._slot = slot
        epoch = self._epoch_of(slot)
        if epoch != self._epoch:
            self._epoch = epoch
            for sender in self._queues:
                self._place_head(sender)
        while self._young and self._young[0][0] + WAITED_SLOTS <= slot:
            self._replace_head_of(self._young.popleft()[1])
        while self._in_flight and self._in_flight[0][0] + IN_FLIGHT_SLOTS <= slot:
            self._replace_head_of(self._in_flight.popleft()[1])

    def _replace_head_of(self, transaction_id: bytes) -> None:
        entry = self._entries.get(transaction_id)
        if entry is not None:
            self._place_head(entry.transaction.sender)

    def _compact(self) -> None:
        """Bound the queues that keep stale members: when more than half are stale, rebuild (O(1) amortised)."""
        most = 2 * len(self._entries) + 1_024
        if len(self._by_expiry) > most:
            self._by_expiry = [
                (entry.transaction.body.expiry_slot, transaction_id)
                for transaction_id, entry in self._entries.items()
            ]
            heapify(self._by_expiry)
        if len(self._by_age) > most:
            self._by_age = deque(one for one in self._by_age if one[1] in self._entries)
        if len(self._young) > most:
            self._young = deque(one for one in self._young if one[1] in self._entries)
        if len(self._in_flight) > most:
            self._in_flight = deque(one for one in self._in_flight if one[1] in self._entries)


def _discard(ranks: list[tuple[int, bytes]], rank: tuple[int, bytes]) -> None:
    at = bisect_left(ranks, rank)
    if at < len(ranks) and ranks[at] == rank:
        del ranks[at]
