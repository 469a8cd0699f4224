"""`ballast migrate-store`: a running installation goes from a file to PostgreSQL, or back, and goes on there as after a restart."""
from __future__ import annotations

import json
import subprocess
import threading

import pytest

from support.gateway import ADMIN_KEY, binary, wait_until
from support.old_folder import Shop, config, end, end_runs, fill, state, submit, told
from support.page import Page
from test_upgrade import (test_its_calls_and_their_money_are_in_the_books_once, test_its_calls_are_searched_charted_judged_and_erased_as_todays,  # noqa: F401
                          test_its_jobs_are_where_they_were)

SIMULATED = {"providers": {"sim": {"kind": "simulator", "models": {"m": {"price": {"input": "$1", "output": "$2"}}}}},
             "routes": {"chat": {"targets": ["sim/m"], "record": "full"}}, "budgets": [{"name": "all", "amount": "$100", "per": "month"}]}


@pytest.fixture
def shop():
    s = Shop()
    yield s
    s.stop()


def words(g, to: str, *more: str) -> list[str]:
    return ["migrate-store", g.config["database"], to, "--config", str(g.file), "--json", *more]


def migrate(g, to: str, *more: str, code: int = 0) -> dict:
    done = g.command(*words(g, to, *more), check=False)
    assert done.returncode == code, done.stdout + done.stderr
    return json.loads(done.stdout) if done.stdout else {"said": done.stderr}


def go_on(g, to: str):
    """Starts it on the other database."""
    g.config["database"] = to
    g.write_config()
    return g.start()


def verified(g) -> None:
    wait_until(lambda: json.loads(g.command("audit", "head", "--json", "--config", str(g.file)).stdout)["chains_not_anchored"] == 0)
    g.command("audit", "verify", "--config", str(g.file))


@pytest.fixture(params=["to PostgreSQL", pytest.param("back", marks=pytest.mark.extended)])
def house(request, gateway, shop, postgres, tmp_path):
    """A house with something of everything under way, killed, moved and started on the other database: what is asked of an upgrade holds of it too."""
    urls = [f"sqlite:{tmp_path}/house.db", postgres.fresh_url()]
    source, target = urls if request.param == "to PostgreSQL" else reversed(urls)
    g = gateway(config(shop) | {"database": source}, env={"SHOP": f"http://127.0.0.1:{shop.port}"})
    facts = fill(g, shop)
    g.kill()
    moved = migrate(g, target)
    assert moved["state"] == "moved" and moved["rows"] == moved["copied_rows"] > 100 and not moved["stays_behind"]
    go_on(g, target)
    yield g, facts
    g.stop()
    postgres.drop(urls[1])


def test_its_runs_go_on_and_do_nothing_twice(house, shop):
    g, facts = house
    runs = facts["runs"]
    for task in facts["cuts"]:
        assert end(g, "complete", task, output={"done": "late"}) == {"state": "done"}, "a lease from before still counts"
    wait_until(lambda: state(g, runs["rest"]) == "waiting")
    outputs = end_runs(g, runs)
    assert outputs["review"] == {"by": "user:ann", "text": "Ebb"} and outputs["fan"] == ["CUT", "LATE", "LATE"]
    assert outputs["order"]["amount"] == 12 and [path for path, _ in shop.asked].count("/parcels") == 1 and [path for path, _ in shop.asked].count("/charges") == 1
    verified(g)


def shown(g, page: Page, calls: list[str], jobs: list[str]) -> dict:
    """What the API answers, but for what a restart makes anew."""
    asked = {path: page.get(path).json() for path in (
        "/api/series?from=2026-01-01&step=24h&by=user", "/api/money?from=2026-01-01", "/api/usage?by=model", "/api/budgets", "/api/calls?view=row&limit=100",
        "/api/feedback", "/api/keys", "/api/schedules", "/api/approvals", "/api/webhooks", "/api/flows", "/v1/batches",
        *[f"/api/decisions/{id}" for id in calls[:5]], *[f"/api/calls/{id}/messages" for id in calls[:5]], *[f"/api/jobs/{id}" for id in jobs])}
    asked["silences"] = page.get("/api/alerts").json()["silences"]
    asked["evidence"] = [line for line in page.get("/api/readiness").json()["lines"] if line["id"] == "load_test"]
    asked["/api/series?from=2026-01-01&step=24h&by=user"]["groups"].sort(key=lambda s: s["name"])
    for key in asked["/api/keys"]["keys"]:
        key.pop("last_used", None)
    for answer in asked.values():
        if isinstance(answer, dict):
            answer.pop("to", None)                           # the moment of asking
            for budget in answer.get("budgets", []):
                budget.pop("forecast_usd", None), budget.pop("forecast_at_limit", None)
    return asked


