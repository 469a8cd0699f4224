"""`ballast top` in a real terminal: it starts, follows what happens, takes the window's size as it changes, quits, and leaves the terminal as it was."""
from __future__ import annotations

import fcntl
import json
import os
import pty
import re
import select
import signal
import struct
import subprocess
import termios
import threading
import time

import pytest

from support.configs import one_provider
from support.gateway import ADMIN_KEY, APP_KEY, binary

ENTER, LEAVE = b"\x1b[?1049h", b"\x1b[?1049l"
ALLOWED = re.compile(rb"\x1b\[(\?1049[hl]|\?25[hl]|\?7[hl]|2J|H|K|J|[0-9;]*m)")


class Terminal:
    """A program on a pseudo-terminal of a given size; what it wrote, and what its screen shows."""

    def __init__(self, g, *args: str, rows: int = 40, columns: int = 120, env: dict | None = None):
        self.master, slave = pty.openpty()
        self.size(rows, columns)
        self.before = termios.tcgetattr(slave)
        self.process = subprocess.Popen([binary(), *args], stdin=slave, stdout=slave, stderr=subprocess.PIPE, cwd=g.folder, start_new_session=True,
                                        env=g.env | {"BALLAST_ADMIN_KEY": ADMIN_KEY, "TERM": "xterm"} | (env or {}))
        self.slave = slave
        self.written = b""

    def size(self, rows: int, columns: int) -> None:
        fcntl.ioctl(self.master, termios.TIOCSWINSZ, struct.pack("HHHH", rows, columns, 0, 0))

    def resize(self, rows: int, columns: int) -> None:
        self.size(rows, columns)
        self.process.send_signal(signal.SIGWINCH)

    def read_for(self, seconds: float) -> bytes:
        end, got = time.monotonic() + seconds, b""
        while (left := end - time.monotonic()) > 0:
            if select.select([self.master], [], [], min(left, 0.1))[0]:
                got += os.read(self.master, 65536)
        self.written += got
        return got

    def until(self, what: str, seconds: float = 30) -> list[str]:
        """The first frame that has it."""
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            self.read_for(0.2)
            frame = self.frame()
            if any(what in line for line in frame):
                return frame
        raise AssertionError(f"{what!r} was never shown:\n" + "\n".join(self.frame()))

    def frame(self) -> list[str]:
        """The last whole frame, without its colours."""
        frames = self.written.split(b"\x1b[H")[1:]
        whole = [f for f in frames if f.endswith(b"\x1b[J") or b"\x1b[J" in f]
        if not whole:
            return []
        text = re.sub(rb"\x1b\[[0-9;]*m", b"", whole[-1].split(b"\x1b[J")[0]).replace(b"\x1b[K", b"").decode()
        return [line.rstrip("\r") for line in text.split("\n")]

    def wait(self, seconds: float = 20) -> int:
        end = time.monotonic() + seconds
        while self.process.poll() is None and time.monotonic() < end:
            self.read_for(0.1)
        self.read_for(0.2)
        return self.process.wait(1)

    def assert_restored(self) -> None:
        assert self.written.count(ENTER) == 1 and self.written.count(LEAVE) == 1, self.written[-200:]
        assert self.written.rindex(b"\x1b[?25h") > self.written.rindex(b"\x1b[?25l")
        assert termios.tcgetattr(self.slave) == self.before
        rest = ALLOWED.sub(b"", self.written)
        assert b"\x1b" not in rest, rest[:400]


@pytest.fixture
def busy(upstream, gateway):
    """A gateway that is asked all the time, by a user whose name is an attack, and one budget."""
    g = gateway(one_provider(upstream, budgets=[{"name": "evil\x1b]0;owned\x07", "scope": "system", "amount": "$5", "per": "day"}]))
    over = threading.Event()

    def ask():
        while not over.is_set():
            try:
                g.app.chat("chat", max_tokens=10, user="\x1b[31mred")
            except (OSError, EOFError):
                pass                                     # a test has killed it
            time.sleep(0.02)

    thread = threading.Thread(target=ask, daemon=True)
    thread.start()
    yield g
    over.set()
    thread.join(30)


def rate(frame: list[str]) -> float:
    return float(re.search(r"([0-9.]+) calls/s", "\n".join(frame))[1])


def test_it_follows_takes_the_windows_size_and_quits(busy):
    t = Terminal(busy, "top", "--interval", "0.3")
    t.until("p50 ")
    t.until("evil?")
    frame = t.until("calls/s")
    assert rate(frame) > 0, frame
    assert any("evil?]0;owned?" in line for line in frame), frame
    assert any(line.startswith("breakers   1 closed, 0 open") for line in frame), frame
    assert all(len(line) <= 120 for line in frame) and len(frame) <= 40
    t.read_for(0.5)
    t.resize(6, 30)
    t.read_for(0.2)
    small = t.frame()
    assert len(small) <= 6 and all(len(line) <= 30 for line in small), small
    t.resize(40, 100)
    t.read_for(0.2)
    assert len(t.frame()) > 6
    os.write(t.master, b"q")
    assert t.wait() == 0, t.process.stderr.read()
    t.assert_restored()


