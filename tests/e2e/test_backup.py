"""Backup beside a running server, and restore elsewhere: what was acknowledged is there, runs go on, the trail verifies, and nothing is left half done."""
from __future__ import annotations

import hashlib
import json
import pathlib
import shutil
import subprocess
import threading

import pytest

from support.gateway import ADMIN_KEY, binary, wait_until
from support.page import Page
from test_flows import RESIZE
from test_jobs import WORK_KEY, end, pull

pytestmark = pytest.mark.databases


SIMULATED = {"providers": {"sim": {"kind": "simulator", "models": {"m": {"price": {"input": "$1", "output": "$2"}}}}}, "routes": {"chat": {"targets": ["sim/m"]}}}


@pytest.fixture
def house(gateway):
    def make(start: bool = True, **kw):
        g = gateway({**SIMULATED}, start=False, **kw)
        g.config["keys"] += [{"name": "worker", "value": WORK_KEY, "scopes": ["work"]}]
        g.write_config()
        (g.folder / "flows").mkdir(exist_ok=True)
        (g.folder / "flows" / "resize.yaml").write_text(RESIZE)
        return g.start() if start else g
    return make


def backup(g, name: str = "copy", **kw) -> pathlib.Path:
    done = g.command("backup", "--to", str(g.folder / name), "--json", "--config", str(g.file), **kw)
    return g.folder / name if done.returncode == 0 else done


def restore(g, source, *more: str, check: bool = True):
    return g.command("restore", "--from", str(source), "--json", "--config", str(g.file), *more, check=check)


def submit(g, **job) -> str:
    made = g.app.post("/api/jobs", {"queue": "images", **job})
    assert made.status == 202, made.body
    return made.json()["id"]


def state(g, id: str, wait: str = "0s") -> str:
    got = g.admin.get(f"/api/jobs/{id}?wait={wait}")
    return got.json()["state"] if got.status == 200 else f"{got.status}"


