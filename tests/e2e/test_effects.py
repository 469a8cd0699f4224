"""What flows do to the world outside, watched from there: each effect once by its key, or `unknown` and said so; never an address that is not allowed."""
import json
import random
import threading
import time

import pytest

from support.gateway import wait_until
from support.local_server import LocalServer
from test_jobs import job, post

pytestmark = pytest.mark.databases

TOKEN = "sk-effects-0123456789abcdef0123456789abcdef"
CHARGE = """
flow: charge
output: '.stages.charge.output.body'
stages:
  charge:
    http:
      url: "${SHOP}/charges?token=${TOKEN}"
      method: POST
      headers: {Authorization: "Bearer ${TOKEN}"}
      body: '{n: .input.n}'
      risk: write
      idempotency: key
"""
ONCE = CHARGE.replace("flow: charge", "flow: once").replace("idempotency: key", "idempotency: none")
LOOK = """
flow: look
output: '.stages.look.output.body'
stages:
  look: {http: {url: "{{ .input.url }}"}, retry: {attempts: 1}}
"""
BOOK = """
flow: book
policy: {on_failure: compensate}
output: '.stages.pay.output.body'
stages:
  room: {http: {url: "${SHOP}/rooms", method: POST, idempotency: key}, compensate: {http: {url: "${SHOP}/rooms/{{ .output.body.did }}", method: DELETE}}}
  pay:  {http: {url: "${SHOP}/broke", method: POST, idempotency: key}, after: [room], compensate: none}
"""


class Shop(LocalServer):
    """Does each thing once by its Idempotency-Key, without one every time it is asked; counts both. Slow to answer, so that there is something to cut."""

    def __init__(self, slow=lambda: 0.0):
        self.asked: list[dict] = []
        self.done: dict[str, int] = {}             # by key; without one by the body
        self.moved = ""
        self.lock = threading.Lock()
        self.slow = slow
        super().__init__()

    def answer(self, method, path, headers, body):
        key = headers.get("idempotency-key", "")
        with self.lock:
            self.asked.append({"method": method, "path": path, "headers": headers, "body": body})
            number = self.done.setdefault(key, len(self.done)) if key else len(self.asked)
        time.sleep(self.slow())
        status, more = {"/moved": (302, {"Location": self.moved}), "/broke": (402, {})}.get(path, (200, {}))
        return status, {**more, "Content-Type": "application/json"}, json.dumps({"did": number}).encode()

    def of(self, n: int) -> list[dict]:
        return [a for a in self.asked if a["body"] == json.dumps({"n": n}, separators=(",", ":")).encode()]


@pytest.fixture
def shop():
    made = []

    def make(**more) -> Shop:
        made.append(Shop(**more))
        return made[-1]
    yield make
    for s in made:
        s.stop()


@pytest.fixture
def house(gateway):
    def make(*flows: str, shop: Shop | None = None, allow=None):
        g = gateway({"providers": {"sim": {"kind": "simulator"}}, "webhooks": {"allow": [f"127.0.0.1:{shop.port}"] if allow is None else allow}}, start=False,
                    env={"SHOP": shop.url if shop else "http://127.0.0.1:1", "TOKEN": TOKEN})
        (g.folder / "flows").mkdir()
        for text in flows:
            (g.folder / "flows" / (text.split("flow:")[1].split()[0] + ".yaml")).write_text(text)
        return g.start()
    return make


def submit(g, flow: str, value) -> str:
    made = post(g.app, "/api/jobs", {"flow": flow, "input": value})
    assert made.status == 202, made.body
    return made.json()["id"]


def ended(g, id: str) -> dict:
    wait_until(lambda: job(g, id, wait="10s")["state"] in ("done", "dead", "cancelled"))
    return job(g, id)


def effects(g, id: str) -> list[dict]:
    got = g.app.get(f"/api/jobs/{id}/effects")
    assert got.status == 200, got.body
    return got.json()["effects"]


