"""Who may report what, and which reports are kept."""

from itertools import permutations

import msgspec
import pytest
from builders.staking import NXT, StakingChain

from ledger.errors import PayloadInvalid
from ledger.oracle.feeds import DEMAND_FEEDS, FEEDS, GLOBAL_DEBT_USD, NXT_USD
from ledger.oracle.records import (
    REPORTS_CODEC,
    Report,
    read_outliers,
    read_reports,
    reports_key,
)
from ledger.oracle.reports import ORACLE_REPORT, OracleReport, check_report
from ledger.staking.records import JAILED, write_validator
from ledger.staking.validator_kinds import ValidatorExit
from ledger.state import Overlay

DEBT = 300 * 10**12


def reports(chain: StakingChain, feed: int = 1) -> list[tuple[int, int]]:
    return [
        (index, one.value)
        for index in range(len(chain.owners))
        for one in read_reports(chain.reader, index)
        if one.feed == feed
    ]


def test_owner_and_consensus_key_may_report() -> None:
    chain = StakingChain()
    chain.give(chain.validator_keys[1], NXT)
    assert chain.send(chain.owners[0], "oracle_report", OracleReport(0, 1, DEBT)) == ""
    assert chain.send(chain.validator_keys[1], "oracle_report", OracleReport(1, 1, DEBT + 1)) == ""
    assert reports(chain) == [(0, DEBT), (1, DEBT + 1)]
    assert chain.faults() == ()


def test_nobody_else_may_report() -> None:
    chain = StakingChain()
    assert chain.send(chain.accounts[0], "oracle_report", OracleReport(0, 1, DEBT)) == "NotValidatorsKey"
    assert chain.send(chain.owners[1], "oracle_report", OracleReport(0, 1, DEBT)) == "NotValidatorsKey"
    assert chain.send(chain.owners[1], "oracle_report", OracleReport(9, 1, DEBT)) == "UnknownValidator"
    assert reports(chain) == []


def test_later_report_of_an_epoch_replaces_the_earlier() -> None:
    chain = StakingChain()
    chain.send(chain.owners[0], "oracle_report", OracleReport(0, 1, DEBT))
    chain.send(chain.owners[0], "oracle_report", OracleReport(0, 1, DEBT + 7))
    assert reports(chain) == [(0, DEBT + 7)]


def test_reports_of_feeds_are_apart() -> None:
    chain = StakingChain()
    chain.send(chain.owners[0], "oracle_report", OracleReport(0, 1, DEBT))
    chain.send(chain.owners[0], "oracle_report", OracleReport(0, 2, 12_345))
    assert (reports(chain, 1), reports(chain, 2)) == ([(0, DEBT)], [(0, 12_345)])


def test_validator_that_has_left_reports_no_more() -> None:
    chain = StakingChain()
    chain.send(chain.owners[0], "validator_exit", ValidatorExit(0))
    assert chain.send(chain.owners[0], "oracle_report", OracleReport(0, 1, DEBT)) == "ValidatorInactive"


def test_jailed_validator_reports_no_more() -> None:
    chain = StakingChain()
    overlay = Overlay(chain.reader)
    write_validator(overlay, msgspec.structs.replace(chain.validator(0), status=JAILED))
    chain.apply(overlay.changes())
    assert chain.send(chain.owners[0], "oracle_report", OracleReport(0, 1, DEBT)) == "ValidatorInactive"


def test_value_out_of_bounds_is_refused_in_isolation() -> None:
    rules = StakingChain().rules
    for feed in FEEDS:
        for value in (feed.least, feed.greatest):
            check_report(OracleReport(0, feed.number, value), rules)
        for value in (feed.least - 1, feed.greatest + 1):
            with pytest.raises(PayloadInvalid, match=f"{feed.name} is {value} .* expected {feed.least} to"):
                check_report(OracleReport(0, feed.number, value), rules)


def test_unknown_feed_is_refused_in_isolation() -> None:
    rules = StakingChain().rules
    for number in (0, 3, 9, 22, 2**63 - 1):
        with pytest.raises(PayloadInvalid, match=f"no feed {number}; known: 1, 2, 10, 11,"):
            check_report(OracleReport(0, number, 1_000_000), rules)


def test_feeds_have_the_numbers_and_bounds_of_the_specification() -> None:
    assert [feed.number for feed in FEEDS] == [1, 2, *range(10, 22)]
    assert (GLOBAL_DEBT_USD.least, GLOBAL_DEBT_USD.greatest) == (10**12, 10**17)
    assert (NXT_USD.least, NXT_USD.greatest) == (1, 10**15)
    assert {(feed.least, feed.greatest) for feed in DEMAND_FEEDS} == {(100_000, 10_000_000)}
    assert DEMAND_FEEDS[4].name == "demand_food"
    assert all(feed.greatest < 2**63 for feed in FEEDS)


def test_record_of_all_feeds_fits_its_greatest_size() -> None:
    widest = tuple(Report(feed.number, 2**63 - 1) for feed in FEEDS)
    assert REPORTS_CODEC.decode(REPORTS_CODEC.encode(widest)) == widest


def test_report_touches_no_more_records_than_it_pays_for() -> None:
    chain = StakingChain()
    transaction = chain.signed(chain.owners[0], "oracle_report", OracleReport(0, 1, DEBT))
    overlay = Overlay(chain.reader)
    ORACLE_REPORT.apply(overlay, transaction, transaction.payload, chain.context())
    assert list(overlay.changes()) == [reports_key(0)]
    assert ORACLE_REPORT.touches(transaction.payload) == 1


def test_reports_in_any_order_give_equal_bytes() -> None:
    states = set()
    for order in permutations(range(3)):
        chain = StakingChain()
        for index in order:
            chain.send(chain.owners[index], "oracle_report", OracleReport(index, 1, DEBT + index))
        chain.go_to(1)
        states.add(tuple(sorted((key, value) for key, value in chain.state.items() if key[:1] == b"o")))
        assert read_outliers(chain.reader, 0) is None
    assert len(states) == 1
