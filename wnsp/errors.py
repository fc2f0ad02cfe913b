"""Every way in which wnsp says no. One class per rule; the class name is the stable symbol.

Families: `CodecError` (these bytes are no value of ours), `FrameError` (these bytes are no frame), `SymbolError` (this
text or wavelength has no place in the alphabet), `FragmentError` (this message cannot be split), `EnvelopeError` (this
envelope breaks a rule), `KeyRefused`, `SignatureInvalid`. Decoding any bytes raises nothing outside `WnspError`.
"""


class WnspError(Exception):
    """Base of the package's errors."""

    @property
    def code(self) -> str:
        """Stable symbol of the rule, for RPC, logs and tests."""
        return type(self).__name__


class CodecError(WnspError):
    """The bytes are not the canonical encoding of the value asked for."""


class Oversized(CodecError):
    """More bytes than the type may have; found before anything was allocated for them."""

    def __init__(self, what: str, found: int, limit: int) -> None:
        super().__init__(f"{what} has {found} bytes, at most {limit} are allowed")
        self.found = found
        self.limit = limit


class Malformed(CodecError):
    """Not MessagePack, or not of the type's shape (wrong type, length, range, trailing bytes)."""

    def __init__(self, what: str, reason: str) -> None:
        super().__init__(f"{what} is malformed: {reason}")
        self.reason = reason


class NotCanonical(CodecError):
    """A longer spelling of the same value: encode(decode(bytes)) differs from the bytes."""

    def __init__(self, what: str) -> None:
        super().__init__(f"{what} is not in canonical encoding: re-encoding it gives other bytes")


class NotEncodable(CodecError):
    """A value that the type's limits exclude, met while encoding."""

    def __init__(self, what: str, reason: str) -> None:
        super().__init__(f"{what} cannot be encoded: {reason}")


class SymbolError(WnspError):
    """Text, symbols or wavelengths that the alphabet does not have."""


class AlphabetUnknown(SymbolError):
    """No alphabet has this version."""

    def __init__(self, version: int) -> None:
        super().__init__(f"alphabet version {version} is unknown; use 1 (letters) or 2 (64 symbols)")
        self.version = version


class CharacterUnsupported(SymbolError):
    """A character that the alphabet cannot carry; it is named, never dropped."""

    def __init__(self, character: str, position: int, version: int) -> None:
        super().__init__(
            f"character {character!r} (U+{ord(character):04X}) at position {position} is not in the alphabet of"
            f" version {version}; send text as UTF-8 in a frame of type BYTES to carry it"
        )
        self.character = character
        self.position = position


class SymbolOutOfRange(SymbolError):
    """A number that is no symbol of the alphabet."""

    def __init__(self, found: int, position: int, count: int) -> None:
        super().__init__(f"symbol {found} at position {position}, expected 0 to {count - 1}")
        self.found = found
        self.position = position


class WavelengthOffLattice(SymbolError):
    """A wavelength between, below or above those of the alphabet. Never rounded."""

    def __init__(self, found_pm: int, first_pm: int, step_pm: int, count: int) -> None:
        super().__init__(
            f"wavelength {found_pm} pm is not on the lattice {first_pm} + {step_pm}·k pm, k = 0 to {count - 1}"
        )
        self.found_pm = found_pm


class SymbolCountImpossible(SymbolError):
    """A number of symbols that no number of whole bytes gives."""

    def __init__(self, found: int, bits_per_symbol: int) -> None:
        super().__init__(f"{found} symbols of {bits_per_symbol} bits hold no whole number of bytes")
        self.found = found


class PaddingNotZero(SymbolError):
    """The bits that fill the last symbol are not zero: a second spelling of the same bytes."""

    def __init__(self, found: int, bits: int) -> None:
        super().__init__(f"the {bits} padding bits of the last symbol are {found:0{bits}b}, expected zero")
        self.found = found


class IntensityOutOfRange(SymbolError):
    """A letter's intensity has three bits."""

    def __init__(self, found: int) -> None:
        super().__init__(f"intensity {found}, expected 0 to 7")
        self.found = found


class FrameError(WnspError):
    """The bytes are no frame."""


class FrameTooShort(FrameError):
    """Fewer bytes than a frame without payload."""

    def __init__(self, found: int, least: int) -> None:
        super().__init__(f"frame has {found} bytes, at least {least} are needed")
        self.found = found


