"""Three nodes that are started again whenever they end, as a service manager would, on one PostgreSQL that may have a replica."""
from __future__ import annotations

import collections
import json
import pathlib
import random
import signal
import threading
import time

from support.configs import PRICE, provider
from support.fake_upstream import Upstream
from support.gateway import Gateway, free_port
from support.local_server import LocalServer
from support.postgres import Postgres, binaries

WORK_KEY = "sk-ballast-work-0123456789abcdef0123456789"
NAMES = "abc"
# How a process may end here: as it was told (0), killed, refused because its database or its name was not free yet (1, 4), or as one that was taken for dead.
ENDS_WELL = {0, 1, 4, -signal.SIGKILL, 75}


class Server:
    """PostgreSQL on an address of the ground; with a replica, if wanted, that has all that a client was told is committed, and can take its place."""

    def __init__(self, host: str, replica: bool):
        if not binaries():
            raise SystemExit("PostgreSQL is not installed (apt-get install postgresql)")
        self.ports = [free_port() for _ in range(2 if replica else 1)]
        self.primary = self.now = Postgres(binaries())
        self.replica: Postgres | None = None
        self.name = self.primary.name_of(self.primary.fresh_url())
        with open(self.primary.folder / "data" / "pg_hba.conf", "a") as rules:
            rules.write("host all all all trust\n")
        self.primary.kill()
        self.primary.options = {**self.primary.options, "listen_addresses": host, "port": str(self.ports[0])}
        self.primary.start()
        if replica:
            self.replica = Postgres(binaries(), {**self.primary.options, "port": str(self.ports[1])}, primary=self.primary)
            self.primary.run("ALTER SYSTEM SET synchronous_standby_names = '*'", "postgres")
            self.primary.run("SELECT pg_reload_conf()", "postgres")

    def kill(self) -> None:
        self.now.kill()

    def start(self) -> None:
        self.now.start()

    def fail_over(self) -> None:
        """The primary dies for good, and the replica takes its place."""
        self.now.kill()
        self.replica.promote()
        self.now = self.replica

    def rows(self, sql: str) -> list[list[str]]:
        return [line.split("|") for line in self.now.run(sql, self.name).splitlines()]

    def stop(self) -> None:
        for server in (self.primary, self.replica):
            if server:
                server.stop()


class Shop(LocalServer):
    """The world outside: does each thing once by its Idempotency-Key, and keeps its own books of what it was asked."""

    def __init__(self, host: str, seed: int):
        self.chance = random.Random(seed)
        self.asked: list[tuple[float, str, str, int, int]] = []      # when, path, key, number, fence
        self.lock = threading.Lock()
        super().__init__(host)
        self.server.handle_error = lambda *_: None    # whoever asked was killed

    def answer(self, method, path, headers, body):
        with self.lock:
            self.asked.append((time.monotonic(), path, headers.get("idempotency-key", ""), json.loads(body)["n"], int(headers.get("x-ballast-fence", "0"))))
        time.sleep(self.chance.uniform(0.0, 0.15))
        return 200, {"Content-Type": "application/json"}, b'{"ok":true}'


FLOWS = {
    "charge": """
flow: charge
stages:
  charge: {http: {url: "${SHOP}/charge", method: POST, body: '{n: .input.n}', risk: write, idempotency: key}}
""",
    "pay": """
flow: pay
input: {trusted: true}
stages:
  pay: {settle: {values: '{n: .input.n}', effect: {http: {url: "${SHOP}/pay", method: POST, body: '{n: .values.n}', risk: write, idempotency: key}}}}
""",
    "mixed": """
flow: mixed
output: '{said: (.stages.say.output | length > 0), cut: .stages.cut.output.n}'
stages:
  say:  {model: {route: chat, prompt: "j{{ .input.n }} say the words"}, retry: {attempts: 8}}
  rest: {wait: {for: 200ms}, after: [say]}
  cut:  {worker: {task: cut, queue: images, input: '{n: .input.n}'}, timeout: 10m, retry: {attempts: 40}, after: [rest]}
  told: {http: {url: "${SHOP}/told", method: POST, body: '{n: .input.n}', risk: write, idempotency: key}, after: [cut]}
""",
}


class Node(Gateway):
    """One of them. `wanted`: whether it is to run; what ends on its own is started again."""
    number = 0
    wanted = False

    def end(self, how: int) -> None:
        self.wanted = False
        self.process.send_signal(how)


class Fleet:
    def __init__(self, ground, server: Server, upstream: Upstream, shop: Shop, folder: pathlib.Path, sections: dict):
        self.ends: collections.Counter = collections.Counter()
        self.bad_ends: list[str] = []
        (folder / "flows").mkdir(parents=True)
        for name, text in FLOWS.items():
            (folder / "flows" / f"{name}.yaml").write_text(text)
        self.nodes: list[Node] = []
        for n, name in enumerate(NAMES):
            config = {"database": ground.url(n, server.name, server.ports), "drain": "3s", "threads": 1, "flows": str(folder / "flows"), "probe_local": False,
                      "providers": {"up": provider(upstream) | {"key": f"sk-upstream-{name}"}},
                      "models": {"up/model": {"price": PRICE, "context": 32768, "max_output": 4096}}, "routes": {"chat": {"targets": ["up/model"]}},
                      "idempotency": {"retention": "24h", "unknown": "redispatch"}, "webhooks": {"allow": [shop.url.removeprefix("http://")]}, **sections}
            node = Node(folder / name, config, env={"SHOP": shop.url}, host=ground.host(n), within=ground.within(n))
            node.config["keys"].append({"name": "worker", "value": WORK_KEY, "scopes": ["work"]})
            node.write_config()
            node.number = n
            self.nodes.append(node)
        for node in self.nodes:
            node.launch()
            node.wanted = True
        self.over = threading.Event()
        self.watching = threading.Thread(target=self._watch, daemon=True)
        self.watching.start()

    def _watch(self) -> None:
        while not self.over.wait(0.05):
            for node in self.nodes:
                code = node.process.poll()
                if code is None or not node.wanted:
                    continue
                self.note_end(node, code)
                time.sleep(0.2)
                node.launch()

    def note_end(self, node: Node, code: int) -> None:
        self.ends[code] += 1
        if code not in ENDS_WELL:
            self.bad_ends.append(f"node {NAMES[node.number]} ended with {code}: {node.log.read_text(errors='replace')[-600:]}")

    def away(self, node: Node) -> None:
        """Waits for the end that it was told, and starts it again."""
        self.note_end(node, node.process.wait(60))
        self.back(node)

    def back(self, node: Node) -> None:
        node.launch()
        node.wanted = True

    def ready(self, node: Node) -> bool:
        try:
            told = node.app.get("/readyz", timeout=2)
            seen = node.admin.get("/api/nodes", timeout=2)
            return told.status == 200 and seen.status == 200 and sum(m["state"] == "serving" for m in seen.json()["nodes"]) == len(self.nodes)
        except Exception:
            return False

    def whole(self, seconds: float) -> bool:
        """Waits until every node serves and sees all the others do so."""
        until = time.monotonic() + seconds
        while not all(self.ready(n) for n in self.nodes):
            if time.monotonic() > until:
                return False
            time.sleep(0.1)
        return True

    def stop(self) -> None:
        self.over.set()
        self.watching.join(30)
        for node in self.nodes:
            node.wanted = False
            if node.process.poll() is None:
                node.process.send_signal(signal.SIGCONT)
                node.kill()
