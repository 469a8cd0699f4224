"""A private PostgreSQL server for tests: Debian's binaries, a data folder of its own, a Unix socket, no TCP.

One serves a whole session, and every gateway gets a fresh database on it; a test that kills the server has its own.
As root it runs as the user postgres. It dies with the session, whatever ends that.

`python3 postgres.py COMMAND…` runs a command beside one that all of its processes share: BALLAST_TEST_POSTGRES names its folder
(tests/support/postgres.hpp). Where PostgreSQL is not installed, the command runs without.
"""
from __future__ import annotations

import ctypes
import os
import pathlib
import pwd
import shutil
import signal
import subprocess
import sys
import tempfile
import time

PR_SET_PDEATHSIG = 1
# A test needs no durability against the machine's own end.
FOR_TESTS = {"fsync": "off", "max_connections": "100", "shared_buffers": "32MB", "max_wal_size": "256MB"}


def binaries() -> pathlib.Path | None:
    """The newest installed version's programs; None when PostgreSQL is not installed."""
    found = [p.parent for p in pathlib.Path("/usr/lib/postgresql").glob("*/bin/postgres")]
    return max(found, key=lambda p: int(p.parent.name), default=None)


class Postgres:
    def __init__(self, bin_folder: pathlib.Path, options: dict[str, str] = FOR_TESTS, parent: str = "/tmp", primary: "Postgres | None" = None):
        """`parent` holds the server's folder and, in it, its socket: a path that must be short. With `primary` it is that server's streaming replica, which answers
        reads and becomes a server of its own by `promote`."""
        self.bin, self.options = bin_folder, options
        self.folder = pathlib.Path(tempfile.mkdtemp(prefix="ballast-pg-", dir=parent))
        self.as_user: dict = {}
        if os.geteuid() == 0:
            user = pwd.getpwnam("postgres")
            os.chown(self.folder, user.pw_uid, user.pw_gid)
            self.as_user = {"user": user.pw_uid, "group": user.pw_gid, "extra_groups": []}
        self.made = 0
        self.process: subprocess.Popen | None = None
        initdb = [self.bin / "initdb", "-D", self.folder / "data", "-A", "trust", "-U", "ballast", "--no-sync", "-E", "UTF8", "--locale=C"]
        copy = [self.bin / "pg_basebackup", "-D", self.folder / "data", "-h", primary.folder, "-p", primary.options.get("port", "5432"), "-U", "ballast",
                "-R", "-X", "stream", "-c", "fast", "--no-sync"] if primary else []
        subprocess.run(copy or initdb, check=True, capture_output=True, cwd=self.folder, **self.as_user)
        self.start()

    def start(self) -> "Postgres":
        """To be called by the main thread: the server ends with the thread that has started it."""
        libc = ctypes.CDLL(None)
        options = {"listen_addresses": "", **self.options}
        with open(self.folder / "log", "ab") as out:
            self.process = subprocess.Popen(
                [self.bin / "postgres", "-D", self.folder / "data", "-k", self.folder, *[w for k, v in options.items() for w in ("-c", f"{k}={v}")]],
                stdin=subprocess.DEVNULL, stdout=out, stderr=out, cwd=self.folder,
                preexec_fn=lambda: libc.prctl(PR_SET_PDEATHSIG, signal.SIGQUIT), **self.as_user)
        end = time.monotonic() + 90
        while not self._run("SELECT 1", "postgres").returncode == 0:
            if self.process.poll() is not None or time.monotonic() > end:
                raise RuntimeError("PostgreSQL does not start:\n" + (self.folder / "log").read_text()[-3000:])
            time.sleep(0.02)
        return self

    def kill(self) -> None:
        """kill -9 of the server and of all it has started, as the machine would: no goodbye, no checkpoint."""
        listed = self._children()
        self.process.kill()
        self.process.wait(60)
        for child in map(int, listed):
            try:
                os.kill(child, signal.SIGKILL)
            except ProcessLookupError:
                pass
            while pathlib.Path(f"/proc/{child}").exists() and "\nState:\tZ" not in self._status(child):
                time.sleep(0.01)

    def kill_backend(self) -> None:
        """kill -9 of one client's backend: the server ends all of them and recovers by itself."""
        found = self._run("SELECT pid FROM pg_stat_activity WHERE backend_type = 'client backend' AND pid <> pg_backend_pid() LIMIT 1",
                          "postgres").stdout.split()
        for pid in found:
            os.kill(int(pid), signal.SIGKILL)

    def pause(self, signal_number: int = signal.SIGSTOP) -> None:
        """As a machine that hangs: connections stand, and nothing is answered. SIGCONT is the end of it."""
        going_on = signal_number == signal.SIGCONT
        if not going_on:
            self.process.send_signal(signal_number)            # before its children: from here on there is none new
        for pid in self._children():
            os.kill(int(pid), signal_number)
        if going_on:
            self.process.send_signal(signal_number)            # after them: until here those that end are still there

    def _children(self) -> list[str]:
        return pathlib.Path(f"/proc/{self.process.pid}/task/{self.process.pid}/children").read_text().split()

    # ---- a replica ----

    def caught_up(self, primary: "Postgres") -> None:
        """Waits until it has all that the primary has."""
        there = primary.run("SELECT pg_current_wal_lsn()", "postgres")
        end = time.monotonic() + 60
        while self.run(f"SELECT pg_last_wal_replay_lsn() >= '{there}'", "postgres") != "t":
            assert time.monotonic() < end, "the replica does not follow"
            time.sleep(0.02)

    def cut_off(self) -> None:
        """From here on it hears nothing of its primary."""
        self.run("ALTER SYSTEM SET primary_conninfo = ''", "postgres")
        self.run("SELECT pg_reload_conf()", "postgres")
        end = time.monotonic() + 60
        while self.run("SELECT count(*) FROM pg_stat_wal_receiver", "postgres") != "0":
            assert time.monotonic() < end, "the replica still follows"
            time.sleep(0.02)

    def promote(self) -> None:
        assert self.run("SELECT pg_promote(true, 60)", "postgres") == "t"

    def stop(self) -> None:
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGQUIT)
            self.process.wait(60)
        shutil.rmtree(self.folder, ignore_errors=True)

    def fresh_url(self) -> str:
        """The URL of a new, empty database."""
        self.made += 1
        name = f"gateway{self.made}"
        self.run(f"CREATE DATABASE {name}", "postgres")
        return f"postgres://ballast@/{name}?host={self.folder}"

    def drop(self, url: str) -> None:
        self.run(f"DROP DATABASE {self.name_of(url)} WITH (FORCE)", "postgres")

    @staticmethod
    def name_of(url: str) -> str:
        return url.split("@/")[1].split("?")[0]

    def run(self, sql: str, database: str, seconds: float = 60) -> str:
        """What psql prints: a line a row, columns by |."""
        done = self._run(sql, database, seconds)
        if done.returncode:
            raise RuntimeError(f"{sql}: {done.stderr}")
        return done.stdout.strip()

    def _run(self, sql: str, database: str, seconds: float = 60) -> subprocess.CompletedProcess:
        return subprocess.run([self.bin / "psql", "-X", "-q", "-A", "-t", "-h", self.folder, "-p", self.options.get("port", "5432"), "-U", "ballast", "-d", database, "-c", sql],
                              capture_output=True, text=True, timeout=seconds)

    @staticmethod
    def _status(pid: int) -> str:
        try:
            return pathlib.Path(f"/proc/{pid}/status").read_text()
        except OSError:
            return "\nState:\tZ"


def run_beside_one(command: list[str]) -> int:
    """The command's exit code."""
    if not binaries():
        return subprocess.call(command)
    server = Postgres(binaries())
    try:
        return subprocess.call(command, env=os.environ | {"BALLAST_TEST_POSTGRES": str(server.folder)})
    finally:
        server.stop()


if __name__ == "__main__":
    sys.exit(run_beside_one(sys.argv[1:]))
