"""The folder of a version before, killed with something of everything under way, is taken over by today's: nothing acknowledged is lost, nothing done is
done again. What that version left is packed in tests/golden/folders (support/old_folder.py)."""
from __future__ import annotations

import json

import pytest

from support.client import Caller
from support.gateway import ADMIN_KEY, nano, wait_until
from support.old_folder import FOLDERS, Shop, config, end, end_runs, pull, state, submit, take_over, told
from support.page import Page

pytestmark = pytest.mark.databases
NAMES = sorted(path.name.removesuffix(".tar.xz") for path in FOLDERS.glob("*.tar.xz"))


@pytest.fixture
def shop():
    s = Shop()
    yield s
    s.stop()


@pytest.fixture(params=NAMES)
def house(request, gateway, shop):
    """The gateway and what its predecessor had told."""
    g = gateway(config(shop), start=False, env={"SHOP": f"http://127.0.0.1:{shop.port}"})
    return g, take_over(g, request.param)


def events(g) -> list[str]:
    return [json.loads(line)["event"] for line in g.log.read_text().splitlines() if line.startswith("{")]


def test_its_calls_and_their_money_are_in_the_books_once(house):
    g, facts = house
    g.settled()
    assert g.usage()["calls"] == facts["calls"] and g.spent() == facts["spent"]
    assert g.metric("ballast_journal_damaged_bytes") == 0 and "journal_damaged" not in events(g)
    for call in facts["answered"]:
        assert g.admin.get(f"/api/decisions/{call}").status == 200, f"{call} was answered and is forgotten"
    assert len(told(g.admin.get("/api/budgets/unknown"))["unknown"]) == facts["in_flight"]
    assert g.app.chat("quick", "Once", headers={"idempotency-key": "once"}).text() == facts["kept"]
    assert g.usage()["attempts"] == facts["calls"], "the kept answer came from the books"
    assert Caller(g.port, facts["key"]).chat("quick").succeeded()
    batch = told(g.app.get(f"/v1/batches/{facts['batch']}"))
    assert batch["status"] == "completed" and b'"custom_id":"a"' in g.app.get(f"/v1/files/{batch['output_file_id']}/content").body


def test_its_jobs_are_where_they_were(house):
    g, facts = house
    jobs = facts["jobs"]
    assert end(g, "complete", facts["leased"], output={"ok": 1}) == {"state": "done"}, "its worker may still tell the end"
    assert {name: state(g, id) for name, id in jobs.items()} == {
        "done": "done", "later": "queued", "keyed": "queued", "cancelled": "cancelled", "dead": "dead", "leased": "done"}
    [attempt] = told(g.app.get(f"/api/jobs/{jobs['dead']}/attempts"))["attempts"]
    assert attempt["error"]["message"] == "it broke"
    assert submit(g, {"idempotency-key": "once"}, queue="keyed", task="x") == jobs["keyed"]
    assert submit(g, queue="bulk", task="x", payload={"n": 3}, unique={"key": "u3"}) == facts["queued"][3]
    assert [(t["id"], t["payload"]["n"]) for t in pull(g, "bulk", 5)] == [(id, n) for n, id in enumerate(facts["queued"])]
    assert [w["job"] for w in told(g.admin.get("/api/webhooks"))["webhooks"]] == [jobs["done"]]
    schedules = {s["name"]: s for s in told(g.app.get("/api/schedules"))["schedules"]}
    assert schedules["yearly"]["next"] and schedules["off"]["enabled"] is False and schedules["off"]["next"] == []


def test_its_runs_go_on_and_do_nothing_twice(house, shop):
    g, facts = house
    runs = facts["runs"]
    for task in facts["cuts"]:
        assert end(g, "complete", task, output={"done": "late"}) == {"state": "done"}
    assert state(g, runs["rest"], "30s") == "done", "its time has come"
    outputs = end_runs(g, runs)
    assert outputs == {"review": {"by": "user:ann", "text": "Ebb"}, "fan": ["CUT", "LATE", "LATE"],
                       "order": {"charge": "/charges/1", "words": True, "amount": 12, "parcel": "/parcels/1"}}
    assert shop.asked == [("/parcels", {"n": 1})]
    wait_until(lambda: json.loads(g.command("audit", "head", "--json", "--config", str(g.file)).stdout)["chains_not_anchored"] == 0)
    g.terminate()
    g.command("audit", "verify", "--config", str(g.file))


def test_its_calls_are_searched_charted_judged_and_erased_as_todays(house):
    """What the version before knew nothing of: rollups, zones, sessions, verdicts."""
    g, facts = house
    g.settled()
    used = g.usage_by(None)[""]

    def charted(more: str = "") -> tuple[int, int]:
        total = told(g.admin.get(f"/api/series?from=2026-11-01&step=24h{more}"))["total"]
        return total["calls"], nano(total["incurred_usd"])
    assert charted() == (used["calls"], used["incurred"])
    for user, figures in g.usage_by("user").items():
        assert charted(f"&user={user}") == (figures["calls"], figures["incurred"]), user
        rows = told(g.admin.get(f"/api/calls?view=row&limit=1000&user={user}"))["calls"] if user else []
        assert len(rows) == (figures["calls"] if user else 0)
    bill = told(g.admin.get("/api/money?from=2026-11-01"))
    assert nano(bill["total"]["incurred_usd"]) == used["incurred"]
    page = Page(g.port, ADMIN_KEY)
    assert page.ask("POST", "/api/feedback", {"call": facts["answered"][1], "verdict": "good", "user": "ann"}).status == 201
    told(g.admin.post("/api/alerts/silences", {"for": "1h"}))
    gone = told(g.admin.post("/api/erase", {"user": "ann", "cancel": True}))
    assert gone["calls"] > 0 and gone["feedback"] == 1
    assert charted("&user=ann") == (0, 0) and charted(f"&user={gone['pseudonym']}")[0] == gone["calls"]
    assert charted() == (used["calls"], used["incurred"]), "the money stays"


def test_what_a_version_after_has_written_is_refused_untouched(gateway, shop, sql):
    g = gateway(config(shop), env={"SHOP": f"http://127.0.0.1:{shop.port}"})
    assert g.app.chat("quick").succeeded()
    g.kill()
    sql(g, "INSERT INTO schema_migrations (module, version, name, checksum, applied_ms) VALUES ('work', 6000, 'of a later version', '', 0)")
    journal = {path.name: path.read_bytes() for path in (g.folder / "data" / "journal").iterdir()}
    with pytest.raises(RuntimeError, match="exited with [1-9][^$]*written by a newer Ballast"):
        g.start()
    g.process = None
    assert {path.name: path.read_bytes() for path in (g.folder / "data" / "journal").iterdir()} == journal
    sql(g, "DELETE FROM schema_migrations WHERE version = 6000")
    g.start()
    assert g.usage()["calls"] == 1
