"""The acts of trade: payments, messages, a token, a stake, a pool, swaps."""

from cli.story.formulas import NXT, message_units
from cli.story.stage import PATRON, validator_name
from cli.story.teller import Teller
from cli.story.world import POOL
from ledger.addresses import NXT_ASSET, pool_address, token_id
from ledger.batch_transfer import BATCH_TRANSFER, BatchTransfer, Leg
from ledger.economy.message_burn import MESSAGE, Message
from ledger.exchange.kinds import (
    LIQUIDITY_ADD,
    LIQUIDITY_REMOVE,
    POOL_CREATE,
    SWAP,
    LiquidityAdd,
    LiquidityRemove,
    PoolCreate,
    Swap,
)
from ledger.governance.voting import VOTE_DELEGATE, VoteDelegate
from ledger.staking.delegation_kinds import DELEGATE, Delegate
from ledger.tokens.kinds import (
    TOKEN_BURN,
    TOKEN_CREATE,
    TOKEN_TRANSFER,
    TokenBurn,
    TokenCreate,
    TokenTransfer,
)

FUNDS_NXT = {"ada": 600, "ben": 250, "cleo": 150}
VALIDATOR_NXT = 5
CAMPAIGNER_NXT = 120
TOKEN_DECIMALS = 2
SUPPLY = 1_000_000_00
MESSAGES = (("ada", 0, 3, 60), ("ben", 2, 1, 300), ("cleo", 5, 0, 1_000))
"""(who, region, priority, bytes)."""
FEE_BP = 30


def pay_the_cast(teller: Teller) -> None:
    """Everybody needs something to begin with."""
    teller.begin(f"{PATRON} pays the cast")
    paid = {name: units * NXT for name, units in FUNDS_NXT.items()}
    for place, index in enumerate(teller.validators):
        paid[validator_name(index)] = (VALIDATOR_NXT if place else CAMPAIGNER_NXT) * NXT
    legs = tuple(Leg(teller.address[name], units) for name, units in paid.items())
    teller.act(PATRON, BATCH_TRANSFER, BatchTransfer(legs))
    teller.tell(f"{len(legs)} legs, {teller.nxt(sum(paid.values()))} NXT, all or none")
    teller.settle()


def send_messages(teller: Teller) -> None:
    """Messages burn by length, region and priority, into the reserve."""
    teller.begin("messages burn NXT into TRANSITION_RESERVE")
    for name, region, priority, size in MESSAGES:
        units = message_units(region, priority, size, teller.world.policy.rise_ppm)
        content = f"{name} says: ".encode().ljust(size, b".")
        teller.send(name, MESSAGE, Message(region, priority, content, 2 * units))
        teller.tell(f"{name}: {size} bytes, region {region}, priority {priority}: {teller.nxt(units)} NXT")
    teller.accepted()
    teller.settle()


def make_a_token(teller: Teller) -> None:
    """A token of fixed supply: created, sent, burned; and more than one has cannot be burned."""
    symbol = teller.cast.symbol
    teller.begin(f"ada makes the token {symbol}")
    nonce = teller.chain.batch(
        [("ledger_getAccount", {"address": teller.chain.text(teller.address["ada"])})]
    )[0]["next_nonce"]
    token = token_id(teller.address["ada"], int(nonce))
    teller.act("ada", TOKEN_CREATE, TokenCreate(symbol, "A token of the story", TOKEN_DECIMALS, SUPPLY))
    teller.book.token = token.hex()
    teller.narrator.symbols["token"] = symbol
    teller.act("ada", TOKEN_TRANSFER, TokenTransfer(token, teller.address["ben"], 50_000_00, b"for a start"))
    teller.act("ada", TOKEN_BURN, TokenBurn(token, 1_000_00))
    teller.act("ben", TOKEN_BURN, TokenBurn(token, SUPPLY), refused="InsufficientTokens")
    teller.tell(f"token {teller.book.token}: 1,000,000 created, 50,000 sent to ben, 1,000 burned")
    teller.tell("ben burns more than he has: refused")
    teller.settle()


def stake_and_hand_over(teller: Teller) -> int:
    """cleo stakes, and lets ben vote for her; the epoch, because only older stake and words count later."""
    teller.begin("cleo stakes, and hands her vote to ben")
    index = teller.validators[0]
    teller.send("cleo", DELEGATE, Delegate(index, 50 * NXT))
    teller.send("cleo", VOTE_DELEGATE, VoteDelegate(teller.address["ben"]))
    teller.accepted()
    teller.tell(f"50 NXT staked on validator {index}; both count for proposals from two epochs on")
    teller.settle()
    return teller.world.epoch


def found_a_pool(teller: Teller) -> None:
    """A pool of NXT and the token, and a second provider."""
    teller.begin(f"a pool of NXT and {teller.cast.symbol}")
    token = bytes.fromhex(teller.book.token)
    teller.act("ada", POOL_CREATE, PoolCreate(NXT_ASSET, token, FEE_BP, 200 * NXT, 20_000_00))
    teller.act("ben", LIQUIDITY_ADD, LiquidityAdd(NXT_ASSET, token, 20 * NXT, 1_999_99, 1))
    teller.tell(f"pool {teller.chain.text(pool_address(NXT_ASSET, token))}")
    teller.tell("ada sets the price: 200 NXT and 20,000; ben adds 1,999.99 and the NXT that belong to them")
    teller.settle()
    teller.tell(
        f"{POOL} has {teller.world.pool.shares if teller.world.pool else 0} shares, 1,000 of them nobody's"
    )


def trade(teller: Teller) -> None:
    """Swaps in both directions, one that the price has left behind, and liquidity taken out."""
    teller.begin("swaps")
    symbol = teller.cast.symbol
    token = bytes.fromhex(teller.book.token)
    quote = teller.chain.node.call(
        "dex_quote", amount=str(10 * NXT), sell="NXT", buy=teller.book.token, slippage_ppm=10_000
    )
    bought = teller.act("cleo", SWAP, Swap((NXT_ASSET, token), 0, 10 * NXT, int(quote["min_out"])))
    got = bought.result["amount_out"]
    teller.tell(f"cleo: 10 NXT, quoted {int(quote['amount_out']) / 100:,.2f}, got {got / 100:,.2f} {symbol}")
    teller.require(got == int(quote["amount_out"]), "the swap gave something else than its quote")
    sold = teller.act("ben", SWAP, Swap((token, NXT_ASSET), 1, 5 * NXT, 10_000_00))
    teller.tell(f"ben: exactly 5 NXT for {sold.result['amount_in'] / 100:,.2f} {symbol}")
    teller.act("cleo", SWAP, Swap((NXT_ASSET, token), 0, NXT, got), refused="SlippageExceeded")
    teller.tell("cleo asks for as much again for a tenth: refused by the limit that she signed")
    teller.settle()
    held = teller.world.pool.positions["ben"] if teller.world.pool else 0
    teller.act("ben", LIQUIDITY_REMOVE, LiquidityRemove(NXT_ASSET, token, held // 2, 1, 1))
    teller.tell(f"ben takes {held // 2} of his {held} shares out, with their part of the fees")
    teller.settle()