class SyncMissing(FrameError):
    """The first byte is not the sync byte."""

    def __init__(self, found: int, expected: int) -> None:
        super().__init__(f"frame begins with 0x{found:02X}, expected the sync byte 0x{expected:02X}")
        self.found = found


class FrameLengthWrong(FrameError):
    """The header's payload length and the number of bytes disagree."""

    def __init__(self, found: int, expected: int) -> None:
        super().__init__(f"frame has {found} bytes, its header says {expected}")
        self.found = found
        self.expected = expected


class ChecksumMismatch(FrameError):
    """The CRC-32C does not fit: noise, or a change on the way."""

    def __init__(self, found: int, expected: int) -> None:
        super().__init__(f"frame's checksum is 0x{found:08X}, header and payload give 0x{expected:08X}")
        self.found = found
        self.expected = expected


class FrameFieldRefused(FrameError):
    """A field holds a value that has no meaning, or a combination of fields has none."""

    def __init__(self, field: str, reason: str) -> None:
        super().__init__(f"frame's {field}: {reason}")
        self.field = field


class FragmentError(WnspError):
    """A message that cannot be split as asked."""


class MtuOutOfRange(FragmentError):
    """The link's greatest datagram holds no frame with payload, or is greater than a frame can be."""

    def __init__(self, found: int, least: int, greatest: int) -> None:
        super().__init__(f"MTU {found} bytes, expected {least} to {greatest}")
        self.found = found


class MessageTooLong(FragmentError):
    """More fragments than can be numbered."""

    def __init__(self, found: int, limit: int) -> None:
        super().__init__(f"message has {found} bytes, at most {limit} fit into fragments of this MTU")
        self.found = found
        self.limit = limit


class EnvelopeError(WnspError):
    """The envelope breaks a rule."""


class WrongNetwork(EnvelopeError):
    """Signed for another network."""

    def __init__(self, found: bytes, expected: bytes) -> None:
        super().__init__(f"envelope is for the network with genesis {found.hex()}, this is {expected.hex()}")


class EnvelopeVersionUnknown(EnvelopeError):
    """A version that this software does not know."""

    def __init__(self, found: int, expected: int) -> None:
        super().__init__(f"envelope version {found}, expected {expected}")
        self.found = found


class ExpiryNotAfterCreation(EnvelopeError):
    """The envelope would have expired before it was made."""

    def __init__(self, expiry_slot: int, created_slot: int) -> None:
        super().__init__(
            f"envelope expires in slot {expiry_slot}, expected later than its creation in slot {created_slot}"
        )


class RecipientMalformed(EnvelopeError):
    """Neither an identity hash nor empty (broadcast)."""

    def __init__(self, found: int, expected: int) -> None:
        super().__init__(f"recipient has {found} bytes, expected {expected}, or none for a broadcast")


class ParentsNotSorted(EnvelopeError):
    """Parents must ascend strictly, so that one set has one spelling."""

    def __init__(self, position: int) -> None:
        super().__init__(f"parent {position} is not greater than the one before it; sort them, each once")
        self.position = position


class SenderAndSignatureDisagree(EnvelopeError):
    """A named sender without a signature, or a signature without a sender."""

    def __init__(self, sender_bytes: int, signature_bytes: int) -> None:
        super().__init__(
            f"sender has {sender_bytes} bytes and the signature {signature_bytes}; expected 32 and 64, or none of both"
        )


class WrongSigner(EnvelopeError):
    """Asked to sign in the name of another key."""

    def __init__(self, found: bytes, expected: bytes) -> None:
        super().__init__(f"envelope names the sender {found.hex()}, the identity at hand is {expected.hex()}")


class SelfParent(EnvelopeError):
    """A message that answers itself, which no honest hash allows."""

    def __init__(self, envelope_id: bytes) -> None:
        super().__init__(f"message {envelope_id.hex()} names itself as parent")


class ParentNotEarlier(EnvelopeError):
    """A message must be younger than all that it answers."""

    def __init__(self, created_slot: int, parent_slot: int) -> None:
        super().__init__(
            f"message was created in slot {created_slot}, its parent in slot {parent_slot};"
            " expected a later slot than every parent's"
        )


class KeyRefused(WnspError):
    """A key that must not be used: wrong length, not a point, small order, not canonical."""

    def __init__(self, reason: str) -> None:
        super().__init__(f"key refused: {reason}")


class SignatureInvalid(WnspError):
    """The signature is not the key's over these bytes."""

    def __init__(self) -> None:
        super().__init__("signature does not verify: wrong key, or changed content")
