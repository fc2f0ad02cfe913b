"""What can go wrong with a sealed message: a class per rule, each with its figures.

Opening a message fails with `CannotOpen` and nothing else, whatever the reason: who sends changed messages to see what
comes back learns one thing only. The other classes are for whoever builds messages, and for `examine`, which the
holder of the key asks.
"""

from wnsp.errors import WnspError


class CipherError(WnspError):
    """A rule of wnsp/CRYPTOGRAPHY.md was broken."""


class CannotOpen(CipherError):
    """The message is not one that this key opens. There is deliberately no reason in it."""

    def __init__(self) -> None:
        super().__init__(
            "this key does not open this message, or the message was changed; no part of it was used"
        )


class OffLattice(CipherError):
    """A photon frame holds a value that no frame may hold."""

    def __init__(self, dimension: str, frame: int, value: int) -> None:
        super().__init__(
            f"{dimension} {value} of frame {frame} is not on the lattice; values are never rounded"
        )
        self.dimension = dimension
        self.frame = frame
        self.value = value


class FrameCountWrong(CipherError):
    """There are more or fewer photon frames than the header's length needs."""

    def __init__(self, expected: int, found: int) -> None:
        super().__init__(f"the header's length needs {expected} frames, found {found}")
        self.expected = expected
        self.found = found


class CarrierChanged(CipherError):
    """A dimension that carries no bits does not hold the value that the header gives it."""

    def __init__(self, dimension: str, frame: int, expected: int, found: int) -> None:
        super().__init__(f"{dimension} of frame {frame} is {found}, the header gives {expected}")
        self.dimension = dimension
        self.frame = frame
        self.expected = expected
        self.found = found


class BodyPaddingNotZero(CipherError):
    """Bits after the end of the content are set."""

    def __init__(self, bits: int) -> None:
        super().__init__(f"the last {bits} bits are padding and must be zero")
        self.bits = bits


class HeaderMalformed(CipherError):
    """The bytes are not the header of a wave message."""

    def __init__(self, field: str, expected: object, found: object) -> None:
        super().__init__(f"header field {field}: expected {expected}, found {found}")
        self.field = field
        self.expected = expected
        self.found = found


class KeyParametersOutOfBounds(CipherError):
    """Parameters of the passphrase derivation that nobody has to compute."""

    def __init__(self, parameter: str, found: int, least: int, most: int) -> None:
        super().__init__(f"Argon2id {parameter} {found} is outside {least} to {most}; nothing was derived")
        self.parameter = parameter
        self.found = found
        self.least = least
        self.most = most


class PassphraseTooShort(CipherError):
    """Fewer characters than a passphrase needs."""

    def __init__(self, found: int, least: int) -> None:
        super().__init__(f"the passphrase has {found} characters; it needs {least} or more")
        self.found = found
        self.least = least


class NotText(CipherError):
    """Something that UTF-8 cannot say (a lone surrogate)."""

    def __init__(self, what: str, position: int) -> None:
        super().__init__(f"character {position} of the {what} is not text; type it again")
        self.what = what
        self.position = position


class ModeUnknown(CipherError):
    """No such mode."""

    def __init__(self, mode: str) -> None:
        super().__init__(f"mode {mode!r} is unknown; there are FSE, AME, PME and QIML")
        self.mode = mode


class PlaintextTooLong(CipherError):
    """More bytes than one message carries."""

    def __init__(self, found: int, most: int) -> None:
        super().__init__(f"{found} bytes to seal; one message carries {most}: send it in parts")
        self.found = found
        self.most = most


class WrongSize(CipherError):
    """A key, an id, random bytes or a signature of the wrong size."""

    def __init__(self, what: str, expected: int, found: int) -> None:
        super().__init__(f"{what}: expected {expected} bytes, found {found}")
        self.what = what
        self.expected = expected
        self.found = found


class RecipientKeyUnusable(CipherError):
    """A public key that no message can be sealed to (a point of small order)."""

    def __init__(self, public_key: bytes) -> None:
        super().__init__(
            f"X25519 key {public_key.hex()} is of small order; ask the recipient for a new prekey"
        )
        self.public_key = public_key


class PrekeyNotSigned(CipherError):
    """The announced prekey is not signed by the identity that it names."""

    def __init__(self, identity_key: bytes) -> None:
        super().__init__(f"the prekey is not signed by {identity_key.hex()}; do not use it")
        self.identity_key = identity_key


class PrekeyStale(CipherError):
    """The announced prekey is too old (or too young) to seal to."""

    def __init__(self, age_ms: int, least_ms: int, most_ms: int) -> None:
        super().__init__(
            f"the prekey is {age_ms} ms old, usable from {least_ms} to {most_ms}; ask for a newer one"
        )
        self.age_ms = age_ms
        self.least_ms = least_ms
        self.most_ms = most_ms


class LegacyFrameUnreadable(CipherError):
    """A frame that is not of the seed's first scheme either."""

    def __init__(self, frame: int, field: str, value: object) -> None:
        super().__init__(f"legacy frame {frame}: {field} {value} is outside what the scheme could write")
        self.frame = frame
        self.field = field
        self.value = value


class OutsideRegion(CipherError):
    """A wavelength outside the region that the message declares: implausible, whatever the digest says."""

    def __init__(self, frame: int, found_pm: int, shortest_pm: int, longest_pm: int) -> None:
        super().__init__(
            f"wavelength {found_pm} pm of frame {frame} is outside its region, {shortest_pm} to {longest_pm} pm"
        )
        self.frame = frame
        self.found_pm = found_pm


class EnergyDiffers(CipherError):
    """The frames do not carry the energy that the message declares."""

    def __init__(self, declared: int, found: int) -> None:
        super().__init__(f"declared energy {declared} µeV, the frames carry {found} µeV")
        self.declared = declared
        self.found = found


class WaveSignatureInvalid(CipherError):
    """The signature is not the key's over this header and these digests; nothing can be said about the frames."""

    def __init__(self) -> None:
        super().__init__(
            "the wave signature does not verify: another key, another header, or a changed signature"
        )


class DimensionsDiffer(CipherError):
    """The signature is good, and the frames are not those that were signed."""

    def __init__(self, dimensions: tuple[str, ...]) -> None:
        super().__init__(f"signed by the key, but changed since in: {', '.join(dimensions)}")
        self.dimensions = dimensions


class NotAfterParents(CipherError):
    """A message must be younger than everything that it answers."""

    def __init__(self, created: int, parent: int) -> None:
        super().__init__(f"created at {created}, a parent at {parent}; expected later than every parent")
        self.created = created
        self.parent = parent


class OutsideLifetime(CipherError):
    """Too late for a message that has expired, or too early for one that expires before it is made."""

    def __init__(self, now: int, created: int, expiry: int) -> None:
        super().__init__(f"now {now}; the message lives from {created} to {expiry}")
        self.now = now
        self.created = created
        self.expiry = expiry