def resolve(caller, id: str, **body):
    return post(caller, f"/api/jobs/{id}/effects/resolve", body)


def test_an_effect_happens_once_and_is_told_without_its_secrets(house, shop):
    s = shop()
    g = house(CHARGE, shop=s)
    id = submit(g, "charge", {"n": 7})
    assert ended(g, id)["output"] == {"did": 0}
    [asked] = s.asked
    assert asked["headers"]["authorization"] == f"Bearer {TOKEN}" and asked["path"] == f"/charges?token={TOKEN}" and asked["headers"]["x-ballast-fence"]
    [effect] = effects(g, id)
    assert (effect["stage"], effect["kind"], effect["attempt"], effect["state"]) == ("charge", "http", 1, "confirmed")
    assert effect["target"] == f"POST {s.url}/charges" and effect["idempotency_key"] == asked["headers"]["idempotency-key"] and effect["outcome"]["status"] == 200
    assert effect["intended"] <= effect["dispatched"] <= effect["settled"]
    shown = g.command("jobs", "effects", id).stdout
    assert "confirmed" in shown and "charge" in shown
    stages = g.app.get(f"/api/jobs/{id}/stages").body.decode()
    for text in (json.dumps(effect), shown, stages, g.log.read_text()):
        assert TOKEN not in text and TOKEN[-16:] not in text


def test_another_key_sees_nothing_and_only_an_administrator_resolves(house, shop):
    g = house(CHARGE, shop=shop())
    id = submit(g, "charge", {"n": 1})
    ended(g, id)
    assert resolve(g.app, id, stage="charge", state="confirmed").status == 403
    settled = resolve(g.admin, id, stage="charge", state="confirmed")
    assert settled.status == 409 and "confirmed" in settled.json()["detail"], settled.body
    assert resolve(g.admin, id, stage="chrage", state="confirmed").status == 404
    for body, field in (({"stage": "charge", "state": "lost"}, "state"), ({"state": "failed"}, "stage"), ({"stage": "charge", "state": "failed", "by": "me"}, "by")):
        refused = resolve(g.admin, id, **body)
        assert refused.status == 400 and refused.json()["field"] == field, refused.body
    assert g.app.get("/api/jobs/job_0000000000000/effects").status == 404


@pytest.mark.parametrize("flow", ["charge", "once"])
def test_killed_at_any_moment_around_the_call(house, shop, flow):
    """Ten rounds: what honours a key happens once by it; what may not be sent twice is sent at most once, and is unknown where nobody can say."""
    chance = random.Random(flow)
    s = shop(slow=lambda: chance.uniform(0, 0.08))
    g = house(CHARGE, ONCE, shop=s)
    jobs: dict[int, str] = {}
    for r in range(10):
        fresh = {r * 10 + i: "" for i in range(4)}
        for n in fresh:
            fresh[n] = submit(g, flow, {"n": n})
        time.sleep(chance.uniform(0, 0.12))            # the moment is what varies
        g.kill()
        g.start()
        for id in fresh.values():
            ended(g, id)
        jobs |= fresh
    sent_twice = unknown = 0
    for n, id in jobs.items():
        asked, states, end = s.of(n), [e["state"] for e in effects(g, id)], job(g, id)
        if flow == "charge":
            assert len({a["headers"]["idempotency-key"] for a in asked}) == 1, (n, asked)
            assert end["state"] == "done" and states[-1] == "confirmed" and set(states[:-1]) <= {"failed"}, (n, end, states)
            sent_twice += len(asked) > 1
            assert len(asked) <= len(states)
        elif end["state"] == "done":
            assert len(asked) == 1 and states == ["confirmed"], (n, states)
        else:
            assert len(asked) <= 1 and states == ["unknown"], (n, states, asked)
            assert f"/api/jobs/{id}/effects/resolve" in end["error"]["message"], end
            unknown += 1
            told = resolve(g.admin, id, stage="charge", state="confirmed" if asked else "failed", note="asked the shop")
            assert told.status == 200 and told.json()["outcome"] == {"note": "asked the shop"}, told.body
            assert resolve(g.admin, id, stage="charge", state="failed").status == 409
    assert len(s.done) == (len(jobs) if flow == "charge" else 0)
    print(f"{flow}: {len(jobs)} runs, {len(s.asked)} calls, {sent_twice} sent again, {unknown} unknown")
    verified = g.command("audit", "verify")
    assert verified.returncode == 0


