"""The ledger's own kinds of transactions, as a registry that packages above extend."""

from ledger.batch_transfer import BATCH_TRANSFER
from ledger.economy.floor.attestation import CITIZEN_ATTEST
from ledger.economy.floor.registration import CITIZEN_REGISTER
from ledger.economy.floor.spending import FLOOR_CLAIM, FLOOR_SPEND
from ledger.economy.message_burn import MESSAGE
from ledger.exchange.kinds import EXCHANGE_KINDS
from ledger.governance.proposals import CAMPAIGN_CREATE, PROPOSAL_CREATE
from ledger.governance.voting import VOTE, VOTE_DELEGATE
from ledger.oracle.reports import ORACLE_REPORT
from ledger.registry import Kind, KindRegistry, Rejected
from ledger.staking.delegation_kinds import DELEGATE, UNDELEGATE, WITHDRAW
from ledger.staking.validator_kinds import (
    COMMISSION_SET,
    KEY_ROTATE,
    ONION_RENEW,
    UNJAIL,
    VALIDATOR_EXIT,
    VALIDATOR_REGISTER,
)
from ledger.tokens.kinds import TOKEN_KINDS
from ledger.transfer import TRANSFER

__all__ = ["Kind", "KindRegistry", "Rejected", "ledger_kinds"]


def ledger_kinds() -> KindRegistry:
    """Money: 1 to 3. Staking: 10 to 18. Tokens: 20 to 22. Exchange: 30 to 33. Floor: 40 to 43. Governance: 50 to 53."""
    return KindRegistry(
        (
            TRANSFER,
            BATCH_TRANSFER,
            MESSAGE,
            VALIDATOR_REGISTER,
            DELEGATE,
            UNDELEGATE,
            WITHDRAW,
            COMMISSION_SET,
            ONION_RENEW,
            KEY_ROTATE,
            VALIDATOR_EXIT,
            UNJAIL,
            *TOKEN_KINDS,
            *EXCHANGE_KINDS,
            CITIZEN_ATTEST,
            CITIZEN_REGISTER,
            FLOOR_CLAIM,
            FLOOR_SPEND,
            ORACLE_REPORT,
            PROPOSAL_CREATE,
            CAMPAIGN_CREATE,
            VOTE,
            VOTE_DELEGATE,
        )
    )
