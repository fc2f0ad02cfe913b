"""Bans over a restart: the bytes that the node keeps beside its address book.

    saved = msgpack [1, saved_at_s, [[subject, remaining_s, reason], ...]]

Scores are not kept: only a ban is worth an attacker's restart of us. A ban ends by the time that passed on the wall
clock meanwhile; a clock that was set back never makes it longer than it was.
"""

from typing import Annotated, Literal

import msgspec

from p2p.errors import SavedBansMalformed
from p2p.peers import Ban, PeerBook

MAX_SUBJECT_CHARACTERS = 128
MAX_REASON_CHARACTERS = 300
MAX_SAVED_BANS = 4_096
"""As many as `peers.ScoreRules.max_bans`."""
MAX_SAVED_BYTES = MAX_SAVED_BANS * (MAX_SUBJECT_CHARACTERS + 4 * MAX_REASON_CHARACTERS + 24)
MAX_BAN_S = 10 * 366 * 86_400


class _SavedBan(msgspec.Struct, array_like=True, frozen=True, forbid_unknown_fields=True):
    subject: Annotated[str, msgspec.Meta(min_length=1, max_length=MAX_SUBJECT_CHARACTERS)]
    remaining_s: Annotated[int, msgspec.Meta(ge=1, le=MAX_BAN_S)]
    reason: Annotated[str, msgspec.Meta(max_length=MAX_REASON_CHARACTERS)]


class _SavedBans(msgspec.Struct, array_like=True, frozen=True, forbid_unknown_fields=True):
    version: Literal[1]
    saved_at_s: Annotated[int, msgspec.Meta(ge=0, le=2**53)]
    bans: Annotated[tuple[_SavedBan, ...], msgspec.Meta(max_length=MAX_SAVED_BANS)]


def save_bans(bans: tuple[Ban, ...], unix_s: float) -> bytes:
    """The bans in force (`PeerBook.bans`) at the wall clock's `unix_s`."""
    lines = tuple(
        _SavedBan(
            ban.subject, min(MAX_BAN_S, max(1, round(ban.remaining_s))), ban.reason[:MAX_REASON_CHARACTERS]
        )
        for ban in bans[:MAX_SAVED_BANS]
        if len(ban.subject) <= MAX_SUBJECT_CHARACTERS
    )
    return msgspec.msgpack.encode(_SavedBans(1, max(0, int(unix_s)), lines))


def restore_bans(data: bytes, book: PeerBook, *, now_s: float, unix_s: float) -> int:
    """Put what is left of the saved bans into `book`; how many that are. `now_s` is the clock of the book, `unix_s` the
    wall clock. Errors: `SavedBansMalformed`."""
    if len(data) > MAX_SAVED_BYTES:
        raise SavedBansMalformed(f"{len(data)} bytes, the limit is {MAX_SAVED_BYTES}")
    try:
        saved = msgspec.msgpack.decode(data, type=_SavedBans)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
        raise SavedBansMalformed(str(error)) from error
    away_s = max(0.0, unix_s - saved.saved_at_s)
    in_force = [line for line in saved.bans if line.remaining_s > away_s]
    for line in in_force:
        book.ban(line.subject, now_s, reason=line.reason, duration_s=line.remaining_s - away_s)
    return len(in_force)
