"""Why nothing was signed. A refusal is normal: the slot or the vote is missed and the node goes on.

A damaged record is not: nobody knows then what the key has signed (`SigningRecordCorrupted`, which ends the process).
"""

from pathlib import Path


class SigningRefused(Exception):
    """Base of the refusals: no signature has left, and none for this message will."""

    @property
    def code(self) -> str:
        """Stable symbol, for status, metrics and the wire."""
        return type(self).__name__


class AlreadySigned(SigningRefused):
    """The key has signed another block for this slot, or a block for a later one."""

    def __init__(self, public_key: bytes, slot: int, last: int) -> None:
        super().__init__(
            f"key {_short(public_key)} has signed for slot {last} already and does not sign another block for slot "
            f"{slot}; it signs again from slot {last + 1} on"
        )
        self.public_key = public_key
        self.slot = slot
        self.last = last


class AlreadyVoted(SigningRefused):
    """The key has cast another vote for this target period, or a vote for a later one."""

    def __init__(self, public_key: bytes, target: int, last: int) -> None:
        super().__init__(
            f"key {_short(public_key)} has voted for period {last} already and does not cast another vote for period "
            f"{target}; it votes again from period {last + 1} on"
        )
        self.public_key = public_key
        self.target = target
        self.last = last


class SurroundRefused(SigningRefused):
    """The source lies below the last one: the vote could surround, or be surrounded by, an earlier one."""

    def __init__(self, public_key: bytes, source: int, last: int) -> None:
        super().__init__(
            f"key {_short(public_key)} has voted from source period {last} and does not vote from {source}, which is "
            f"below it; choose a source of {last} or later"
        )
        self.public_key = public_key
        self.source = source
        self.last = last


class SourceNotBelowTarget(SigningRefused):
    """A vote leads from an earlier period to a later one."""

    def __init__(self, source: int, target: int) -> None:
        super().__init__(
            f"a vote from source period {source} to target period {target} leads nowhere; expected later"
        )
        self.source = source
        self.target = target


class KeyUnknown(SigningRefused):
    """The signer does not hold this key."""

    def __init__(self, public_key: bytes) -> None:
        super().__init__(
            f"this signer does not hold key {_short(public_key)}; give it the key file that has it"
        )
        self.public_key = public_key


class DoppelgangerWait(SigningRefused):
    """The wait at the start is not over."""

    def __init__(self, remaining_slots: int) -> None:
        super().__init__(
            f"watching for {remaining_slots} more slots whether another node signs with our keys; nothing to do"
        )
        self.remaining_slots = remaining_slots


class DoppelgangerSeen(SigningRefused):
    """Somebody else signs with our keys. Stays until the process is started anew."""

    def __init__(self, what: str) -> None:
        super().__init__(
            f"another node signs with our keys: {what}; this node signs nothing any more. Stop the other one, bring "
            "its history here with `nexus validator protection export` and `import`, then restart this node"
        )
        self.what = what


class SignerUnavailable(SigningRefused):
    """The remote signer does not answer."""

    def __init__(self, socket: Path, reason: str) -> None:
        super().__init__(
            f"the signer at {socket} is unavailable: {reason}; start it with `nexus validator signer --socket {socket}`"
        )
        self.socket = socket
        self.reason = reason


class SignerRefused(SigningRefused):
    """The remote signer refused for a reason of its own."""

    def __init__(self, symbol: str, message: str) -> None:
        super().__init__(f"the signer refused ({symbol}): {message}")
        self.symbol = symbol


class SigningRecordCorrupted(Exception):
    """An entry of the protection store that is none. The key must not sign: what it has signed is not known."""

    def __init__(self, public_key: bytes, what: str, found: int, expected: str) -> None:
        super().__init__(
            f"the {what} of key {_short(public_key)} has {found} bytes in the slashing-protection store, expected "
            f"{expected}; do not sign with this key before you know what it signed last, then import that history into "
            "a new store with `nexus validator protection import`"
        )
        self.public_key = public_key


class SignerBindFailed(Exception):
    """The signer cannot serve on its socket."""

    def __init__(self, socket: Path, reason: str) -> None:
        super().__init__(f"cannot serve on {socket}: {reason}")
        self.socket = socket
        self.reason = reason


def _short(public_key: bytes) -> str:
    return public_key.hex()[:16]
