"""What a signer is, and what tells one message from another.

A message's signing root is BLAKE2b-256 over exactly the bytes that are signed, under a tag of its own. Equal roots are
one message: signing it again gives the same signature.
"""

from typing import Final, Protocol

from consensus.blocks import Header, HeaderCore, block_preimage, core_id, encode_core
from consensus.errors import BandUnknown
from consensus.votes import Vote, VoteCore, vote_preimage
from ledger.hashing import digest, tagged
from node.signing.protection import KeyHistory
from wnsp.spectrum import BAND_COUNT, BANDS

_ROOT_TAG: Final = tagged("nexus/signing-root/v1")


class Signer(Protocol):
    """Who holds the validators' keys. Calls are synchronous, safe from any thread, and may block up to 2 s."""

    def probe(self) -> None:
        """Make sure that it answers. Errors: `SignerUnavailable`."""
        ...

    def histories(self) -> tuple[KeyHistory, ...]:
        """The keys that it signs with, each with what it signed last as far as is known; by public key. Never blocks
        on the network. Errors: `SigningRecordCorrupted`, and the store's."""
        ...

    def public_keys(self) -> tuple[bytes, ...]:
        """The keys that it signs with. Never blocks."""
        ...

    def sign_block(self, public_key: bytes, core: HeaderCore) -> Header:
        """The signed header. Errors: `SigningRefused`; `CodecError` for a core that is none; faults."""
        ...

    def sign_vote(self, public_key: bytes, core: VoteCore) -> Vote:
        """The signed vote. Errors: `SigningRefused`; `CodecError` for a core that is none; faults."""
        ...

    def reveal(self, public_key: bytes, generation: int, layers: int) -> bytes:
        """Layer `layers` of the key's onion of that generation, 32 bytes (`ledger.onion`). Errors: `SigningRefused`."""
        ...


def block_signing_root(core: HeaderCore, chain: bytes) -> bytes:
    """What tells this block's signature from any other, 32 bytes. `chain` is the genesis hash. Errors: `CodecError`."""
    if not 0 <= core.band < BAND_COUNT:
        raise BandUnknown(core.band, BAND_COUNT)
    raw = encode_core(core)
    return digest(_ROOT_TAG, block_preimage(chain, core_id(raw), BANDS[core.band].digest(raw)))


def vote_signing_root(core: VoteCore, chain: bytes) -> bytes:
    """What tells this vote's signature from any other, 32 bytes. `chain` is the genesis hash. Errors: `CodecError`."""
    return digest(_ROOT_TAG, vote_preimage(core, chain))
