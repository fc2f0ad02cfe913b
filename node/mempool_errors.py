"""Why the mempool says no. One class per rule; the class name is the stable symbol that RPC and metrics show."""


class MempoolRejected(Exception):
    """Base of the mempool's refusals. The transaction may be valid; it is not wanted here and now."""

    @property
    def code(self) -> str:
        """Stable symbol of the rule."""
        return type(self).__name__


class AlreadyPending(MempoolRejected):
    """The same signed bytes are pending."""

    def __init__(self, transaction_id: bytes) -> None:
        super().__init__(f"transaction {transaction_id.hex()} is pending already")
        self.transaction_id = transaction_id


class AlreadyAccepted(MempoolRejected):
    """The transaction is on the chain."""

    def __init__(self, transaction_id: bytes) -> None:
        super().__init__(f"transaction {transaction_id.hex()} is accepted already")
        self.transaction_id = transaction_id


class TransactionExpired(MempoolRejected):
    """Its expiry slot is not in the future: no chain block can accept it any more."""

    def __init__(self, expiry_slot: int, slot: int) -> None:
        super().__init__(
            f"transaction expires at slot {expiry_slot} and it is slot {slot}; sign it again with a later one"
        )
        self.expiry_slot = expiry_slot
        self.slot = slot


class ExpiryTooFar(MempoolRejected):
    """It would stay valid for longer than a transaction may."""

    def __init__(self, expiry_slot: int, latest: int) -> None:
        super().__init__(
            f"transaction expires at slot {expiry_slot}, now the latest is {latest}; sign it with an earlier one"
        )
        self.expiry_slot = expiry_slot
        self.latest = latest


class NonceTooLow(MempoolRejected):
    """The account has used the nonce."""

    def __init__(self, found: int, expected: int) -> None:
        super().__init__(f"nonce {found} is used, the account's next is {expected}")
        self.found = found
        self.expected = expected


class NonceGapTooWide(MempoolRejected):
    """Too far beyond the first missing nonce (row L4)."""

    def __init__(self, found: int, missing: int, limit: int) -> None:
        super().__init__(
            f"nonce {found} lies {found - missing} beyond the first missing one, {missing}; at most {limit} are "
            f"kept: send nonce {missing} first"
        )
        self.found = found
        self.missing = missing


class AccountQueueFull(MempoolRejected):
    """The account has as many pending transactions as it may (row L4)."""

    def __init__(self, found: int, limit: int) -> None:
        super().__init__(
            f"the account has {found} pending transactions, at most {limit} are kept: wait for some to be accepted"
        )
        self.found = found
        self.limit = limit


class AmountAboveBalance(MempoolRejected):
    """The account does not own what the transaction spends. It may once it has been paid: submit again then."""

    def __init__(self, needed: int, balance: int) -> None:
        super().__init__(f"the transaction needs {needed} units with its fee, the account has {balance}")
        self.needed = needed
        self.balance = balance


class BalanceTooLow(MempoolRejected):
    """The account cannot pay the fees of all it has pending."""

    def __init__(self, fees: int, balance: int) -> None:
        super().__init__(
            f"fees of the account's pending transactions are {fees} units, its balance is {balance}"
        )
        self.fees = fees
        self.balance = balance


class ReplacementFeeTooLow(MempoolRejected):
    """Another transaction has the nonce, and this one does not pay enough more (row N10)."""

    def __init__(self, found: int, least: int, rate: int) -> None:
        super().__init__(
            f"fee {found} units does not replace the pending transaction of this nonce: at least {least} units, and "
            f"no less than {rate} millionths of a unit per byte, are needed"
        )
        self.found = found
        self.least = least


class ReplacedTooOften(MempoolRejected):
    """The nonce was replaced as often as it may be within the window (row N10)."""

    def __init__(self, nonce: int, limit: int, window_s: float) -> None:
        super().__init__(
            f"nonce {nonce} was replaced {limit} times within {window_s:.0f} s; wait and try again"
        )
        self.nonce = nonce
        self.limit = limit


class MempoolFull(MempoolRejected):
    """The pool is full and the transaction pays no more than what is in it (row N9)."""

    def __init__(self, transactions: int, size_bytes: int, rate: int, floor: int | None) -> None:
        needed = "nothing in it may be evicted" if floor is None else f"more than {floor} is needed now"
        super().__init__(
            f"mempool is full ({transactions} transactions, {size_bytes} bytes): fee rate {rate} millionths of a "
            f"unit per byte, {needed}"
        )
        self.rate = rate
        self.floor = floor
