"""Multiaddresses as text: who is dialled, where, in which neighbourhood. No name is resolved here.

    address = endpoint [ "/p2p/" peer ]
    endpoint = "/ip4/" dotted "/tcp/" port | "/ip6/" colons "/tcp/" port
             | ( "/dns/" | "/dns4/" | "/dns6/" ) name "/tcp/" port | "/memory/" name

`/memory` exists in the simulated network only.
"""

import re
from dataclasses import dataclass
from enum import Enum
from functools import lru_cache
from ipaddress import IPv4Address, IPv6Address, ip_address, ip_network

from p2p.errors import AddressMalformed
from p2p.network import PeerId

MAX_ADDRESS_CHARACTERS = 256
_NAME = re.compile(r"[A-Za-z0-9._-]{1,128}")
_PORT = re.compile(r"[0-9]{1,5}")

_LOOPBACK = tuple(ip_network(text) for text in ("127.0.0.0/8", "::1/128"))
_PRIVATE = tuple(
    ip_network(text)
    for text in (
        "0.0.0.0/8",
        "10.0.0.0/8",
        "100.64.0.0/10",
        "169.254.0.0/16",
        "172.16.0.0/12",
        "192.168.0.0/16",
        "::/128",
        "fc00::/7",
        "fe80::/10",
    )
)
# Written out instead of `ip_address.is_private`, which also holds the documentation ranges that tests of the group
# rules use and changes between Python versions.


class Scope(Enum):
    """How far an address reaches."""

    GLOBAL = "global"
    PRIVATE = "private"
    LOOPBACK = "loopback"
    MEMORY = "memory"
    NAME = "name"
    """A DNS name: only the operator may give one (bootstrap); never taken from a peer."""


@dataclass(frozen=True, slots=True)
class PeerAddress:
    """One parsed multiaddress."""

    endpoint: str
    """Without the /p2p/ part."""
    peer_id: PeerId | None
    host: IPv4Address | IPv6Address | None
    """None for names and /memory. An IPv4 address in IPv6 clothes (::ffff:a.b.c.d) is IPv4 here."""
    scope: Scope
    port: int | None
    """None for /memory."""


def parse_address(address: str) -> PeerAddress:
    """Errors: `AddressMalformed` for anything outside the grammar above or longer than 256 characters."""
    if len(address) > MAX_ADDRESS_CHARACTERS:
        raise AddressMalformed(address[:MAX_ADDRESS_CHARACTERS] + "…")
    endpoint, separator, peer_text = address.partition("/p2p/")
    if separator and not _NAME.fullmatch(peer_text):
        raise AddressMalformed(address)
    parts = endpoint.split("/")
    host, scope = _host_and_scope(address, parts)
    port = None if scope is Scope.MEMORY else int(parts[-1])
    return PeerAddress(endpoint=endpoint, peer_id=peer_text or None, host=host, scope=scope, port=port)


def _host_and_scope(address: str, parts: list[str]) -> tuple[IPv4Address | IPv6Address | None, Scope]:
    match parts:
        case ["", "memory", name] if _NAME.fullmatch(name):
            return None, Scope.MEMORY
        case ["", "dns" | "dns4" | "dns6", name, "tcp", port] if _NAME.fullmatch(name) and _is_port(port):
            return None, Scope.NAME
        case ["", "ip4" | "ip6" as family, text, "tcp", port] if _is_port(port) and "%" not in text:
            try:
                host = ip_address(text)
            except ValueError as error:
                raise AddressMalformed(address) from error
            if host.version != (4 if family == "ip4" else 6):
                raise AddressMalformed(address)
            if isinstance(host, IPv6Address) and host.ipv4_mapped is not None:
                host = host.ipv4_mapped
            return host, _scope_of_host(host)
        case _:
            raise AddressMalformed(address)


def _is_port(text: str) -> bool:
    return _PORT.fullmatch(text) is not None and 0 < int(text) <= 65535


def _scope_of_host(host: IPv4Address | IPv6Address) -> Scope:
    if any(host in network for network in _LOOPBACK):
        return Scope.LOOPBACK
    if any(host in network for network in _PRIVATE):
        return Scope.PRIVATE
    return Scope.GLOBAL


def ban_group(address: PeerAddress) -> str | None:
    """The neighbourhood that shares a ban: /24 of IPv4, /48 of IPv6, as text. None for loopback, private, /memory and
    names, which are exempt, or a devnet would refuse its own third node."""
    return _network_text(address, v4_bits=24, v6_bits=48)


def diversity_group(address: PeerAddress) -> str | None:
    """The neighbourhood that counts as one operator in the address table and among outbound peers: /16 of IPv4, /32 of
    IPv6 (what one provider is commonly given). None where `ban_group` gives None."""
    return _network_text(address, v4_bits=16, v6_bits=32)


def _network_text(address: PeerAddress, *, v4_bits: int, v6_bits: int) -> str | None:
    if address.host is None or address.scope is not Scope.GLOBAL:
        return None
    bits = v4_bits if address.host.version == 4 else v6_bits
    return str(ip_network((address.host, bits), strict=False))


@lru_cache(maxsize=1_024)
def ban_groups(endpoints: tuple[str, ...]) -> tuple[str, ...]:
    """The groups of a connected peer's addresses, sorted; addresses of other transports give none."""
    groups: list[str] = []
    for endpoint in endpoints:
        try:
            group = ban_group(parse_address(endpoint))
        except AddressMalformed:
            continue
        if group is not None and group not in groups:
            groups.append(group)
    return tuple(sorted(groups))


def scopes(endpoints: tuple[str, ...]) -> tuple[Scope, ...]:
    """The scopes of a connected peer's addresses, in their order; addresses of other transports give none."""
    found: list[Scope] = []
    for endpoint in endpoints:
        try:
            found.append(parse_address(endpoint).scope)
        except AddressMalformed:
            continue
    return tuple(found)


_REACHES: dict[Scope, tuple[Scope, ...]] = {
    Scope.GLOBAL: (Scope.GLOBAL,),
    Scope.PRIVATE: (Scope.GLOBAL, Scope.PRIVATE),
    Scope.LOOPBACK: (Scope.GLOBAL, Scope.PRIVATE, Scope.LOOPBACK),
    Scope.MEMORY: (Scope.GLOBAL, Scope.MEMORY),
    Scope.NAME: (Scope.GLOBAL,),
}


def may_exchange(address: PeerAddress, with_peer_at: tuple[Scope, ...]) -> bool:
    """Whether `address` may be told to, or believed from, a peer connected from addresses of these scopes. So a peer on
    the internet can neither learn our private network nor send us dialling into it."""
    return any(address.scope in _REACHES[scope] for scope in with_peer_at)


def is_at(address: PeerAddress, observed_endpoint: str) -> bool:
    """Whether `address` lies at the host that a connection comes from; its port may be another. False for names and for
    other transports. So nobody can send others dialling a third party in his own name."""
    try:
        observed = parse_address(observed_endpoint)
    except AddressMalformed:
        return False
    if observed.scope is Scope.MEMORY:
        return observed.endpoint == address.endpoint
    return observed.host is not None and observed.host == address.host
