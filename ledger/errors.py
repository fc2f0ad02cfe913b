"""Every way in which the ledger says no. One class per rule; the class name is the stable symbol.

Families: `CodecError` (these bytes are no value of ours), `InvalidTransaction` (this transaction can never be
valid on this chain), `LedgerFault` (our own state contradicts itself; the process must stop). Transactions that
are valid but do not apply *now* are no errors: `ledger.execution` returns them as receipts with a reason.
"""


class LedgerError(Exception):
    """Base of the ledger's errors."""

    @property
    def code(self) -> str:
        """Stable symbol of the rule, for receipts, RPC and tests."""
        return type(self).__name__


class CodecError(LedgerError):
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


class AmountError(LedgerError):
    """Base for amounts that are none."""


class AmountNotInteger(AmountError):
    """bool, float, str … where an int number of units is required."""

    def __init__(self, what: str, value: object) -> None:
        super().__init__(f"{what} must be an int number of units, found {type(value).__name__}")


class AmountOutOfRange(AmountError):
    """Below the least or above the greatest amount."""

    def __init__(self, what: str, value: int, least: int, greatest: int) -> None:
        shown = str(value) if abs(value) < 10**30 else f"an integer of {value.bit_length()} bits"
        super().__init__(f"{what} is {shown} units, expected {least} to {greatest}")
        self.value = value


class AmountTextMalformed(AmountError):
    """Text that is not a decimal amount of NXT."""

    def __init__(self, text: str, reason: str) -> None:
        super().__init__(f"{text[:40]!r} is not an amount of NXT: {reason}; write for example 12.5")


class AddressMalformed(LedgerError):
    """Text that is not an address of this network."""

    def __init__(self, text: str, reason: str) -> None:
        super().__init__(f"{text[:100]!r} is not an address: {reason}")
        self.reason = reason


class KeyRefused(CodecError):
    """A public key that must not be used: wrong length, small order or not canonical."""

    def __init__(self, reason: str) -> None:
        super().__init__(f"public key refused: {reason}")


class InvalidTransaction(LedgerError):
    """The transaction can never be valid on this chain."""


class WrongChain(InvalidTransaction):
    """Signed for another network."""

    def __init__(self, found: str, expected: str) -> None:
        super().__init__(f"transaction is for chain {found!r}, this is {expected!r}")


class UnknownVersion(InvalidTransaction):
    """An envelope version that this software does not know."""

    def __init__(self, found: int, expected: int) -> None:
        super().__init__(f"transaction version {found}, this node knows {expected}")


class UnknownKind(InvalidTransaction):
    """No kind is registered under this number."""

    def __init__(self, found: int, known: tuple[int, ...]) -> None:
        super().__init__(f"transaction kind {found} is unknown; known kinds: {', '.join(map(str, known))}")


class PayloadInvalid(InvalidTransaction):
    """The payload is not what the kind expects."""

    def __init__(self, kind: str, reason: str) -> None:
        super().__init__(f"payload of {kind}: {reason}")


class FeeTooLow(InvalidTransaction):
    """Below the least fee for the transaction's size."""

    def __init__(self, found: int, least: int) -> None:
        super().__init__(f"fee {found} units, at least {least} needed for this size")
        self.found = found
        self.least = least


class FeeTooHigh(InvalidTransaction):
    """Above the whole supply: nobody can ever pay it."""

    def __init__(self, found: int, greatest: int) -> None:
        super().__init__(f"fee {found} units, at most {greatest} exist")
        self.found = found


class SignatureInvalid(InvalidTransaction):
    """The signature is not the sender key's over this transaction on this chain."""

    def __init__(self) -> None:
        super().__init__("signature does not verify: wrong key, changed content, or signed for another chain")


class RecipientRefused(InvalidTransaction):
    """Transfers to system accounts and pools are refused: a donation would move prices and circulating supply."""

    def __init__(self, what: str) -> None:
        """`what`: what stands at the address, in words."""
        super().__init__(f"recipient is {what}; users cannot pay to it")


class LedgerFault(LedgerError):
    """Our own state contradicts itself. Never a peer's fault; the process must stop."""


class ConservationBroken(LedgerFault):
    """Units appeared or vanished."""

    def __init__(self, where: str, found: int, expected: int) -> None:
        super().__init__(f"conservation broken in {where}: {found} units, expected {expected}")


class AccountOutOfRange(LedgerFault):
    """A transition left an account with a balance or nonce that cannot be."""

    def __init__(self, balance: int, nonce: int) -> None:
        super().__init__(
            f"account would hold {balance} units with nonce {nonce}; neither may be negative or huge"
        )
        self.balance = balance
        self.nonce = nonce


class KindsClash(LedgerFault):
    """Two kinds of one registry share a number or a name."""

    def __init__(self, number: int, name: str) -> None:
        super().__init__(f"kind {number} {name!r} clashes with a kind that is registered already")


class StateKeyRefused(LedgerFault):
    """A raw write under a key that another door guards, or an empty key."""

    def __init__(self, key: bytes, reason: str) -> None:
        super().__init__(f"state key {key.hex()[:80]} refused: {reason}")


class EpochStepUnknown(LedgerFault):
    """A step of the epoch transition is to stand beside one that does not exist."""

    def __init__(self, name: str, known: tuple[str, ...]) -> None:
        super().__init__(f"no step {name!r} in the epoch transition; known: {', '.join(known)}")


class ParameterOutOfBounds(LedgerError):
    """A value that no vote and no genesis can give a parameter."""

    def __init__(self, name: str, found: int, least: int, greatest: int) -> None:
        super().__init__(f"{name} is {found}, its bounds are {least} to {greatest}")
        self.found = found


class GenesisInvalid(LedgerError):
    """The genesis document breaks a rule."""

    def __init__(self, reason: str) -> None:
        super().__init__(f"genesis: {reason}")
