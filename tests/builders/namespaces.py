"""Network namespaces for tests: hosts with an address each, on two switches joined by a trunk that can be cut.

    host 1 --\\                          /-- host 3
              switch left == trunk == switch right
    host 2 --/                          \\-- host 4

Everything is inside namespaces of its own: no address, route or device of this machine is touched, and nothing here
can be reached from outside. Needs root and iproute2.
"""

import ctypes
import os
import shutil
import subprocess
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

_CLONE_NEWNET = 0x4000_0000
_NAMESPACES = Path("/run/netns")


def unavailable() -> str:
    """Why there can be none here; empty when there can."""
    if os.geteuid() != 0:
        return "network namespaces need root"
    if shutil.which("ip") is None:
        return "iproute2 is not installed"
    probe = f"nx{os.getpid()}probe"
    try:
        _ip("netns", "add", probe)
    except subprocess.CalledProcessError as error:
        return f"no namespaces here: {error.stderr.strip()}"
    try:
        _ip("-n", probe, "link", "add", "bridge", "type", "bridge")
        _ip("-n", probe, "link", "add", "one", "type", "veth", "peer", "name", "other")
    except subprocess.CalledProcessError as error:
        return f"no bridge or veth here: {error.stderr.strip()}"
    finally:
        _ip("netns", "del", probe)
    return ""


def _ip(*arguments: str) -> None:
    subprocess.run(["ip", *arguments], check=True, capture_output=True, text=True, timeout=20)


def in_namespace(name: str, job: Callable[[], Any]) -> Any:
    """Run `job` on this thread with the network of a namespace; then the thread has its own network again."""
    libc = ctypes.CDLL(None, use_errno=True)
    with Path("/proc/thread-self/ns/net").open("rb") as own, (_NAMESPACES / name).open("rb") as other:
        _enter(libc, other.fileno())
        try:
            return job()
        finally:
            _enter(libc, own.fileno())


def _enter(libc: ctypes.CDLL, descriptor: int) -> None:
    if libc.setns(descriptor, _CLONE_NEWNET) != 0:
        raise OSError(ctypes.get_errno(), "setns failed")


class Network:
    """Made by `two_switches`. Hosts count from 1; host n has the address 10.77.0.n."""

    def __init__(self, prefix: str, hosts: int) -> None:
        self._prefix = prefix
        self.hosts = tuple(range(1, hosts + 1))
        self._hub = f"{prefix}hub"

    def namespace(self, host: int) -> str:
        """Its name."""
        return f"{self._prefix}h{host}"

    @staticmethod
    def address(host: int) -> str:
        """Of a host."""
        return f"10.77.0.{host}"

    def build(self) -> None:
        """Make it all."""
        _ip("netns", "add", self._hub)
        for side in ("left", "right"):
            _ip("-n", self._hub, "link", "add", side, "type", "bridge")
            _ip("-n", self._hub, "link", "set", side, "up")
        _ip("-n", self._hub, "link", "add", "trunk-l", "type", "veth", "peer", "name", "trunk-r")
        for end, side in (("trunk-l", "left"), ("trunk-r", "right")):
            _ip("-n", self._hub, "link", "set", end, "master", side, "up")
        for host in self.hosts:
            name = self.namespace(host)
            _ip("netns", "add", name)
            _ip(
                "-n", self._hub, "link", "add", f"port{host}", "type", "veth",
                "peer", "name", "eth0", "netns", name,
            )  # fmt: skip
            side = "left" if host <= len(self.hosts) // 2 else "right"
            _ip("-n", self._hub, "link", "set", f"port{host}", "master", side, "up")
            _ip("-n", name, "link", "set", "lo", "up")
            _ip("-n", name, "address", "add", f"{self.address(host)}/24", "dev", "eth0")
            _ip("-n", name, "link", "set", "eth0", "up")

    def remove(self) -> None:
        """Whatever of it exists."""
        for name in (self._hub, *(self.namespace(host) for host in self.hosts)):
            if (_NAMESPACES / name).exists():
                _ip("netns", "del", name)

    def cut_trunk(self) -> None:
        """The two halves hear nothing of each other."""
        _ip("-n", self._hub, "link", "set", "trunk-l", "down")

    def restore_trunk(self) -> None:
        """They do again."""
        _ip("-n", self._hub, "link", "set", "trunk-l", "up")

    def cut_host(self, host: int) -> None:
        """Pull its cable."""
        _ip("-n", self._hub, "link", "set", f"port{host}", "down")

    def restore_host(self, host: int) -> None:
        """Plug it in."""
        _ip("-n", self._hub, "link", "set", f"port{host}", "up")


@contextmanager
def two_switches(hosts: int) -> Iterator[Network]:
    """The network; removed at the end, whatever happened."""
    network = Network(f"nx{os.getpid()}", hosts)
    try:
        network.build()
        yield network
    finally:
        network.remove()


def command_prefix(network: Network, host: int) -> Sequence[str]:
    """Of a command that runs in the host."""
    return ("ip", "netns", "exec", network.namespace(host))
