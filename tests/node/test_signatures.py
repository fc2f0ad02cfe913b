"""Signatures are verified in chunks, once each, and never believed."""

import msgspec
import pytest
import trio
from builders.wallets import RULES, key_number, transfer

from ledger.errors import SignatureInvalid
from ledger.rules import ChainRules
from ledger.transactions import SignedTransaction
from node.env import InlineWorkers, ThreadWorkers
from node.signatures import CHUNK, INLINE_BELOW, SignatureVerifier


class CountingWorkers(InlineWorkers):
    def __init__(self) -> None:
        self.jobs = 0

    async def run_verifier(self, job):  # type: ignore[no-untyped-def]
        self.jobs += 1
        return await super().run_verifier(job)


def forged(transaction: SignedTransaction) -> SignedTransaction:
    """Another id, a signature that is not the key's."""
    other = transfer(key_number(77), transaction.body.nonce)
    body = msgspec.structs.replace(transaction.body, signature=other.body.signature)
    raw = transaction.raw[:-64] + other.body.signature
    return msgspec.structs.replace(transaction, raw=raw, body=body, id=raw[-32:])


async def test_few_are_verified_where_they_are() -> None:
    workers = CountingWorkers()
    verifier = SignatureVerifier(workers, RULES)
    await verifier.verify_all([transfer(key_number(1), nonce) for nonce in range(INLINE_BELOW - 1)])
    assert workers.jobs == 0 and verifier.verified == INLINE_BELOW - 1


async def test_many_are_verified_in_chunks() -> None:
    workers = CountingWorkers()
    verifier = SignatureVerifier(workers, RULES)
    await verifier.verify_all([transfer(key_number(1), nonce) for nonce in range(2 * CHUNK + 1)])
    assert workers.jobs == 3


async def test_what_verified_once_is_not_verified_again() -> None:
    verifier = SignatureVerifier(InlineWorkers(), RULES)
    offers = [transfer(key_number(1), nonce) for nonce in range(5)]
    await verifier.verify_all(offers)
    await verifier.verify_all(offers)
    assert verifier.verified == verifier.hits == 5


async def test_the_cache_is_bounded_and_forgets_the_oldest() -> None:
    verifier = SignatureVerifier(InlineWorkers(), RULES, cache=4)
    offers = [transfer(key_number(1), nonce) for nonce in range(5)]
    await verifier.verify_all(offers)
    assert [verifier.knows(one.id) for one in offers] == [False, True, True, True, True]


@pytest.mark.parametrize("count", [4, 100])
async def test_each_forgery_is_named_and_never_cached(count: int) -> None:
    verifier = SignatureVerifier(ThreadWorkers(2), RULES)
    offers = [transfer(key_number(1), nonce) for nonce in range(count)]
    offers[count // 2] = forged(offers[count // 2])
    for _ in range(2):
        results = await verifier.verify_each(offers)
        assert [at for at, valid in enumerate(results) if not valid] == [count // 2]
    with pytest.raises(SignatureInvalid):
        await verifier.verify_all(offers)


async def test_L1_a_signature_for_another_chain_is_refused() -> None:
    verifier = SignatureVerifier(InlineWorkers(), ChainRules("test-chain", bytes(32), "dnxt"))
    assert await verifier.verify_each([transfer(key_number(1), 0)]) == (False,)


async def test_the_loop_goes_on_while_threads_verify() -> None:
    verifier = SignatureVerifier(ThreadWorkers(1), RULES)
    offers = [transfer(key_number(1), nonce) for nonce in range(3 * CHUNK)]
    turns = 0

    async def turn() -> None:
        nonlocal turns
        while True:
            await trio.lowlevel.checkpoint()
            turns += 1

    async with trio.open_nursery() as nursery:
        nursery.start_soon(turn)
        await verifier.verify_all(offers)
        nursery.cancel_scope.cancel()
    assert turns > 3
