"""The Merkle tree over a block's transactions, for light clients: a root, a path to it, and its check.

Shape as in RFC 6962, section 2.1: pairs from the left, a last one without a partner goes up unchanged. Nothing is ever
doubled, leaves and nodes hash under tags of their own, and the root binds the number of leaves: two different lists
never have one root (Bitcoin's CVE-2012-2459 was a doubled last leaf).
"""

from collections.abc import Sequence

from ledger.hashing import digest, tagged

_LEAF_TAG = tagged("nexus/body-leaf/v1")
_NODE_TAG = tagged("nexus/body-node/v1")
_ROOT_TAG = tagged("nexus/body-root/v1")

_COUNT_BYTES = 8


def body_root(transactions: Sequence[bytes]) -> bytes:
    """Root over the raw transactions in order: 32 bytes. An empty body has a root too."""
    level = [digest(_LEAF_TAG, raw) for raw in transactions]
    while len(level) > 1:
        level = _next_level(level)
    return _root(len(transactions), level[0] if level else b"")


def body_path(transactions: Sequence[bytes], position: int) -> tuple[bytes, ...]:
    """The partners on the way from the transaction at `position` to the root, lowest first (at most 12 of them)."""
    if not 0 <= position < len(transactions):
        raise IndexError(f"position {position}, the body has {len(transactions)} transactions")
    level = [digest(_LEAF_TAG, raw) for raw in transactions]
    partners = []
    while len(level) > 1:
        partner = position ^ 1
        if partner < len(level):
            partners.append(level[partner])
        level = _next_level(level)
        position >>= 1
    return tuple(partners)


def root_of_path(raw: bytes, position: int, count: int, path: Sequence[bytes]) -> bytes | None:
    """The body root that `path` proves for `raw` at `position` of `count`, or None when the path has another length.

    Equal to the header's `body_root` exactly when the block carries `raw` there.
    """
    if not 0 <= position < count:
        return None
    node = digest(_LEAF_TAG, raw)
    remaining = iter(path)
    width = count
    while width > 1:
        if position ^ 1 < width:
            partner = next(remaining, None)
            if partner is None:
                return None
            node = digest(_NODE_TAG, partner, node) if position & 1 else digest(_NODE_TAG, node, partner)
        width = (width + 1) >> 1
        position >>= 1
    if next(remaining, None) is not None:
        return None
    return _root(count, node)


def _next_level(level: list[bytes]) -> list[bytes]:
    paired = [digest(_NODE_TAG, level[at], level[at + 1]) for at in range(0, len(level) - 1, 2)]
    if len(level) & 1:
        paired.append(level[-1])
    return paired


def _root(count: int, top: bytes) -> bytes:
    return digest(_ROOT_TAG, count.to_bytes(_COUNT_BYTES, "big"), top)
