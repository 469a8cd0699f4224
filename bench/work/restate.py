"""The third peer, of flows: Restate's own server, with its defaults for what it makes last, and handlers by its SDK (restate/endpoint.mjs)."""
from __future__ import annotations

import contextlib
import json
import pathlib
import platform
import shutil
import subprocess
import time
import urllib.error
import urllib.request

import ballast
import node
from measuring import Results, free_port, on_cores

SOURCE = node.HERE / "restate"
HOME = node.BUILT / "restate"
SERVER = HOME / "node_modules" / "@restatedev" / f"restate-server-linux-{'arm64' if platform.machine() == 'aarch64' else 'x64'}" / "bin" / "restate-server"
MODE = "Restate, its log synced before it answers (default)"
READY_S = 60


def config(folder: pathlib.Path, ports: dict[str, int]) -> str:
    """Everything on the loopback and in `folder`, nothing sent home; all else is the server's default."""
    return f"""
base-dir = "{folder / 'data'}"
node-name = "bench"
listen-mode = "tcp"
bind-ip = "127.0.0.1"
bind-port = {ports['node']}
advertised-host = "127.0.0.1"
disable-telemetry = true
[ingress]
bind-port = {ports['ingress']}
[admin]
bind-port = {ports['admin']}
disable-web-ui = true
"""


def ask(port: int, path: str, body: dict | None = None) -> bytes:
    request = urllib.request.Request(f"http://127.0.0.1:{port}{path}", data=json.dumps(body).encode() if body else None,
                                     headers={"content-type": "application/json"})
    with urllib.request.urlopen(request, timeout=30) as answer:
        return answer.read()


class Restate:
    """A server in an empty folder, and one process of handlers."""

    def __init__(self, folder: pathlib.Path, cores: tuple[set[int] | None, set[int] | None]):
        self.folder, (self.cores, self.load) = folder / "restate", cores
        shutil.rmtree(self.folder, ignore_errors=True)
        self.folder.mkdir()
        self.ports = {name: free_port() for name in ("node", "ingress", "admin", "handlers")}
        (self.folder / "config.toml").write_text(config(self.folder, self.ports))
        self.server: subprocess.Popen | None = None
        self.handlers = node.Node(HOME, SOURCE / "endpoint.mjs", cores=self.load)

    def start(self) -> None:
        """Returns when it takes calls."""
        with open(self.folder / "log", "ab") as log, on_cores(self.cores):
            self.server = subprocess.Popen([SERVER, "--no-logo", "-c", self.folder / "config.toml"], cwd=self.folder,
                                           stdin=subprocess.DEVNULL, stdout=log, stderr=log)
        end = time.monotonic() + READY_S
        for port, path in ((self.ports["admin"], "/health"), (self.ports["ingress"], "/restate/health")):
            while True:
                with contextlib.suppress(urllib.error.URLError, OSError):
                    ask(port, path)
                    break
                if self.server.poll() is not None or time.monotonic() > end:
                    raise RuntimeError("Restate does not start:\n" + (self.folder / "log").read_text()[-3000:])
                time.sleep(0.01)

    def kill(self) -> None:
        if self.server and self.server.poll() is None:
            self.server.kill()
            self.server.wait(30)

    def __enter__(self) -> "Restate":
        try:
            self.start()
            self.handlers.ask("serve", service="flows", port=self.ports["handlers"])
            ask(self.ports["admin"], "/deployments", {"uri": f"http://127.0.0.1:{self.ports['handlers']}"})
            ask(self.ports["ingress"], "/flows/three", {"value": 1})
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *_) -> None:
        self.handlers.kill()
        self.kill()


def flow(folder: pathlib.Path, results: Results, seconds: float, cores: tuple[set[int] | None, set[int] | None]) -> None:
    with Restate(folder, cores) as r:
        ballast.load(r.ports["ingress"], "closed", r.load, call="/flows/three", connections=64, seconds=seconds)   # the compilers warm up
        for called, clients in ballast.CLIENTS.items():
            got = ballast.load(r.ports["ingress"], "closed", r.load, call="/flows/three", connections=clients, seconds=seconds)
            results.add("restate", f"flow, {called}", **got)


def kill(folder: pathlib.Path, results: Results, cores: tuple[set[int] | None, set[int] | None]) -> None:
    """SIGKILL of the server with a backlog accepted and some of it in the handlers' hands, started again at once: until it answers, until
    the first of those in hand begins again, until all have ended."""
    with Restate(folder, cores) as r:
        r.handlers.ask("hold")
        r.handlers.ask("send", url=f"http://127.0.0.1:{r.ports['ingress']}/flows/three/send", jobs=ballast.KILL_BACKLOG)
        held = r.handlers.ask("held")["held"]
        r.kill()
        begin = time.monotonic()
        r.handlers.ask("open")
        r.start()
        ready = time.monotonic() - begin
        r.handlers.hear()
        again = time.monotonic() - begin
        r.handlers.ask("ended", jobs=ballast.KILL_BACKLOG)
        results.add("restate", "kill of the server", ready_s=ready, again_s=again, done_s=time.monotonic() - begin, held=held)
