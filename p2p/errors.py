"""Errors of the transport. None of them says anything about our own state."""

MAX_DETAIL_CHARACTERS = 300
"""Of what a peer made some layer say."""


class NetworkError(Exception):
    """Base of everything that the network may raise."""


class BindFailed(NetworkError):
    """We cannot listen on the address asked for."""

    def __init__(self, address: str, reason: str) -> None:
        super().__init__(
            f"cannot listen on {address}: {reason}; choose a free port with --p2p-port or stop its owner"
        )
        self.address = address


class DialFailed(NetworkError):
    """The peer could not be reached at the address."""

    def __init__(self, address: str, reason: str) -> None:
        super().__init__(f"cannot reach {address}: {reason}")
        self.address = address
        self.reason = reason


class AddressMalformed(DialFailed):
    """The text is not a multiaddress with a peer id in it."""

    def __init__(self, address: str) -> None:
        super().__init__(address, "expected /ip4/HOST/tcp/PORT/p2p/PEER_ID")


class MessageTooLarge(NetworkError):
    """A message exceeds the limit of its topic."""

    def __init__(self, topic: str, size: int, limit: int) -> None:
        super().__init__(f"message of {size} bytes on {topic}, the limit is {limit}")


class RequestFailed(NetworkError):
    """The peer went away, reset the stream or answered with something that is no reply."""

    def __init__(self, peer: str, protocol: str, reason: str) -> None:
        super().__init__(f"request {protocol} to {peer} failed: {reason}")
        self.peer = peer
        self.reason = reason


class RequestTimeout(RequestFailed):
    """No whole reply within the deadline."""

    def __init__(self, peer: str, protocol: str, timeout_s: float) -> None:
        super().__init__(peer, protocol, f"no reply within {timeout_s} s")


class RequestRefused(NetworkError):
    """The peer understood the request and declined it; also what a handler raises to decline."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


class NetworkClosed(NetworkError):
    """Our own endpoint has been closed; nothing can be done with it any more."""

    def __init__(self, peer_id: str) -> None:
        super().__init__(f"the network endpoint of {peer_id} is closed; open a new one")
        self.peer_id = peer_id


class PeerBanned(DialFailed):
    """We refuse to dial a peer, or its neighbourhood, that is banned."""

    def __init__(self, address: str, remaining_s: float) -> None:
        super().__init__(address, f"banned for another {remaining_s:.0f} s")
        self.remaining_s = remaining_s


class AddressBookMalformed(NetworkError):
    """The saved address book is not one; delete it and the node starts from its bootstrap addresses."""

    def __init__(self, reason: str) -> None:
        super().__init__(
            f"the saved address book cannot be read: {reason}; delete it to start from bootstrap"
        )
        self.reason = reason


class SavedBansMalformed(NetworkError):
    """The saved bans are none; delete the file and nobody is banned."""

    def __init__(self, reason: str) -> None:
        super().__init__(f"the saved bans cannot be read: {reason}; delete them to start without")
        self.reason = reason


class ProtocolFault(Exception):
    """The peer broke a protocol. Never leaves the package: it becomes `PeerMisbehaved`."""

    def __init__(self, kind: str, detail: str) -> None:
        self.kind = kind
        """A value of `p2p.peers.Fault`."""
        self.detail = detail[:MAX_DETAIL_CHARACTERS]
        super().__init__(f"{kind}: {self.detail}")
