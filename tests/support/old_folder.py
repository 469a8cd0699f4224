"""What a version before left when it was killed, for today's to take over: a house with something of everything under way, of terms that last for decades.

`python tests/support/old_folder.py NAME` with BALLAST_BIN of that version fills a house on each database and packs into tests/golden/folders/NAME.tar.xz
what a kill left on SQLite, a backup made on PostgreSQL, and what each had told by then (facts.json)."""
from __future__ import annotations

import json
import pathlib
import shutil
import sys
import tarfile
import tempfile
import threading

if __name__ == "__main__":
    sys.path.insert(0, str(pathlib.Path(__file__).parents[1]))
from support.client import Caller
from support.gateway import APP_KEY, Gateway, wait_until
from support.local_server import LocalServer
from support.postgres import Postgres, binaries

FOLDERS = pathlib.Path(__file__).parents[1] / "golden" / "folders"
LONG = "18250d"
WORK_KEY = "sk-ballast-work-0123456789abcdef0123456789"
EDITOR_KEY = "sk-ballast-editor-0123456789abcdef01234567"


class Shop(LocalServer):
    """Where flows send things; `/held` has no answer."""

    def __init__(self):
        self.asked: list[tuple[str, dict]] = []
        super().__init__()

    def answer(self, method, path, headers, body):
        asked = json.loads(body)
        self.asked.append((path, asked))
        if path == "/held":
            return None
        return 200, {"Content-Type": "application/json"}, json.dumps({"did": f"{path}/{asked['n']}"}).encode()


def config(shop: Shop) -> dict:
    price = {"price": {"input": "$1", "output": "$2"}}
    return {
        "providers": {"sim": {"kind": "simulator", "models": {"quick": price, "slow": {"latency": "1h", **price}}}},
        "routes": {m: {"targets": [f"sim/{m}"]} for m in ("quick", "slow")},
        "budgets": [{"name": "all", "amount": "$100", "per": "fixed", "from": "2026-11-01", "to": "2076-01-01"}],
        "ledger": {"segment": "1MB"}, "work": {"retention": LONG}, "batches": {"retention": "0s"}, "idempotency": {"retention": LONG},
        "webhooks": {"allow": [f"127.0.0.1:{shop.port}", "127.0.0.1:1"]}, "flows": str(FOLDERS / "flows"),
        "keys": [{"name": "app", "value": APP_KEY, "scopes": ["call"]}, {"name": "worker", "value": WORK_KEY, "scopes": ["work"]},
                 {"name": "editor", "value": EDITOR_KEY, "scopes": ["approve"], "user": "ann"}],
    }


def told(reply):
    assert reply.status // 100 == 2, reply.body
    return reply.json()


def submit(g: Gateway, headers: dict[str, str] | None = None, **job) -> str:
    return told(g.app.post("/api/jobs", job, headers=headers))["id"]


def pull(g: Gateway, queue: str, most: int = 1) -> list[dict]:
    """That many tasks of the queue."""
    out: list[dict] = []
    while len(out) < most:
        ask = {"worker": "w", "queues": [queue], "max": most - len(out), "wait": "10s", "lease": "24h"}
        out += told(Caller(g.port, WORK_KEY).post("/api/workers/pull", ask))["tasks"]
    return out


def end(g: Gateway, how: str, task: dict, **more) -> dict:
    return told(Caller(g.port, WORK_KEY).post(f"/api/workers/{how}", {"tasks": [{"id": task["id"], "fence": task["fence"], **more}]}))["tasks"][0]


def state(g: Gateway, id: str, wait: str = "0s") -> str:
    return told(g.admin.get(f"/api/jobs/{id}?wait={wait}"))["state"]


def batched(g: Gateway, body: dict) -> str:
    """A batch of one line, once it is completed."""
    where = "/v1/chat/completions"
    parts = {'name="purpose"': "batch", 'name="file"; filename="in.jsonl"': json.dumps({"custom_id": "a", "method": "POST", "url": where, "body": body}) + "\n"}
    form = "".join(f"--b\r\nContent-Disposition: form-data; {name}\r\n\r\n{text}\r\n" for name, text in parts.items()) + "--b--\r\n"
    file = told(g.app.post("/v1/files", form.encode(), headers={"content-type": "multipart/form-data; boundary=b"}))["id"]
    batch = told(g.app.post("/v1/batches", {"input_file_id": file, "endpoint": where, "completion_window": "24h"}))["id"]
    wait_until(lambda: g.app.get(f"/v1/batches/{batch}").json()["status"] == "completed")
    return batch