def test_keys_pause_help_scroll_and_change_the_range(busy):
    t = Terminal(busy, "top", "--interval", "0.3", rows=14, columns=80)
    t.until("last 1 h ")
    t.until("more lines above")
    os.write(t.master, b"\x1b[B\x1b[B")
    t.until("  2 more lines above")
    os.write(t.master, b"k")
    t.until("  1 more lines above")
    os.write(t.master, b"\x1b[C")
    t.until("last 6 h ")
    os.write(t.master, b"\x1b[D\x1b[D")
    t.until("last 15 min ")
    os.write(t.master, b"?")
    t.until("a shorter or a longer range")
    os.write(t.master, b"?p")
    t.until("PAUSED")
    t.read_for(0.5)
    still = t.frame()[0]
    t.read_for(1.5)
    assert t.frame()[0] == still, "its clock stands"
    os.write(t.master, b"p")
    t.read_for(1.5)
    assert t.frame()[0] != still and "PAUSED" not in t.frame()[0]
    os.write(t.master, b"q")
    assert t.wait() == 0
    t.assert_restored()


def test_it_says_which_key_it_wants(busy):
    for key in (APP_KEY, "sk-ballast-nobody-knows-this-key-0000000000"):
        refused = busy.command("top", "--key", key, check=False)
        assert refused.returncode == 1 and refused.stdout == "" and "/api/overview" in refused.stderr and "key of scope read" in refused.stderr and "--key" in refused.stderr, refused.stderr
    made = busy.admin.post("/api/keys", {"name": "looks", "scopes": ["read"]}).json()["secret"]
    assert "calls/s" in busy.command("top", "--key", made).stdout
    assert busy.command("top", "--range", "yesterday", check=False).returncode == 2 and busy.command("top", "--range", "1s", check=False).returncode == 2


@pytest.mark.parametrize("end", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_a_signal_restores_the_terminal(busy, end):
    t = Terminal(busy, "top", "--interval", "0.3", env={"NO_COLOR": "1"})
    t.until("latency")
    t.process.send_signal(end)
    assert t.wait() == 0
    t.assert_restored()
    assert not re.search(rb"\x1b\[[0-9;]*m", t.written), "NO_COLOR"


def test_the_server_may_go_away_and_come_back(busy):
    t = Terminal(busy, "top", "--interval", "0.3")
    t.until("p50 ")
    busy.kill()
    t.until("no newer figures", 60)
    busy.start()
    end = time.monotonic() + 60
    while any("no newer figures" in line for line in t.frame()) and time.monotonic() < end:
        t.read_for(0.5)
    assert not any("no newer figures" in line for line in t.frame()), t.frame()
    os.write(t.master, b"q")
    assert t.wait() == 0
    t.assert_restored()


def test_without_a_terminal_it_is_one_look_or_lines(busy):
    once = busy.command("top", "--interval", "0.5")
    assert "calls " in once.stdout and "\x1b" not in once.stdout, once.stdout
    line = json.loads(busy.command("top", "--interval", "0.5", "--once", "--json").stdout)
    assert line["live"]["calls_per_second"] > 0 and line["live"]["latency_ms_p95"] > 0 and [b["state"] for b in line["breakers"]] == ["closed"]
    assert line["overview"].keys() == busy.admin.get("/api/overview").json().keys(), "the answer as it was"
    lines = subprocess.Popen([binary(), "top", "--json", "--interval", "0.2"], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, cwd=busy.folder,
                             env=busy.env | {"BALLAST_ADMIN_KEY": ADMIN_KEY})
    got = [json.loads(lines.stdout.readline()) for _ in range(3)]
    lines.terminate()
    assert lines.wait(20) == 0 and [g["at"] for g in got] == sorted({g["at"] for g in got})
    away = busy.command("top", "--server", "http://127.0.0.1:9", check=False)
    assert away.returncode == 1 and away.stdout == ""


def test_a_table_is_cut_to_the_window_and_whole_in_a_pipe(busy):
    name = "n" * 100
    assert busy.admin.post("/api/keys", {"name": name, "scopes": ["call"]}).status in (200, 201)
    t = Terminal(busy, "keys", "list", columns=70)
    assert t.wait() == 0
    shown = t.written.decode().splitlines()
    assert shown and all(len(line) <= 70 for line in shown) and any("…" in line for line in shown), shown
    assert name in busy.command("keys", "list").stdout
