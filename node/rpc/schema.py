"""Parameters of the methods: typed, bounded, unknown members refused. 64-bit numbers and amounts travel as strings in
results; parameters take plain integers where they fit."""

from typing import Annotated, TypeVar

import msgspec

from node.rpc.protocol import INVALID_PARAMS, RpcError

MAX_SUBMIT_BATCH = 512
MAX_DAG_BLOCKS = 500
MAX_SCHEDULE_SLOTS = 512
MAX_CERTIFICATES = 8
MAX_PROOFS = 256

HexId = Annotated[str, msgspec.Meta(pattern="^[0-9a-f]{64}$")]
RawHex = Annotated[str, msgspec.Meta(min_length=2, max_length=2 * 16 * 1024, pattern="^([0-9a-f]{2})+$")]
Index = Annotated[int, msgspec.Meta(ge=0, le=2**63 - 1)]
ValidatorIndex = Annotated[int, msgspec.Meta(ge=0, le=2**32 - 1)]


class Params(msgspec.Struct, forbid_unknown_fields=True, frozen=True):
    """Base of all parameter records; empty for methods that take none."""


class GetBlock(Params, frozen=True):
    """Exactly one of `id` and `index`."""

    id: HexId | None = None
    index: Index | None = None
    """Position on the selected chain, genesis is 0."""
    transactions: bool = False
    """Also the raw transactions in hex."""
    receipts: bool = False
    """Also what became of the transactions that this block's merge set carried, when it is a chain block."""


class GetDag(Params, frozen=True):
    """The newest blocks."""

    limit: Annotated[int, msgspec.Meta(ge=1, le=MAX_DAG_BLOCKS)] = 50
    last_slot: Index | None = None
    """Newest slot to show; absent: the newest there is."""


class GetAccount(Params, frozen=True):
    """One account."""

    address: Annotated[str, msgspec.Meta(max_length=100)]


class GetValidator(Params, frozen=True):
    """One validator."""

    index: ValidatorIndex


class GetSchedule(Params, frozen=True):
    """Who proposes where."""

    first_slot: Index | None = None
    """Absent: the slot of this moment."""
    slots: Annotated[int, msgspec.Meta(ge=1, le=MAX_SCHEDULE_SLOTS)] = 16
    validator: ValidatorIndex | None = None
    """Show this validator's lanes only."""


class GetStakes(Params, frozen=True):
    """What an address has staked, earned and taken out."""

    address: Annotated[str, msgspec.Meta(max_length=100)]
    validator: ValidatorIndex | None = None
    """With this validator only."""


class GetCertificates(Params, frozen=True):
    """Certificates of the periods from one on."""

    first_period: Index
    limit: Annotated[int, msgspec.Meta(ge=1, le=MAX_CERTIFICATES)] = 1


class GetProofs(Params, frozen=True):
    """Finality proofs of the epochs from one on, or of those whose checkpoints come after a period; from the first
    where neither is given."""

    from_epoch: Index | None = None
    after_period: Index | None = None
    limit: Annotated[int, msgspec.Meta(ge=1, le=MAX_PROOFS)] = MAX_PROOFS
    earlier: bool = False
    """Also the snapshots of the epochs before the first one: whoever begins there needs them."""


class Submit(Params, frozen=True):
    """One signed transaction."""

    raw: RawHex


class SubmitBatch(Params, frozen=True):
    """Several signed transactions, judged one by one."""

    raw: Annotated[list[RawHex], msgspec.Meta(min_length=1, max_length=MAX_SUBMIT_BATCH)]


class ById(Params, frozen=True):
    """Something by its 32-byte id in hex."""

    id: HexId


P = TypeVar("P", bound=Params)


def parse_params(kind: type[P], params: object) -> P:
    """Named or positional parameters as the method's record. Errors: `RpcError` INVALID_PARAMS."""
    if isinstance(params, list):
        names = kind.__struct_fields__
        if len(params) > len(names):
            raise RpcError(
                INVALID_PARAMS,
                f"{len(params)} parameters, expected at most {len(names)}",
                code="ParamsInvalid",
            )
        params = dict(zip(names, params, strict=False))
    try:
        return msgspec.convert(params, kind)
    except (msgspec.ValidationError, UnicodeEncodeError) as error:
        # UnicodeEncodeError: a lone surrogate. The text may quote a key of any length.
        hint = f"parameters: {', '.join(kind.__struct_fields__) or 'none'}"
        raise RpcError(INVALID_PARAMS, str(error)[:300], code="ParamsInvalid", hint=hint) from None
