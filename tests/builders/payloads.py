"""One or two payloads of every kind of the economy, for whoever mutates their bytes."""

from ledger.addresses import NXT_ASSET, pool_address
from ledger.economy.floor.attestation import CitizenAttest
from ledger.economy.floor.registration import CitizenRegister
from ledger.economy.floor.spending import FloorClaim, FloorSpend
from ledger.economy.message_burn import Message
from ledger.exchange.kinds import LiquidityAdd, LiquidityRemove, PoolCreate, Swap
from ledger.governance.actions import (
    KindPause,
    ParameterChange,
    Payment,
    RegistrarAdd,
    RegistrarRemove,
    SectorToken,
    TextOnly,
)
from ledger.governance.classes import BUDGET, CONSTITUTIONAL, EMERGENCY, PARAMETER, POLICY
from ledger.governance.proposals import CampaignCreate, ProposalCreate
from ledger.governance.voting import Ballot, Vote, VoteDelegate
from ledger.governed.parameters import POOL_FEE_BP, RESERVE_SHARE_PPM
from ledger.oracle.reports import OracleReport
from ledger.tokens.kinds import TokenBurn, TokenCreate, TokenTransfer

_TOKEN = bytes(range(1, 21))
_OTHER = bytes(range(101, 121))
_SOMEBODY = b"s" * 20
_HASH = bytes(range(32))

ECONOMY_PAYLOADS: dict[str, list[object]] = {
    "message": [Message(2, 1, b"the lake is open", 10**9), Message(5, 3, bytes(8_192), 10**14)],
    "token_create": [TokenCreate("TEA", "tea leaves", 2, 10**6), TokenCreate("A0", "ö" * 32, 18, 2**63 - 1)],
    "token_transfer": [
        TokenTransfer(_TOKEN, _SOMEBODY, 1, b""),
        TokenTransfer(_TOKEN, _SOMEBODY, 2**63 - 1, b"m"),
    ],
    "token_burn": [TokenBurn(_TOKEN, 200)],
    "pool_create": [PoolCreate(NXT_ASSET, _TOKEN, 30, 10**10, 10**6)],
    "liquidity_add": [LiquidityAdd(NXT_ASSET, _TOKEN, 10**10, 10**6, 1)],
    "liquidity_remove": [LiquidityRemove(_TOKEN, _OTHER, 10**6, 0, 1)],
    "swap": [Swap((NXT_ASSET, _TOKEN), 0, 10**9, 1), Swap((_TOKEN, NXT_ASSET, _OTHER), 1, 500, 2**62)],
    "citizen_attest": [CitizenAttest(_HASH, _SOMEBODY)],
    "citizen_register": [CitizenRegister(_HASH)],
    "floor_claim": [FloorClaim(0), FloorClaim(10**9)],
    "floor_spend": [FloorSpend(6, _SOMEBODY, 10**8)],
    "proposal_create": [
        ProposalCreate(POLICY, "open the lake", _HASH, TextOnly(), 10**9),
        ProposalCreate(POLICY, "a registrar", _HASH, RegistrarAdd(_SOMEBODY), 10**9),
        ProposalCreate(POLICY, "no registrar", _HASH, RegistrarRemove(_SOMEBODY), 10**9),
        ProposalCreate(BUDGET, "water's token", _HASH, SectorToken(1, _TOKEN), 2**40),
        ProposalCreate(BUDGET, "a bridge", _HASH, Payment(0, _SOMEBODY, 10**12), 10**9),
        ProposalCreate(
            PARAMETER, "more reserve", _HASH, ParameterChange(RESERVE_SHARE_PPM.number, b"", 2), 1
        ),
        ProposalCreate(
            PARAMETER,
            "a fee",
            _HASH,
            ParameterChange(POOL_FEE_BP.number, pool_address(NXT_ASSET, _TOKEN), 50),
            10**9,
        ),
        ProposalCreate(EMERGENCY, "stop swaps", _HASH, KindPause(33), 10**9),
        ProposalCreate(CONSTITUTIONAL, "for ever", _HASH, TextOnly(), 10**9),
    ],
    "campaign_create": [CampaignCreate(3, "warm houses", _HASH, 10**10)],
    "vote": [
        Vote(1, 1, (Ballot(_SOMEBODY, (0, 7, 70_000)),)),
        Vote(2**40, 2, (Ballot(_TOKEN, ()), Ballot(_SOMEBODY, tuple(range(16))))),
    ],
    "vote_delegate": [VoteDelegate(_SOMEBODY), VoteDelegate(b"")],
    "oracle_report": [OracleReport(3, 1, 300 * 10**12), OracleReport(0, 21, 1_000_000)],
}
