"""Signing with keys in this process. What may be signed is `node.signing.protection`'s to say, each time."""

import threading
from collections import OrderedDict
from collections.abc import Iterable
from typing import Final

from consensus.blocks import Header, HeaderCore, sign_header
from consensus.votes import Vote, VoteCore, sign_vote
from ledger.errors import NotEncodable
from ledger.keys import KeyPair
from ledger.onion import MAX_ONION_LAYERS, onion_layer, onion_secret
from ledger.storage.fail_points import fail_point
from node.signing.errors import KeyUnknown
from node.signing.protection import KeyHistory, SigningProtection
from node.signing.signer import block_signing_root, vote_signing_root

REVEALS_KEPT: Final = 256
"""An epoch's reveal is asked for with each of its blocks; a peel of a thick onion takes up to 50 ms."""


class LocalSigner:
    """Signs with keys that it holds, after the claim has reached the disk."""

    def __init__(self, keys: Iterable[KeyPair], protection: SigningProtection) -> None:
        """The chain is that of `protection`, whose store the caller closes after the last call here."""
        self._keys = {key.public_key: key for key in keys}
        self._protection = protection
        self._reveals: OrderedDict[tuple[bytes, int, int], bytes] = OrderedDict()
        self._reveals_lock = threading.Lock()

    def probe(self) -> None:
        """See `Signer`: it is always there."""

    def histories(self) -> tuple[KeyHistory, ...]:
        """See `Signer`."""
        return tuple(self._protection.history(public_key) for public_key in self.public_keys())

    def public_keys(self) -> tuple[bytes, ...]:
        """See `Signer`."""
        return tuple(sorted(self._keys))

    def sign_block(self, public_key: bytes, core: HeaderCore) -> Header:
        """See `Signer`."""
        key, chain = self._key(public_key), self._protection.genesis_hash
        self._protection.claim_block(public_key, core.slot, block_signing_root(core, chain))
        header = sign_header(core, key, chain)
        fail_point("signature_after")
        return header

    def sign_vote(self, public_key: bytes, core: VoteCore) -> Vote:
        """See `Signer`."""
        key, chain = self._key(public_key), self._protection.genesis_hash
        root = vote_signing_root(core, chain)
        self._protection.claim_vote(public_key, core.source.period, core.target.period, root)
        vote = sign_vote(core, key, chain)
        fail_point("signature_after")
        return vote

    def reveal(self, public_key: bytes, generation: int, layers: int) -> bytes:
        """See `Signer`. Errors: `KeyUnknown`, `NotEncodable` for an onion that cannot be."""
        if not 0 <= layers <= MAX_ONION_LAYERS or not 0 <= generation < 1 << 63:
            raise NotEncodable("onion layer", f"layer {layers} of generation {generation} of an onion")
        wanted = (public_key, generation, layers)
        key = self._key(public_key)
        with self._reveals_lock:
            found = self._reveals.get(wanted)
            if found is None:
                found = onion_layer(onion_secret(key.seed, generation), layers)
                self._reveals[wanted] = found
                if len(self._reveals) > REVEALS_KEPT:
                    self._reveals.popitem(last=False)
            return found

    def _key(self, public_key: bytes) -> KeyPair:
        key = self._keys.get(public_key)
        if key is None:
            raise KeyUnknown(public_key)
        return key
