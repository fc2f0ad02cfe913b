"""What can be said of a transaction without any state. Validators raise and return nothing."""

from ledger.amounts import MAX_SUPPLY_UNITS
from ledger.errors import FeeTooHigh, FeeTooLow, UnknownVersion, WrongChain
from ledger.keys import verify
from ledger.registry import KindRegistry
from ledger.rules import ChainRules, minimum_fee
from ledger.transactions import TRANSACTION_VERSION, SignedTransaction, transaction_preimage


def validate_transaction_in_isolation(
    transaction: SignedTransaction, rules: ChainRules, registry: KindRegistry
) -> None:
    """Everything but the signature that holds or fails whatever the state is.

    Errors, all of family `InvalidTransaction`: `UnknownVersion`, `WrongChain`, `FeeTooLow`, `FeeTooHigh`,
    `UnknownKind`, `PayloadInvalid`, `RecipientRefused` and whatever else the kind's own rule raises.
    """
    body = transaction.body
    if body.version != TRANSACTION_VERSION:
        raise UnknownVersion(body.version, TRANSACTION_VERSION)
    if body.chain_id != rules.chain_id:
        raise WrongChain(body.chain_id, rules.chain_id)
    kind = registry.kind(body.kind)
    least = minimum_fee(rules, len(transaction.raw), kind.touches(transaction.payload))
    if body.fee < least:
        raise FeeTooLow(body.fee, least)
    if body.fee > MAX_SUPPLY_UNITS:
        raise FeeTooHigh(body.fee, MAX_SUPPLY_UNITS)
    kind.check_payload(transaction.payload, rules)


def verify_transaction_signature(transaction: SignedTransaction, rules: ChainRules) -> None:
    """The sender's key signed exactly this, for this chain. Pure; libsodium runs without the GIL, so threads help.

    Errors: `SignatureInvalid`.
    """
    body = transaction.body
    verify(body.sender_key, transaction_preimage(transaction, rules), body.signature)
