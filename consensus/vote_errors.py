"""What can be wrong with a vote or a certificate. One class per rule; the class name is the stable symbol.

`InvalidVote` holds for ever and is its sender's fault; the `VoteNotJudged` family is nobody's: the vote concerns what
this node does not know (any more, or yet).
"""

from consensus.errors import ConsensusError


class InvalidVote(ConsensusError):
    """The vote breaks a rule that no later knowledge can mend; its sender is penalised."""


class VoteSignatureInvalid(InvalidVote):
    """The signature is not the named validator's."""

    def __init__(self, validator: int, period: int) -> None:
        super().__init__(f"the vote for period {period} is not signed by validator {validator}")
        self.validator = validator
        self.period = period


class VoteLinkInvalid(InvalidVote):
    """A vote leads from an earlier period to a later one."""

    def __init__(self, source: int, target: int) -> None:
        super().__init__(f"source of period {source} is not before the target of period {target}")
        self.source = source
        self.target = target


class VoteTargetWrong(InvalidVote):
    """The target is not the checkpoint of its period."""

    def __init__(self, period: int, block: bytes) -> None:
        super().__init__(
            f"block {block.hex()[:16]} is not the checkpoint of target period {period} on this chain"
        )
        self.period = period
        self.block = block


class VoteSourceWrong(InvalidVote):
    """The source is not the checkpoint of its period on the target's chain."""

    def __init__(self, period: int, block: bytes) -> None:
        super().__init__(
            f"block {block.hex()[:16]} is not the checkpoint of source period {period} on this chain"
        )
        self.period = period
        self.block = block


class VoterUnknown(InvalidVote):
    """The validator is not in the set of the target's epoch."""

    def __init__(self, validator: int, epoch: int) -> None:
        super().__init__(f"validator {validator} is not in the set of epoch {epoch}")
        self.validator = validator
        self.epoch = epoch


class VoteBandWrong(InvalidVote):
    """The validator was dealt another band in the target's epoch."""

    def __init__(self, validator: int, found: int, expected: int) -> None:
        super().__init__(f"validator {validator} votes in band {found}, it was dealt band {expected}")
        self.found = found
        self.expected = expected


class VoteNotJudged(ConsensusError):
    """The vote cannot be judged here and now. Drop it, or ask again later; punish nobody."""


class VoteTargetUnknown(VoteNotJudged):
    """The target, the source or what gives their set is not known here (yet)."""

    def __init__(self, period: int, block: bytes) -> None:
        super().__init__(f"what vote target {block.hex()[:16]} of period {period} rests on is not known here")
        self.period = period
        self.block = block


class VoteTooOld(VoteNotJudged):
    """No block could carry the vote any more."""

    def __init__(self, found: int, oldest: int) -> None:
        super().__init__(f"vote for period {found}, votes count from period {oldest} on")
        self.found = found
        self.oldest = oldest


class VoteTooEarly(VoteNotJudged):
    """A vote for a period that has not begun."""

    def __init__(self, found: int, newest: int) -> None:
        super().__init__(f"vote for period {found}, the present one is {newest}")
        self.found = found
        self.newest = newest


class CertificateInvalid(ConsensusError):
    """The certificate does not prove what it claims."""

    def __init__(self, period: int, reason: str) -> None:
        super().__init__(f"certificate of period {period} refused: {reason}")
        self.period = period
        self.reason = reason
