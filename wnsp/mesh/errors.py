"""Every way in which the mesh says no. A class per rule, numbers found and expected in its text.

Hostile bytes meet these inside `MeshProtocol.receive`, which turns them into `Refused` events. They are raised only to
the node's own calls (`submit`, `import_file`, …).
"""

from wnsp.errors import WnspError


class MeshError(WnspError):
    """Base of the mesh's errors."""


class DatagramMalformed(MeshError):
    """The bytes are no mesh datagram."""

    def __init__(self, what: str, reason: str) -> None:
        super().__init__(f"{what} is malformed: {reason}")
        self.what = what
        self.reason = reason


class DatagramOversized(MeshError):
    """More bytes than the kind may have; found before anything was made of them."""

    def __init__(self, what: str, found: int, limit: int) -> None:
        super().__init__(f"{what} has {found} bytes, at most {limit} are allowed")
        self.found = found
        self.limit = limit


class DutyCycleExceeded(MeshError):
    """The neighbour, or all neighbours together, sent more than the air interface's budget (M10)."""

    def __init__(self, whose: str, found: int, left: int) -> None:
        super().__init__(f"a datagram of {found} bytes, and {whose} budget has {left} left; slow down")
        self.found = found
        self.left = left


class AnnouncementRefused(MeshError):
    """An announcement that breaks a rule: signature, expiry, rate (M8)."""

    def __init__(self, reason: str) -> None:
        super().__init__(f"announcement refused: {reason}")
        self.reason = reason


class ReceiptRefused(MeshError):
    """A receipt that its claimed recipient did not sign, or past its time."""

    def __init__(self, reason: str) -> None:
        super().__init__(f"receipt refused: {reason}")
        self.reason = reason


class BundleExpired(MeshError):
    """The signed expiry is over."""

    def __init__(self, expires_ms: int, now_ms: int) -> None:
        super().__init__(f"the bundle expired at {expires_ms} ms, now is {now_ms} ms; send it anew")
        self.expires_ms = expires_ms
        self.now_ms = now_ms


class ExpiryTooFar(MeshError):
    """The signed expiry is further away than the mesh keeps anything (M1, M2)."""

    def __init__(self, expires_ms: int, limit_ms: int) -> None:
        super().__init__(f"the bundle expires at {expires_ms} ms, the latest allowed is {limit_ms} ms")
        self.expires_ms = expires_ms
        self.limit_ms = limit_ms


class BundleOversized(MeshError):
    """An envelope above the mesh's limit (C2)."""

    def __init__(self, found: int, limit: int) -> None:
        super().__init__(f"the envelope has {found} bytes, a bundle carries at most {limit}")
        self.found = found
        self.limit = limit


class QuotaExceeded(MeshError):
    """No room for the bundle under the rule named (M4)."""

    def __init__(self, rule: str, found: int, limit: int) -> None:
        super().__init__(f"{rule}: {found} with this bundle, at most {limit} are allowed")
        self.rule = rule
        self.found = found
        self.limit = limit


class CustodyFull(MeshError):
    """The store refused to grow."""

    def __init__(self, found: int, limit: int) -> None:
        super().__init__(f"custody would hold {found} bytes, its capacity is {limit}")
        self.found = found
        self.limit = limit


class CustodyCorrupted(MeshError):
    """A record of our own store does not read back: our fault, the store must be looked at."""

    def __init__(self, key: bytes, reason: str) -> None:
        super().__init__(
            f"custody record {key.hex()}: {reason}; move the store away and start with an empty one"
        )
        self.key = key


class BundleFileMalformed(MeshError):
    """A directory bundle file that is cut, altered or none of ours."""

    def __init__(self, reason: str) -> None:
        super().__init__(f"bundle file refused: {reason}; copy it again from where it was exported")
        self.reason = reason


class UnknownBundle(MeshError):
    """The id names nothing in custody."""

    def __init__(self, bundle_id: bytes) -> None:
        super().__init__(f"no bundle {bundle_id.hex()} in custody")
        self.bundle_id = bundle_id