def test_what_is_seen_is_the_same_before_and_after_and_who_is_signed_in_stays_so(gateway, postgres):
    g = gateway(SIMULATED)
    calls = [g.app.chat("chat", f"Number {n}", headers={"x-ballast-user": f"user{n % 3}"}).headers["x-ballast-call-id"] for n in range(30)]
    page = Page(g.port, ADMIN_KEY)
    told(g.admin.post("/api/keys", {"name": "stored", "scopes": ["call"]}))
    assert page.ask("POST", "/api/feedback", {"call": calls[0], "verdict": "bad", "comment": "no"}).status == 201
    assert page.ask("POST", "/api/alerts/silences", {"for": "2h", "note": "moving"}).status == 201
    assert page.ask("POST", "/api/readiness/evidence", {"line": "load_test", "note": "done"}).status == 201
    told(g.app.put("/api/schedules/yearly", {"job": {"task": "ballast.noop"}, "cron": "0 3 1 1 *"}))
    jobs = [submit(g, queue="images", task="x", delay="1h", payload={"n": n}, unique={"key": f"u{n}"}) for n in range(5)] + [submit(g, task="ballast.noop")]
    told(g.admin.get(f"/api/jobs/{jobs[-1]}?wait=30s"))
    g.settled()
    wait_until(lambda: page.get("/api/series?from=2026-01-01").json()["total"]["calls"] == len(calls))
    before = shown(g, page, calls, jobs)
    trail = page.get("/api/audit?chain=admin:0&limit=1000").json()["entries"]
    assert g.terminate() == 0 and trail
    target = postgres.fresh_url()
    moved = migrate(g, target)
    same = migrate(g, target, "--verify")
    assert same["state"] == "same" and sum(t["target_rows"] for t in same["tables"]) == same["rows"]
    go_on(g, target)
    g.settled()
    after = shown(g, page, calls, jobs)
    for path, answer in before.items():
        assert after[path] == answer, path
    entries = page.get("/api/audit?chain=admin:0&limit=1000").json()["entries"]
    assert entries[-len(trail):] == trail, "what is looked at is told behind it"
    [told_of] = [e for e in entries if e["action"] == "store.moved"]
    assert told_of["actor"] == "command line" and told_of["subject"] == "database" and told_of["arguments"] != "0" * 64
    said = told_of["outcome"] if isinstance(told_of["outcome"], dict) else json.loads(told_of["outcome"])
    assert said == {"move": moved["id"], "from": moved["from"], "to": moved["to"], "tables": len(moved["tables"]), "rows": moved["rows"],
                    "bytes": sum(t["bytes"] for t in moved["tables"])}
    assert said["to"].startswith("postgres:///") and "ballast@" not in said["to"] and "host=" not in said["to"]
    assert submit(g, queue="images", task="x", payload={"n": 9}, unique={"key": "u3"}) == jobs[3]
    verified(g)
    g.terminate()
    g.start()
    again = Page(g.port, ADMIN_KEY).get("/api/audit?chain=admin:0&limit=1000").json()["entries"]
    assert sum(e["action"] == "store.moved" for e in again) == 1, "told once"


def flood(g, stop: threading.Event, ids: list[str]) -> None:
    for n in range(1_000_000):
        if stop.is_set():
            return
        try:
            answer = g.app.post("/api/jobs/bulk", {"jobs": [{"task": "ballast.noop", "payload": {"n": n, "i": i, "pad": "x" * 500}} for i in range(20)]})
            if answer.status == 202:
                ids.extend(j["id"] for j in answer.json()["jobs"])
        except OSError:
            return                                           # it was stopped