def test_an_unknown_effect_is_resolved_on_the_command_line(house, shop):
    silent = threading.Event()
    s = shop(slow=lambda: silent.wait(60) and 0.0)
    g = house(ONCE, shop=s)
    id = submit(g, "once", {"n": 1})
    wait_until(lambda: len(s.asked) == 1)
    g.kill()
    silent.set()
    g.start()
    assert ended(g, id)["state"] == "dead"
    assert "unknown" in g.command("jobs", "effects", id, "--state", "unknown").stdout
    g.command("jobs", "resolve", id, "charge", "confirmed", "--note", "it is in their books")
    [effect] = effects(g, id)
    assert effect["state"] == "confirmed" and effect["outcome"] == {"note": "it is in their books"}
    assert len(s.asked) == 1


def test_what_a_cancelled_run_had_in_the_air_is_unknown(house, shop):
    silent = threading.Event()
    s = shop(slow=lambda: silent.wait(60) and 0.0)
    g = house(CHARGE, shop=s)
    id = submit(g, "charge", {"n": 1})
    wait_until(lambda: len(s.asked) == 1)
    assert post(g.app, f"/api/jobs/{id}/cancel").status == 200
    silent.set()
    [effect] = effects(g, id)
    assert effect["state"] == "unknown" and effect["outcome"] == {"why": "the run is cancelled"}
    assert resolve(g.admin, id, stage="charge", state="confirmed", note="in their books").status == 200


def test_what_was_done_is_undone_in_reverse(house, shop):
    s = shop()
    g = house(BOOK, shop=s)
    id = submit(g, "book", {})
    assert ended(g, id)["state"] == "dead"
    assert [(a["method"], a["path"]) for a in s.asked] == [("POST", "/rooms"), ("POST", "/broke"), ("DELETE", "/rooms/0")]
    assert [(e["stage"], e["kind"], e["state"]) for e in effects(g, id)] == [("room", "http", "compensated"), ("pay", "http", "failed"), ("room", "compensation", "confirmed")]


def test_addresses_that_are_not_allowed_are_refused_by_the_field(house, shop):
    s = shop()
    g = house(LOOK, allow=[])
    for url in ("http://169.254.169.254/latest/meta-data/", "http://10.0.0.1/", "http://192.168.1.1:8080/", s.url + "/x", f"http://localhost:{s.port}/x", f"http://[::1]:{s.port}/x",
                f"http://2130706433:{s.port}/x", f"http://0x7f.1:{s.port}/x", f"http://[::ffff:127.0.0.1]:{s.port}/x"):
        end = ended(g, submit(g, "look", {"url": url}))
        assert end["state"] == "dead" and end["error"]["code"] == "policy_egress_denied", (url, end)
        [record] = g.app.get(f"/api/jobs/{end['id']}/stages").json()["records"]
        assert record["error"]["field"] == "stages.look.http.url", record
    assert s.asked == []


def test_a_redirect_to_where_it_may_not_go_is_refused(house, shop):
    s, inner = shop(), shop()
    g = house(LOOK, shop=s)
    assert ended(g, submit(g, "look", {"url": s.url + "/fine"}))["state"] == "done"
    for target in (inner.url + "/admin", "http://169.254.169.254/", f"http://localhost:{inner.port}/", "http://10.0.0.1/"):
        s.moved = target
        end = ended(g, submit(g, "look", {"url": s.url + "/moved"}))
        assert end["state"] == "dead" and end["error"]["code"] == "policy_egress_denied", (target, end)
    assert inner.asked == []
