"""EIP-3076, the slashing-protection interchange format, version 5: a key's history from one signer to another, as JSON.

`genesis_validators_root` is the genesis hash, `source_epoch` and `target_epoch` are finality periods, `pubkey` has 32
bytes (Ed25519), `signing_root` is that of `node.signing.local_signer`. We write minimal histories (the last block and
the last vote of each key) and read minimal and complete ones by the EIP's advice for minimal databases: the greatest
slot, the greatest source and the greatest target, joined with what the store has, so nothing that was forbidden before
an import is allowed after it. Import is all or nothing.

- An entry without a signing root, or with the zero root, closes its slot or target.
- A key or a message may come several times. Two different messages of one slot or target are slashable evidence in the
  file itself; they are taken in like everything else, and close that slot or target.
- Another format version, another chain, a field that is missing or malformed, a name that comes twice in one object:
  refused as a whole. Unknown fields are passed over, as the EIP's schema has it.
"""

import json
from collections.abc import Iterable
from typing import Annotated, Any, Final

import msgspec

from ledger.encoding import MAX_INTEGER
from ledger.hashing import DIGEST_BYTES
from node.signing.protection import KeyHistory, LastBlock, LastVote, SigningProtection

INTERCHANGE_VERSION: Final = "5"
MAX_INTERCHANGE_BYTES: Final = 64 * 1024 * 1024
"""About 500,000 messages: the complete history of a validator over three months of main."""

_Hex32 = Annotated[str, msgspec.Meta(pattern="^0x[0-9a-fA-F]{64}$")]
_Number = Annotated[str, msgspec.Meta(pattern="^(0|[1-9][0-9]{0,18})$")]


class InterchangeRefused(Exception):
    """Base of what can be wrong with a file; nothing of it was taken in."""


class InterchangeMalformed(InterchangeRefused):
    """Not the JSON of EIP-3076."""

    def __init__(self, reason: str) -> None:
        super().__init__(f"no slashing-protection interchange of EIP-3076: {reason}; export it again")
        self.reason = reason


class InterchangeVersionUnknown(InterchangeRefused):
    """Another version of the format."""

    def __init__(self, found: str) -> None:
        super().__init__(
            f"interchange format version {found!r}, expected {INTERCHANGE_VERSION!r}; export it as that"
        )
        self.found = found


class InterchangeOfAnotherChain(InterchangeRefused):
    """The history of keys on another network."""

    def __init__(self, found: str, expected: bytes) -> None:
        super().__init__(
            f"the history belongs to the chain of genesis 0x{found}, this store to 0x{expected.hex()}; "
            "export it from a signer of this network"
        )
        self.found = found
        self.expected = expected


class _Metadata(msgspec.Struct, frozen=True):
    interchange_format_version: str
    genesis_validators_root: _Hex32


class _SignedBlock(msgspec.Struct, frozen=True):
    slot: _Number
    signing_root: _Hex32 | None = None


class _SignedVote(msgspec.Struct, frozen=True):
    source_epoch: _Number
    target_epoch: _Number
    signing_root: _Hex32 | None = None


class _KeyData(msgspec.Struct, frozen=True):
    pubkey: _Hex32
    signed_blocks: list[_SignedBlock]
    signed_attestations: list[_SignedVote]


class _Interchange(msgspec.Struct, frozen=True):
    metadata: _Metadata
    data: list[_KeyData]


def export_interchange(protection: SigningProtection) -> bytes:
    """The file: the same bytes for the same content. Errors: `SigningRecordCorrupted`, and the store's."""
    return write_interchange(protection.histories(), protection.genesis_hash)


def import_interchange(protection: SigningProtection, raw: bytes) -> tuple[int, int]:
    """Take a file in: (keys in it, keys whose record it raised).

    Errors: `InterchangeRefused`, `SigningRecordCorrupted`, and the store's.
    """
    histories = read_interchange(raw, protection.genesis_hash)
    return len(histories), protection.raise_to(histories)


def write_interchange(histories: Iterable[KeyHistory], genesis_hash: bytes) -> bytes:
    """The JSON of histories, in their order."""
    data = []
    for history in histories:
        blocks, votes = [], []
        if history.block is not None:
            blocks.append({"slot": str(history.block.slot)} | _root_json(history.block.signing_root))
        if history.vote is not None:
            periods = {
                "source_epoch": str(history.vote.source_period),
                "target_epoch": str(history.vote.target_period),
            }
            votes.append(periods | _root_json(history.vote.signing_root))
        data.append(
            {"pubkey": _hex(history.public_key), "signed_blocks": blocks, "signed_attestations": votes}
        )
    metadata = {
        "interchange_format_version": INTERCHANGE_VERSION,
        "genesis_validators_root": _hex(genesis_hash),
    }
    return json.dumps({"metadata": metadata, "data": data}, indent=2).encode("ascii") + b"\n"


def read_interchange(raw: bytes, genesis_hash: bytes) -> tuple[KeyHistory, ...]:
    """What the keys of a file signed last, one history per key, by public key. Errors: `InterchangeRefused`."""
    if len(raw) > MAX_INTERCHANGE_BYTES:
        raise InterchangeMalformed(
            f"more than {MAX_INTERCHANGE_BYTES} bytes; the last block and vote of each key are enough"
        )
    try:
        document = json.loads(raw, object_pairs_hook=_without_duplicates)
        metadata = document["metadata"] if isinstance(document, dict) else None
        version = metadata.get("interchange_format_version") if isinstance(metadata, dict) else None
        if isinstance(version, str) and version != INTERCHANGE_VERSION:
            # Before the shape: another version may have another one.
            raise InterchangeVersionUnknown(version[:32])
        interchange = msgspec.convert(document, _Interchange)
    except KeyError as error:
        raise InterchangeMalformed(f"no field {error}") from None
    except msgspec.ValidationError as error:
        raise InterchangeMalformed(str(error)) from None
    except (ValueError, RecursionError) as error:
        raise InterchangeMalformed(f"not JSON: {error}") from None
    found = interchange.metadata.genesis_validators_root[2:].lower()
    if found != genesis_hash.hex():
        raise InterchangeOfAnotherChain(found, genesis_hash)
    histories: dict[bytes, KeyHistory] = {}
    for entry in interchange.data:
        public_key = bytes.fromhex(entry.pubkey[2:])
        history = histories.get(public_key, KeyHistory(public_key))
        for one in entry.signed_blocks:
            block = LastBlock(_number(one.slot), _root(one.signing_root))
            history = history.joined(KeyHistory(public_key, block=block))
        for vote in entry.signed_attestations:
            last = LastVote(_number(vote.source_epoch), _number(vote.target_epoch), _root(vote.signing_root))
            history = history.joined(KeyHistory(public_key, vote=last))
        histories[public_key] = history
    return tuple(histories[public_key] for public_key in sorted(histories))


def _without_duplicates(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """A JSON object. A reader that keeps one of two like names might keep the lower slot."""
    found = dict(pairs)
    if len(found) != len(pairs):
        raise InterchangeMalformed("a name comes twice in one object")
    return found


def _hex(value: bytes) -> str:
    return "0x" + value.hex()


def _root_json(root: bytes | None) -> dict[str, str]:
    return {} if root is None else {"signing_root": _hex(root)}


def _root(text: str | None) -> bytes | None:
    root = None if text is None else bytes.fromhex(text[2:])
    return None if root == bytes(DIGEST_BYTES) else root


def _number(text: str) -> int:
    value = int(text)
    if value > MAX_INTEGER:
        raise InterchangeMalformed(f"number {text}, expected at most {MAX_INTEGER}")
    return value