def test_it_copies_beside_the_server_and_ends_when_that_has_stopped(gateway, postgres):
    g = gateway(SIMULATED)
    target = postgres.fresh_url()
    stop, ids = threading.Event(), []
    thread = threading.Thread(target=flood, args=(g, stop, ids))
    thread.start()
    try:
        wait_until(lambda: len(ids) > 400)
        copied = migrate(g, target, code=1)
        assert copied["state"] == "copied" and copied["copied_rows"] > 400
        half = gateway({**SIMULATED, "database": target}, start=False)
        refused = g.command("serve", "--config", str(half.file), check=False)
        assert refused.returncode == 4 and "has not finished" in refused.stderr, refused.stderr
        mover = subprocess.Popen([binary(), *words(g, target, "--wait", "60s")], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, cwd=g.folder, env=g.env)
        there = int(postgres.run("SELECT COUNT(*) FROM jobs", postgres.name_of(target)))
        wait_until(lambda: int(postgres.run("SELECT COUNT(*) FROM jobs", postgres.name_of(target))) > there)
        assert mover.poll() is None
        assert g.terminate() == 0
    finally:
        stop.set()
        thread.join()
    out, said = mover.communicate(timeout=60)
    assert mover.returncode == 0, said
    moved = json.loads(out)
    assert moved["state"] == "moved" and moved["passes"] >= 1 and {"journal", "audit", "approval.key"} <= set(moved["beside"])
    refused = g.command("serve", "--config", str(g.file), check=False)
    assert refused.returncode == 4 and "was moved to postgres:///" in refused.stderr, refused.stderr
    again = migrate(g, target)
    assert again["already"] and again["state"] == "moved"
    go_on(g, target)
    for id in ids[::23] + ids[-20:]:
        assert told(g.admin.get(f"/api/jobs/{id}?wait=30s"))["state"] == "done", id
    verified(g)
    g.config["database"] = f"sqlite:{g.folder}/ballast.db"
    g.write_config()
    assert migrate(g, target)["state"] == "used"


def test_it_can_be_taken_back_as_long_as_nothing_has_used_the_target(gateway, postgres):
    g = gateway(SIMULATED)
    id = submit(g, task="x", delay="1h")
    target = postgres.fresh_url()
    assert "nothing was begun" in migrate(g, target, "--take-back", code=1)["said"]
    assert "nothing was begun" in migrate(g, target, "--verify", code=1)["said"]
    migrate(g, target, code=1)
    assert "stop it first" in migrate(g, target, "--take-back", code=1)["said"]
    g.terminate()
    migrate(g, target)
    assert migrate(g, target, "--take-back")["state"] == "taken_back"
    g.start()
    other = submit(g, task="x", delay="1h")
    g.terminate()
    again = migrate(g, target)
    assert again["state"] == "moved" and again["copied_rows"] < again["rows"]
    go_on(g, target)
    assert {told(g.admin.get(f"/api/jobs/{i}"))["state"] for i in (id, other)} == {"queued"}
    g.terminate()
    done = g.command("migrate-store", f"sqlite:{g.folder}/ballast.db", target, "--take-back", "--config", str(g.file), check=False)
    assert done.returncode == 1 and "has been worked with" in done.stderr


def test_what_it_refuses_says_what_to_do(gateway, postgres):
    g = gateway(SIMULATED)
    other = gateway({**SIMULATED, "database": postgres.fresh_url()})
    assert "must be empty" in (said := migrate(g, other.config["database"], code=1)["said"]) or "is not empty" in said
    assert "must be sqlite:FILE or postgres://" in migrate(g, "mysql://x", code=2)["said"]
    assert "--wait" in migrate(g, postgres.fresh_url(), "--wait", "soon", code=2)["said"]
    wrong = g.command("migrate-store", "sqlite:/nowhere/a.db", "sqlite:/nowhere/b.db", "--config", str(g.file), check=False)
    assert wrong.returncode == 2 and "neither of the two" in wrong.stderr
    assert g.app.chat("chat").succeeded() and other.app.chat("chat").succeeded()
    slow = migrate(g, postgres.fresh_url(), "--throttle", "100MB", code=1)
    assert slow["state"] == "copied"
    human = g.command("migrate-store", g.config["database"], postgres.fresh_url(), "--config", str(g.file), check=False)
    assert human.returncode == 1 and "copied" in human.stdout and "not moved yet" in human.stderr
