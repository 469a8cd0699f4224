"""A `ballast serve` process of a test: its own folder, a free port, a generated configuration, a clean end."""
from __future__ import annotations

import collections
import json
import os
import pathlib
import re
import signal
import socket
import subprocess
import time

from .client import Caller

ROOT = pathlib.Path(__file__).resolve().parents[2]
APP_KEY = "sk-ballast-e2e-0123456789abcdef0123456789"
ADMIN_KEY = "sk-ballast-admin-fedcba98765432100123456789"


FIGURES = ("calls", "failed", "cache_hits", "input_tokens", "output_tokens", "billed", "incurred")


def binary() -> str:
    return os.environ.get("BALLAST_BIN") or str(ROOT / "build" / "release" / "src" / "ballast")


# The newest, far more than any test uses at once.
HELD: collections.deque[socket.socket] = collections.deque(maxlen=64)


def free_port() -> int:
    """A port for a server of the test, also for its next start. A socket that is bound and does not listen holds it: the system gives
    it to nobody else, be it another test or a connection that goes out, and who asks for it by number may listen (SO_REUSEADDR)."""
    s = socket.socket()
    s.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    s.bind(("127.0.0.1", 0))
    HELD.append(s)
    return s.getsockname()[1]


def wait_until(check, seconds: float = 60.0) -> None:
    end = time.monotonic() + seconds
    while not check():
        assert time.monotonic() < end, "it never came true"
        time.sleep(0.02)


def wait_port(port: int, process: subprocess.Popen, log: pathlib.Path, seconds: float = 90, host: str = "127.0.0.1") -> None:
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        if process.poll() is not None:
            raise RuntimeError(f"exited with {process.returncode} at start:\n{log.read_text()[-4000:]}")
        try:
            socket.create_connection((host, port), 0.5).close()
            return
        except OSError:
            time.sleep(0.02)
    raise RuntimeError(f"port {port} did not open:\n{log.read_text()[-4000:]}")