def fill(g: Gateway, shop: Shop) -> dict:
    """Puts something of everything into it; the facts that whoever takes it over must agree with."""
    answered = [g.app.chat("quick", f"Number {n}", headers={"x-ballast-user": "ann" if n % 2 else "bob"}) for n in range(12)]
    kept = g.app.chat("quick", "Once", headers={"idempotency-key": "once"})
    key = told(g.admin.post("/api/keys", {"name": "stored", "scopes": ["call"]}))["secret"]
    batch = batched(g, {"model": "quick", "messages": [{"role": "user", "content": "In a batch"}]})

    jobs = {"done": submit(g, task="ballast.noop", payload={"a": 1}, webhook="http://127.0.0.1:1/told"),
            "later": submit(g, queue="later", task="x", delay=LONG, payload={"pad": "x" * 2000}),
            "keyed": submit(g, {"idempotency-key": "once"}, queue="keyed", task="x"),
            "cancelled": submit(g, queue="cancelled", task="x"),
            "dead": submit(g, queue="dead", task="x", attempts=1),
            "leased": submit(g, queue="leased", task="x")}
    assert state(g, jobs["done"], "30s") == "done"
    told(g.app.post(f"/api/jobs/{jobs['cancelled']}/cancel", {}))
    [dead], [leased] = pull(g, "dead"), pull(g, "leased")
    end(g, "fail", dead, error={"message": "it broke"})
    queued = [submit(g, queue="bulk", task="x", payload={"n": n}, unique={"key": f"u{n}"}) for n in range(5)]

    runs = {flow: submit(g, flow=flow, input=value) for flow, value in (
        ("review", {"topic": "tides"}), ("order", {"n": 1}), ("rest", {}), ("fan", {"list": [1, 2, 3]}), ("send", {"n": 7}))}
    end(g, "complete", pull(g, "drafts")[0], output={"text": "Ebb"})
    cuts = pull(g, "cuts", 3)
    end(g, "complete", cuts[0], output={"done": "cut"})
    for flow in ("review", "order", "rest", "fan"):
        wait_until(lambda: state(g, runs[flow]) == "waiting")
    wait_until(lambda: ("/held", {"n": 7}) in shop.asked)
    for name, more in {"yearly": {"cron": "0 3 1 1 *", "catch_up": "none"}, "off": {"cron": "every 1s", "enabled": False}}.items():
        told(g.app.put(f"/api/schedules/{name}", {"job": {"task": "ballast.noop"}, **more}))

    for n in range(2):
        threading.Thread(target=lambda: leave(g), daemon=True).start()
    wait_until(lambda: g.metric("ballast_calls_in_flight") == 2)
    wait_until(lambda: g.metric("ballast_journal_behind_bytes") == 0)
    answered += [g.app.chat("quick", f"Number {n}") for n in range(12, 24)]
    assert all(r.succeeded() for r in [kept, *answered])
    others = 3                                                # the kept one, the batch's, the run's
    return {"answered": [r.headers["x-ballast-call-id"] for r in answered], "calls": len(answered) + others + 2, "in_flight": 2,
            "spent": g.spent(), "kept": kept.text(), "key": key, "batch": batch, "jobs": jobs, "queued": queued, "leased": leased, "runs": runs,
            "cuts": cuts[1:]}


def leave(g: Gateway) -> None:
    """A call that has no answer before its process ends."""
    try:
        g.app.chat("slow", "For ever")
    except (OSError, EOFError):
        return


def end_runs(g: Gateway, runs: dict) -> dict:
    """What the runs that waited come to, once they have what they waited for; of the one whose effect was cut off nobody knows."""
    unknown = told(g.admin.get(f"/api/jobs/{runs['send']}?wait=30s"))
    assert unknown["state"] == "dead" and "not known whether" in unknown["error"]["message"]
    editor = Caller(g.port, EDITOR_KEY)
    [asked] = told(editor.get("/api/approvals"))["approvals"]
    digest = told(editor.get(f"/api/approvals/{asked['id']}"))["digest"]
    told(editor.post(f"/api/approvals/{asked['id']}/approve", {"digest": digest}))
    assert told(g.app.post("/api/events", {"event": "paid", "key": 1, "payload": {"amount": 12}}))["runs"] == 1
    return {flow: told(g.app.get(f"/api/jobs/{runs[flow]}?wait=30s"))["output"] for flow in ("review", "order", "fan")}


def take_over(g: Gateway, name: str) -> dict:
    """Starts today's process on what an older one left; what that had told."""
    shutil.unpack_archive(FOLDERS / f"{name}.tar.xz", g.folder)
    kind = g.config["database"].partition(":")[0]
    left = g.folder / kind
    if kind == "sqlite":
        for path in (left / "house").iterdir():
            path.rename(g.folder / path.name)
    else:
        g.command("restore", "--from", str(left / "house"), "--config", str(g.file))
    g.start()
    return json.loads((left / "facts.json").read_text())


def pack(name: str) -> None:
    shop, server = Shop(), Postgres(binaries())
    with tempfile.TemporaryDirectory() as folder:
        packed = pathlib.Path(folder) / "packed"
        for kind in ("sqlite", "postgres"):
            g = Gateway(pathlib.Path(folder) / kind, config(shop) | ({"database": server.fresh_url()} if kind == "postgres" else {}),
                        env={"SHOP": f"http://127.0.0.1:{shop.port}"}).start()
            facts = fill(g, shop)
            (packed / kind).mkdir(parents=True)
            if kind == "postgres":
                g.command("backup", "--to", str(packed / kind / "house"), "--config", str(g.file))
            g.kill()
            if kind == "sqlite":
                shutil.copytree(g.folder, packed / kind / "house", ignore=shutil.ignore_patterns("ballast.log", "ballast.yaml", "*-shm"))
            (packed / kind / "facts.json").write_text(json.dumps(facts, indent=1))
        with tarfile.open(FOLDERS / f"{name}.tar.xz", "w:xz") as archive:
            for kind in packed.iterdir():
                archive.add(kind, kind.name)
    server.stop()
    shop.stop()


if __name__ == "__main__":
    pack(sys.argv[1])
