"""Multiaddresses as text: grammar, scope, groups, what may be exchanged."""

import random

import pytest

from p2p.addresses import (
    Scope,
    ban_group,
    ban_groups,
    diversity_group,
    is_at,
    may_exchange,
    parse_address,
    scopes,
)
from p2p.errors import AddressMalformed


def test_an_address_is_taken_apart() -> None:
    parsed = parse_address("/ip4/203.0.113.7/tcp/4001/p2p/12D3KooW")
    assert (parsed.endpoint, parsed.peer_id, parsed.port) == ("/ip4/203.0.113.7/tcp/4001", "12D3KooW", 4001)
    assert (str(parsed.host), parsed.scope) == ("203.0.113.7", Scope.GLOBAL)


@pytest.mark.parametrize(
    ("address", "scope"),
    [
        ("/ip4/8.8.8.8/tcp/1", Scope.GLOBAL),
        ("/ip4/127.9.9.9/tcp/1", Scope.LOOPBACK),
        ("/ip4/172.31.0.1/tcp/1", Scope.PRIVATE),
        ("/ip4/172.32.0.1/tcp/1", Scope.GLOBAL),
        ("/ip4/0.0.0.0/tcp/1", Scope.PRIVATE),
        ("/ip6/::1/tcp/1", Scope.LOOPBACK),
        ("/ip6/::ffff:127.0.0.1/tcp/1", Scope.LOOPBACK),
        ("/ip6/2001:db8::1/tcp/1", Scope.GLOBAL),
        ("/dns4/node.example.org/tcp/1", Scope.NAME),
        ("/memory/a", Scope.MEMORY),
    ],
)
def test_every_address_has_a_scope(address: str, scope: Scope) -> None:
    assert parse_address(address).scope is scope


@pytest.mark.parametrize(
    "address",
    [
        "",
        "/",
        "ip4/1.2.3.4/tcp/1",
        "/ip4/1.2.3.4",
        "/ip4/1.2.3.4/tcp/",
        "/ip4/1.2.3.4/tcp/0",
        "/ip4/1.2.3.4/tcp/65536",
        "/ip4/1.2.3.4/tcp/-1",
        "/ip4/1.2.3.4/tcp/1/",
        "/ip4/1.2.3.4/tcp/1/p2p/",
        "/ip4/1.2.3.4/tcp/1/p2p/a/b",
        "/ip4/1.2.3.4/tcp/1/p2p/ä",
        "/ip4/1.2.3.4/tcp/١",
        "/ip4/01.2.3.4/tcp/1",
        "/ip4/::1/tcp/1",
        "/ip6/1.2.3.4/tcp/1",
        "/ip6/fe80::1%eth0/tcp/1",
        "/ip4/1.2.3.4/udp/1",
        "/memory/",
        "/memory/a b",
        "/dns4/" + "a" * 300 + "/tcp/1",
    ],
)
def test_what_is_outside_the_grammar_is_malformed(address: str) -> None:
    with pytest.raises(AddressMalformed):
        parse_address(address)


def test_C1_random_text_gives_an_address_or_a_malformed_one() -> None:
    rng = random.Random(1)
    pieces = [
        "/ip4/",
        "/ip6/",
        "/tcp/",
        "/p2p/",
        "/memory/",
        "/dns4/",
        "1.2.3.4",
        "::1",
        "80",
        "a",
        "%",
        "\0",
        "/",
        "٣",
    ]
    for _ in range(20_000):
        text = "".join(rng.choice(pieces) for _ in range(rng.randrange(7)))
        try:
            parse_address(text)
        except AddressMalformed:
            continue


def test_ban_and_diversity_groups_are_networks() -> None:
    parsed = parse_address("/ip4/203.0.113.7/tcp/1")
    assert (ban_group(parsed), diversity_group(parsed)) == ("203.0.113.0/24", "203.0.0.0/16")
    parsed = parse_address("/ip6/2001:db8:1:2::1/tcp/1")
    assert (ban_group(parsed), diversity_group(parsed)) == ("2001:db8:1::/48", "2001:db8::/32")


def test_groups_of_a_peer_are_sorted_and_skip_other_transports() -> None:
    endpoints = ("/ip4/203.0.113.7/tcp/1", "/ip4/198.51.100.1/tcp/1", "/ip4/203.0.113.8/tcp/1", "/quic/what")
    assert ban_groups(endpoints) == ("198.51.100.0/24", "203.0.113.0/24")
    assert scopes(endpoints) == (Scope.GLOBAL,) * 3


@pytest.mark.parametrize(
    ("address", "peer", "allowed"),
    [
        ("/ip4/127.0.0.1/tcp/1", "/ip4/127.0.0.1/tcp/2", True),
        ("/ip4/127.0.0.1/tcp/1", "/ip4/10.0.0.1/tcp/2", False),
        ("/ip4/127.0.0.1/tcp/1", "/ip4/8.8.8.8/tcp/2", False),
        ("/ip4/10.0.0.1/tcp/1", "/ip4/127.0.0.1/tcp/2", True),
        ("/ip4/10.0.0.1/tcp/1", "/ip4/192.168.0.1/tcp/2", True),
        ("/ip4/10.0.0.1/tcp/1", "/ip4/8.8.8.8/tcp/2", False),
        ("/ip4/8.8.4.4/tcp/1", "/ip4/8.8.8.8/tcp/2", True),
        ("/ip4/8.8.4.4/tcp/1", "/ip4/127.0.0.1/tcp/2", True),
        ("/memory/a", "/memory/b", True),
        ("/memory/a", "/ip4/8.8.8.8/tcp/2", False),
        ("/dns4/example.org/tcp/1", "/ip4/8.8.8.8/tcp/2", False),
    ],
)
def test_an_address_goes_only_where_it_means_the_same(address: str, peer: str, allowed: bool) -> None:
    assert may_exchange(parse_address(address), scopes((peer,))) is allowed


@pytest.mark.parametrize(
    ("address", "observed", "there"),
    [
        ("/ip4/203.0.113.7/tcp/4001/p2p/a", "/ip4/203.0.113.7/tcp/55555", True),
        ("/ip4/203.0.113.7/tcp/4001/p2p/a", "/ip6/::ffff:203.0.113.7/tcp/55555", True),
        ("/ip6/2001:db8::1/tcp/4001/p2p/a", "/ip6/2001:db8::1/tcp/55555", True),
        ("/ip4/203.0.113.8/tcp/4001/p2p/a", "/ip4/203.0.113.7/tcp/55555", False),
        ("/memory/x/p2p/a", "/memory/x", True),
        ("/memory/y/p2p/a", "/memory/x", False),
        ("/ip4/203.0.113.7/tcp/4001/p2p/a", "/memory/x", False),
        ("/dns4/example.org/tcp/1/p2p/a", "/dns4/example.org/tcp/1", False),
        ("/ip4/203.0.113.7/tcp/4001/p2p/a", "/quic/what", False),
    ],
)
def test_an_address_is_at_the_host_that_a_connection_comes_from(
    address: str, observed: str, there: bool
) -> None:
    assert is_at(parse_address(address), observed) is there
