"""Where the nodes of a chaos run stand, and how one of them is cut off from the database.

Each node has a network namespace of its own where the machine allows (root, `unshare`, `ip`): a pair of veths leads to the run's namespace, in which the
database, the providers and the clients are. A cut sends what goes to the database to nobody: no answer, no reset, as when a switch dies. Elsewhere each
node listens on a loopback address of its own and reaches the database through a relay that stops passing.
"""
from __future__ import annotations

import os
import shutil
import socket
import subprocess
import sys
import threading

WORLD, DATABASE = "10.77.100.1", "10.77.101.1"
NOBODY = "02:00:00:00:00:01"


def allowed() -> bool:
    return os.geteuid() == 0 and all(map(shutil.which, ("unshare", "nsenter", "ip"))) and subprocess.run(
        ["unshare", "--net", "ip", "link", "add", "v", "type", "veth", "peer", "name", "w"], capture_output=True).returncode == 0


def run_inside(argv: list[str]) -> None:
    """Goes on as the same program in a network namespace of its own, which goes with it."""
    os.execvp("unshare", ["unshare", "--net", "--", sys.executable, *argv, "--inside"])


def ip(*words: str, within: list[str] = ()) -> None:
    subprocess.run([*within, "ip", *words], check=True, capture_output=True)


class Namespaces:
    """Of this process, which `run_inside` has put into the run's own."""
    what = "each node in a network namespace of its own"
    world, database = WORLD, DATABASE

    def __init__(self, nodes: int):
        self.holders: list[subprocess.Popen] = []
        ip("link", "set", "lo", "up")
        for address in (WORLD, DATABASE):
            ip("address", "add", f"{address}/32", "dev", "lo")
        for n in range(nodes):
            self._add(n)

    def _add(self, n: int) -> None:
        holder = subprocess.Popen(["unshare", "--net", "cat"], stdin=subprocess.PIPE, stdout=subprocess.PIPE)      # ends with this process
        holder.stdin.write(b"there\n")
        holder.stdin.flush()
        holder.stdout.readline()
        self.holders.append(holder)
        ip("link", "add", f"v{n}", "type", "veth", "peer", "name", "eth0", "netns", str(holder.pid))
        for last in (2, 1):                           # who speaks to the node does so from the first
            ip("address", "add", f"10.77.{n}.{last}/24", "dev", f"v{n}")
        ip("link", "set", f"v{n}", "up")
        for words in (("link", "set", "lo", "up"), ("address", "add", f"{self.host(n)}/24", "dev", "eth0"), ("link", "set", "eth0", "up"),
                      ("route", "add", WORLD, "via", f"10.77.{n}.2"), ("route", "add", DATABASE, "via", f"10.77.{n}.1")):
            ip(*words, within=self.within(n))

    def within(self, n: int) -> list[str]:
        return ["nsenter", "--net", f"--target={self.holders[n].pid}", "--"]

    def host(self, n: int) -> str:
        return f"10.77.{n}.10"

    def url(self, n: int, name: str, ports: list[int]) -> str:
        return address([(DATABASE, p) for p in ports], name)

    def cut(self, n: int) -> None:
        ip("neigh", "replace", f"10.77.{n}.1", "lladdr", NOBODY, "dev", "eth0", "nud", "permanent", within=self.within(n))

    def heal(self, n: int) -> None:
        ip("neigh", "del", f"10.77.{n}.1", "dev", "eth0", within=self.within(n))

    def stop(self) -> None:
        for holder in self.holders:
            holder.kill()
            holder.wait()


class Loopback:
    what = "no network namespaces here: each node on a loopback address of its own, and a relay before the database"
    world = database = "127.0.0.1"

    def __init__(self, nodes: int):
        self.relays: list[dict[int, Relay]] = [{} for _ in range(nodes)]

    def within(self, n: int) -> list[str]:
        return []

    def host(self, n: int) -> str:
        return f"127.0.0.{10 + n}"

    def url(self, n: int, name: str, ports: list[int]) -> str:
        for port in ports:
            self.relays[n].setdefault(port, Relay(port))
        return address([("127.0.0.1", self.relays[n][port].port) for port in ports], name)

    def cut(self, n: int) -> None:
        for relay in self.relays[n].values():
            relay.passing.clear()

    def heal(self, n: int) -> None:
        for relay in self.relays[n].values():
            relay.passing.set()

    def stop(self) -> None:
        for relays in self.relays:
            for relay in relays.values():
                relay.listener.close()


def address(places: list[tuple[str, int]], name: str) -> str:
    """Of the server among them that takes writes, where there are several."""
    where = ",".join(f"{host}:{port}" for host, port in places)
    return f"postgres://ballast@{where}/{name}" + ("?target_session_attrs=read-write" if len(places) > 1 else "")


class Relay:
    """To a port of this machine, byte by byte, while it is `passing`."""

    def __init__(self, to: int):
        self.to, self.passing = to, threading.Event()
        self.passing.set()
        self.listener = socket.create_server(("127.0.0.1", 0), backlog=64)
        self.port = self.listener.getsockname()[1]
        threading.Thread(target=self._accept, daemon=True).start()

    def _accept(self) -> None:
        while True:
            try:
                near = self.listener.accept()[0]
            except OSError:
                return
            threading.Thread(target=self._join, args=(near,), daemon=True).start()

    def _join(self, near: socket.socket) -> None:
        self.passing.wait()
        try:
            far = socket.create_connection(("127.0.0.1", self.to), 5)
        except OSError:
            near.close()
            return
        far.settimeout(None)
        threading.Thread(target=self._pass, args=(far, near), daemon=True).start()
        self._pass(near, far)

    def _pass(self, a: socket.socket, b: socket.socket) -> None:
        try:
            while data := a.recv(1 << 16):
                self.passing.wait()
                b.sendall(data)
        except OSError:
            pass
        for s in (a, b):
            try:
                s.shutdown(socket.SHUT_RDWR)
            except OSError:
                pass