def verified(g) -> dict:
    done = g.command("audit", "verify", "--json", "--config", str(g.file), check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return json.loads(done.stdout)


def flood(g, stop: threading.Event, ids: list[str]) -> None:
    n = 0
    while not stop.is_set():
        n += 1
        answer = g.app.post("/api/jobs/bulk", {"jobs": [{"task": "ballast.noop", "payload": {"n": n, "i": i, "pad": "x" * 500}} for i in range(20)]})
        assert answer.status == 202, answer.body
        ids.extend(j["id"] for j in answer.json()["jobs"])
        g.app.chat("chat", max_tokens=20)


def test_a_backup_under_load_is_restored_elsewhere_and_its_runs_go_on(house):
    g = house()
    run = g.app.post("/api/jobs", {"flow": "resize", "input": {"w": 3}}).json()["id"]
    waiting = submit(g, task="later", delay="1h")
    lost = submit(g, task="cancelled")
    assert g.app.post(f"/api/jobs/{lost}/cancel", {}).status == 200
    wait_until(lambda: json.loads(g.command("audit", "head", "--json", "--config", str(g.file)).stdout)["chains_not_anchored"] == 0)
    stop, ids = threading.Event(), []
    thread = threading.Thread(target=flood, args=(g, stop, ids))
    thread.start()
    try:
        wait_until(lambda: len(ids) > 200)
        acknowledged = list(ids)
        copy = backup(g)
        n = len(ids)
        wait_until(lambda: len(ids) > n)
    finally:
        stop.set()
        thread.join()
    verified(g)
    manifest = json.loads((copy / "manifest.json").read_text())
    for f in manifest["files"]:
        assert hashlib.sha256((copy / f["path"]).read_bytes()).hexdigest() == f["sha256"]
    assert {t["name"]: t["rows"] for t in manifest["tables"]}["jobs"] >= len(acknowledged) + 3
    assert (copy / "data" / "approval.key").stat().st_mode & 0o777 == 0o600 and copy.stat().st_mode & 0o777 == 0o700

    there = house(start=False)
    told = json.loads(restore(there, copy).stdout)
    assert told["kept"] == ""
    report = verified(there)
    assert report["entries"] >= 2
    there.start()
    for id in acknowledged[::7] + acknowledged[-20:]:
        assert state(there, id, "30s") == "done", id
    assert state(there, waiting) == "queued" and state(there, lost) == "cancelled"
    [task] = pull(there, wait="20s")
    assert task["task"] == "cut" and end(there, "complete", task, output={"done": "cut"}) == {"state": "done"}
    assert state(there, run, "30s") == "done"
    assert there.admin.get("/api/usage").status == 200
    there.terminate()
    verified(there)
    entries = there.command("audit", "show", "admin:0", "--config", str(there.file)).stdout
    assert "backup.restored" in entries and "backup.made" not in entries
    assert "backup.made" in g.command("audit", "show", "admin:0", "--config", str(g.file)).stdout


def test_calls_and_their_money_come_along(house):
    g = house()
    for _ in range(30):
        assert g.app.chat("chat", max_tokens=20).status == 200
    copy = backup(g)
    g.settled()
    used = g.usage()
    assert used["calls"] == 30 and used["incurred"] > 0
    there = house(start=False)
    restore(there, copy)
    there.start()
    there.settled()
    assert there.usage() == used


def test_what_is_seen_of_it_comes_along(house):
    """Rollups, messages, verdicts, silences, evidence and who is signed in."""
    def recording(g):
        g.config["routes"] = {"chat": {"targets": ["sim/m"], "record": "full"}}
        g.write_config()
        return g.start()
    g = recording(house(start=False))
    calls = [g.app.chat("chat", headers={"x-ballast-user": f"user{n % 3}"}).headers["x-ballast-call-id"] for n in range(12)]
    page = Page(g.port, ADMIN_KEY)
    assert page.ask("POST", "/api/feedback", {"call": calls[0], "verdict": "bad", "comment": "no"}).status == 201
    assert page.ask("POST", "/api/alerts/silences", {"for": "2h", "note": "moving"}).status == 201
    assert page.ask("POST", "/api/readiness/evidence", {"line": "load_test", "note": "done"}).status == 201
    g.settled()

    def seen(g, page) -> list:
        series = page.get("/api/series?from=2026-01-01&step=24h&by=user").json()
        return [[(s["name"], s["total"]) for s in sorted(series["groups"], key=lambda s: s["name"])], page.get("/api/feedback").json(), page.get("/api/alerts").json()["silences"],
                page.get(f"/api/calls/{calls[3]}/messages").json(), [line for line in page.get("/api/readiness").json()["lines"] if line["id"] == "load_test"]]
    before = seen(g, page)
    assert len(before[0]) == 3 and before[2] and before[3]["reply"]
    copy = backup(g)
    there = house(start=False)
    restore(there, copy)
    recording(there)
    there.settled()
    page.port = there.port
    assert seen(there, page) == before
    verified(there)


def test_a_restore_overwrites_nothing_unless_told_and_keeps_what_was_there(house):
    g = house()
    id = submit(g, task="later", delay="1h")
    copy = backup(g)
    newer = submit(g, task="newer", delay="1h")
    busy = restore(g, copy, "--force", check=False)
    assert busy.returncode == 1 and "stop it first" in busy.stderr
    g.terminate()
    refused = restore(g, copy, check=False)
    assert refused.returncode == 1 and "--force" in refused.stderr
    told = json.loads(restore(g, copy, "--force").stdout)
    assert (pathlib.Path(told["kept"]) / "journal" / "id").exists()
    g.start()
    assert state(g, id) == "queued" and state(g, newer) == "404"
    again = g.command("backup", "--to", str(copy), "--config", str(g.file), check=False)
    assert again.returncode == 1 and "there already" in again.stderr


@pytest.mark.parametrize("harm, why", [
    (lambda c: (c / "manifest.json").unlink(), "no backup"),
    (lambda c: next(c.glob("database/*")).write_bytes(b"x"), "damaged"),
    (lambda c: (c / "data/journal/id").unlink(), "No such file"),
    (lambda c: (c / "manifest.json").write_text((c / "manifest.json").read_text().replace('"version":6,', '"version":6000,', 1)), "newer Ballast"),
    (lambda c: (c / "manifest.json").write_text((c / "manifest.json").read_text().replace('"ballast_backup":1', '"ballast_backup":2')), "newer Ballast"),
    (lambda c: (c / "manifest.json").write_text((c / "manifest.json").read_text().replace('"path":"data/', '"path":"data/../../', 1)), "out of the backup"),
    (lambda c: (c / "manifest.json").write_text("{"), "damaged"),
])
def test_a_bad_backup_is_refused_before_anything_is_touched(house, harm, why):
    g = house()
    submit(g, task="later", delay="1h")
    copy = backup(g)
    harm(copy)
    there = house(start=False)
    refused = restore(there, copy, check=False)
    assert refused.returncode in (1, 2) and why in refused.stderr, refused.stderr
    data = there.folder / "data"
    assert not data.exists() or not list(data.iterdir()) and not (there.folder / "ballast.db").exists()
    there.start()


def test_an_interrupted_restore_is_known_and_mended_by_another(house):
    g = house()
    id = submit(g, task="later", delay="1h")
    copy = backup(g)
    there = house(start=False)
    restore(there, copy)
    (there.folder / "data" / "restore.pending").write_text("as a kill in the middle leaves it")
    shutil.rmtree(there.folder / "data" / "journal")
    with pytest.raises(RuntimeError, match="ballast restore"):
        there.start()
    there.process = None
    restore(there, copy)
    there.start()
    assert state(there, id) == "queued"


def test_a_restore_killed_at_any_moment_leaves_all_or_a_mark(house):
    g = house()
    ids = [submit(g, task="later", delay="1h", payload={"pad": "x" * 20_000}) for _ in range(100)]
    copy = backup(g)
    there = house(start=False)
    words = [binary(), "restore", "--from", str(copy), "--config", str(there.file)]
    data = there.folder / "data"
    for delay in (0.0, 0.004, 0.008, 0.012, 0.02, 0.03, 0.05, 0.1):
        process = subprocess.Popen(words, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, cwd=there.folder)
        try:
            process.wait(delay)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
        placed = (data / "journal").exists() or (there.folder / "ballast.db").exists()
        if (data / "restore.pending").exists():
            refused = there.command("serve", "--config", str(there.file), check=False)
            assert refused.returncode == 1 and "ballast restore" in refused.stderr
        elif placed:
            break                                   # it was through
    restore(there, copy, "--force")
    there.start()
    assert {state(there, id) for id in ids[::10]} == {"queued"}