class Gateway:
    """`config` is the YAML file as a value (JSON is YAML); listen, data folder, database and keys are filled in. `program`: another binary than
    the tests'. `host`: where it listens; `within`: a command that begins it there (nsenter …)."""

    def __init__(self, folder: pathlib.Path, config: dict, env: dict[str, str] | None = None, args: list[str] = (), program: str = "",
                 host: str = "127.0.0.1", within: list[str] = ()):
        self.folder, self.program, self.host, self.within = folder, program, host, list(within)
        self.folder.mkdir(parents=True, exist_ok=True)
        self.port = free_port()
        self.args = list(args)
        self.env = {k: v for k, v in os.environ.items() if not k.endswith("_API_KEY")} | (env or {})
        self.log = folder / "ballast.log"
        self.file = folder / "ballast.yaml"
        self.config = {
            "listen": f"{host}:{self.port}",
            "database": f"sqlite:{folder}/ballast.db",
            "data_dir": f"{folder}/data",
            "threads": 2,
            "admin_key": ADMIN_KEY,
            "keys": [{"name": "app", "value": APP_KEY, "scopes": ["call"]}],
            **config,
        }
        self.write_config()
        self.process: subprocess.Popen | None = None

    def write_config(self) -> None:
        temporary = self.file.with_suffix(".new")
        temporary.write_text(json.dumps(self.config, indent=1))
        temporary.replace(self.file)

    def start(self) -> "Gateway":
        self.launch()
        wait_port(self.port, self.process, self.log, host=self.host)
        return self

    def launch(self) -> None:
        """Begins the process and waits for nothing."""
        with open(self.log, "ab") as out:
            self.process = subprocess.Popen([*self.within, self.program or binary(), "serve", "--config", str(self.file), *self.args], stdout=out,
                                            stderr=subprocess.STDOUT, cwd=self.folder, env=self.env)

    def kill(self) -> None:
        """kill -9, as the machine would."""
        self.process.send_signal(signal.SIGKILL)
        self.process.wait(60)

    def terminate(self, seconds: float = 60) -> int:
        self.process.send_signal(signal.SIGTERM)
        return self.process.wait(seconds)

    def stop(self) -> None:
        if self.process and self.process.poll() is None:
            try:
                self.terminate()
            except subprocess.TimeoutExpired:
                self.kill()

    def alive(self) -> bool:
        return self.process.poll() is None

    def command(self, *args: str, timeout: float = 90, check: bool = True) -> subprocess.CompletedProcess:
        done = subprocess.run([self.program or binary(), *args], capture_output=True, text=True, cwd=self.folder, timeout=timeout,
                              env=self.env | {"BALLAST_ADMIN_KEY": ADMIN_KEY})
        if check and done.returncode:
            raise AssertionError(f"ballast {' '.join(args)} → {done.returncode}\n{done.stdout}\n{done.stderr}")
        return done

    @property
    def app(self) -> Caller:
        return Caller(self.port, APP_KEY, self.host)

    @property
    def admin(self) -> Caller:
        return Caller(self.port, ADMIN_KEY, self.host)

    def decision(self, reply) -> dict:
        found = self.admin.get(f"/api/decisions/{reply.headers['x-ballast-call-id']}")
        assert found.status == 200, found.body
        return found.json()

    def metric(self, name: str, **labels: str) -> float:
        """The sum of the samples of this name whose labels include these."""
        total = 0.0
        for line in self.admin.get("/metrics").body.decode().splitlines():
            m = re.match(r"^([a-zA-Z_:]\w*)(\{.*\})? (\S+)$", line)
            if m and m[1] == name and all(f'{k}="{v}"' in (m[2] or "") for k, v in labels.items()):
                total += float(m[3])
        return total

    # ---- the books, in nano-dollars ----

    def idle(self) -> None:
        """Waits until no call is on the road, whoever has left it meanwhile."""
        wait_until(lambda: self.metric("ballast_calls_in_flight") == 0)

    def settled(self) -> None:
        """Waits until no call is on the road and the journal is in the ledger."""
        self.idle()
        wait_until(lambda: not any(self.metric(f"ballast_journal_{what}") for what in ("kept_outcomes", "behind_bytes", "in_flight")))

    def breaker(self, provider: str, model: str) -> dict:
        """What the gateway says of one breaker; empty before its first call."""
        found = self.admin.get("/api/breakers")
        assert found.status == 200, found.body
        return next((b for b in found.json()["breakers"] if (b["provider"], b["model"]) == (provider, model)), {})

    def usage(self) -> dict[str, int]:
        """The ledger's totals, once it has taken everything in. `attempts`: what was sent to providers."""
        self.settled()
        total = self.usage_by(None).get("", {})
        sent = [row for target, row in self.usage_by("provider").items() if target]
        return {**{k: total.get(k, 0) for k in FIGURES}, "attempts": sum(row["calls"] for row in sent)}

    def usage_by(self, dimension: str | None) -> dict[str, dict[str, int]]:
        found = self.admin.get("/api/usage" + (f"?by={dimension}" if dimension else ""))
        assert found.status == 200, found.body
        return {row.get(dimension, ""): {"billed": nano(row["billed_usd"]), "incurred": nano(row["incurred_usd"]),
                                         **{k: int(row[k]) for k in FIGURES if k in row}} for row in found.json()["rows"]}

    def spent(self) -> int:
        """What stands charged to the configured budgets' windows: spent, and still held for outcomes nobody knows."""
        found = self.admin.get("/api/budgets")
        assert found.status == 200, found.body
        return sum(nano(b["spent_usd"]) + nano(b["held_usd"]) for b in found.json()["budgets"])


def nano(usd: str) -> int:
    """Dollars as the API prints them, in nano-dollars, exactly."""
    sign, text = (-1, usd[1:]) if usd.startswith("-") else (1, usd)
    whole, _, fraction = text.partition(".")
    assert len(fraction) <= 9, usd
    return sign * (int(whole) * 10**9 + int(fraction.ljust(9, "0")))


def cost_nano(prompt: int, output: int, input_usd: float, output_usd: float) -> int:
    """What a call costs at these dollars per million tokens: summed exactly, rounded up once."""
    scaled = prompt * round(input_usd * 10**9) + output * round(output_usd * 10**9)
    return -(-scaled // 10**6)
