"""Webhooks: who asked to be told of a job's end is told, signed, at least once and under one id; a dead or hostile address is a dead letter."""
import base64
import hashlib
import hmac
import json
import threading

import pytest

from support.gateway import wait_until
from support.local_server import LocalServer

pytestmark = pytest.mark.databases

NEW = "whsec_" + base64.b64encode(b"new-secret-of-thirty-two-bytes!!").decode()
OLD = "whsec_" + base64.b64encode(b"old-secret-of-thirty-two-bytes!!").decode()
BILLING = "whsec_" + base64.b64encode(b"a-secret-of-the-billing-receiver").decode()


class Receiver(LocalServer):
    """Answers each delivery with what `answer(path, how many came to it)` says: a status, or (status, headers); None: silence until the end."""

    def __init__(self, answer=lambda path, n: 200):
        self.came: list[dict] = []
        self.says = answer
        super().__init__()

    def answer(self, method, path, headers, body):
        self.came.append({"path": path, "headers": headers, "body": body})
        said = self.says(path, self.count(path))
        if said is None:
            return None
        status, more = said if isinstance(said, tuple) else (said, {})
        return status, more, b""

    def to(self, path: str) -> str:
        return self.url + path

    def count(self, path: str) -> int:
        return sum(c["path"] == path for c in self.came)


@pytest.fixture
def receiver():
    made = []

    def make(answer=lambda path, n: 200) -> Receiver:
        made.append(Receiver(answer))
        return made[-1]
    yield make
    for r in made:
        r.stop()


def signed_by(secret: str, delivery: dict) -> bool:
    """As a receiver verifies by the Standard Webhooks convention, with nothing of ours."""
    h = delivery["headers"]
    text = f"{h['webhook-id']}.{h['webhook-timestamp']}.".encode() + delivery["body"]
    want = base64.b64encode(hmac.new(base64.b64decode(secret.removeprefix("whsec_")), text, hashlib.sha256).digest()).decode()
    return any(s == f"v1,{want}" for s in h.get("webhook-signature", "").split(" "))


def webhooks(r: Receiver, **more) -> dict:
    return {"webhooks": {"allow": [f"127.0.0.1:{r.port}"], **more}}


def submit(gateway, webhook, **more) -> str:
    reply = gateway.app.post("/api/jobs", {"task": "ballast.noop", "payload": {"n": 1}, "webhook": webhook, **more})
    assert reply.status == 202, reply.body
    return reply.json()["id"]


def listed(gateway, **query) -> list[dict]:
    reply = gateway.admin.get("/api/webhooks" + ("?" + "&".join(f"{k}={v}" for k, v in query.items()) if query else ""))
    assert reply.status == 200, reply.body
    return reply.json()["webhooks"]


def of_job(gateway, job: str) -> dict:
    return next((w for w in listed(gateway) if w["job"] == job), {})


def wait_state(gateway, job: str, state: str) -> dict:
    wait_until(lambda: of_job(gateway, job).get("state") == state)
    return of_job(gateway, job)


def test_an_end_is_told_signed_by_the_secrets_in_force(gateway, receiver):
    r = receiver()
    g = gateway(webhooks(r, secrets={"default": {"value": "${NEW}", "previous": "${OLD}"}, "billing": {"value": "${BILLING}"}}),
                env={"NEW": NEW, "OLD": OLD, "BILLING": BILLING})
    done = submit(g, r.to("/done"))
    billed = submit(g, {"url": r.to("/billed"), "secret": "billing"})
    waiting = submit(g, r.to("/cancelled"), task="nobody.runs.this")
    assert g.app.post(f"/api/jobs/{waiting}/cancel", {}).status == 200
    for job in (done, billed, waiting):
        wait_state(g, job, "delivered")
    by_path = {c["path"]: c for c in r.came}
    assert len(r.came) == 3
    first = by_path["/done"]
    assert signed_by(NEW, first) and signed_by(OLD, first) and not signed_by(BILLING, first)
    assert signed_by(BILLING, by_path["/billed"]) and not signed_by(NEW, by_path["/billed"])
    told = json.loads(first["body"])
    shown = g.app.get(f"/api/jobs/{done}").json()
    assert told["type"] == "job.done" and told["data"] == shown and told["timestamp"] == shown["finished"]
    assert json.loads(by_path["/cancelled"]["body"])["type"] == "job.cancelled"
    text = g.log.read_text() + g.admin.get("/api/webhooks").body.decode()
    assert not any(secret in text for secret in (NEW, OLD, BILLING))

    g.config["webhooks"]["secrets"]["default"] = {"value": OLD}          # rotation needs no restart
    g.write_config()
    wait_until(lambda: '"event":"reloaded"' in g.log.read_text())
    wait_state(g, submit(g, r.to("/rotated")), "delivered")
    last = r.came[-1]
    assert signed_by(OLD, last) and not signed_by(NEW, last)


def test_what_fails_is_delivered_later_under_the_same_id_and_the_dead_are_redriven(gateway, receiver):
    mended = threading.Event()
    r = receiver(lambda path, n: {"/flaky": 500 if n == 1 else 204, "/gone": 200 if mended.is_set() else 410,
                                  "/moved": (302, {"Location": "http://127.0.0.1:1/"})}[path])
    g = gateway(webhooks(r))
    flaky, gone, moved = (submit(g, r.to(p)) for p in ("/flaky", "/gone", "/moved"))
    dead = wait_state(g, gone, "dead")
    assert dead["status"] == 410 and dead["attempts"] == 1 and listed(g, state="dead")[0]["id"] == dead["id"]
    assert wait_state(g, flaky, "delivered")["attempts"] == 2
    tries = [c for c in r.came if c["path"] == "/flaky"]
    assert tries[0]["headers"]["webhook-id"] == tries[1]["headers"]["webhook-id"] and tries[0]["body"] == tries[1]["body"]
    held = of_job(g, moved)
    assert held["state"] == "pending" and held["status"] == 302 and "redirect" in held["why"]

    assert g.app.post(f"/api/webhooks/{dead['id']}/redrive", {}).status == 403
    assert g.app.get("/api/webhooks").status == 403
    assert g.admin.post(f"/api/webhooks/{held['id']}/redrive", {}).status == 409
    assert g.admin.post("/api/webhooks/msg_1/redrive", {}).status == 404
    mended.set()
    again = g.admin.post(f"/api/webhooks/{dead['id']}/redrive", {})
    assert again.status == 202, again.body
    assert [e["subject"] for e in g.admin.get("/api/audit").json()["entries"] if e["action"] == "webhook.redriven"] == [dead["id"]]
    wait_state(g, gone, "delivered")
    ids = {c["headers"]["webhook-id"] for c in r.came if c["path"] == "/gone"}
    assert ids == {dead["id"]}
    assert g.admin.get(f"/api/webhooks/{dead['id']}").json()["payload"]["data"]["id"] == gone

    page = g.admin.get("/api/webhooks?limit=2").json()
    rest = g.admin.get(f"/api/webhooks?limit=2&before={page['next']}").json()
    assert [w["job"] for w in page["webhooks"] + rest["webhooks"]] == [moved, gone, flaky]
    assert g.admin.get("/api/webhooks?state=lost").status == 400


def test_a_hostile_address_is_refused_at_once_and_a_dead_one_holds_up_nobody(gateway, receiver):
    r, other = receiver(lambda path, n: None), receiver()
    g = gateway({"drain": "1s", "webhooks": {"allow": [f"127.0.0.1:{r.port}", f"localhost:{other.port}"]}})
    for url in (f"http://localhost:{r.port}/", f"http://[::1]:{r.port}/", "http://169.254.169.254/latest/meta-data", "http://10.0.0.1/", "http://0x7f.1/",
                "http://2130706433/", "http://hooks.example:25/"):
        refused = g.app.post("/api/jobs", {"task": "ballast.noop", "webhook": url})
        assert refused.status == 403 and refused.json()["code"] == "policy_egress_denied" and refused.json()["field"] == "webhook", (url, refused.body)
    for webhook in ("not a url", "ftp://hooks.example/", {"url": r.to("/"), "secret": "unknown"}, {"to": "x"}, 7):
        refused = g.app.post("/api/jobs", {"task": "ballast.noop", "webhook": webhook})
        assert refused.status == 400 and refused.json()["field"].startswith("webhook"), (webhook, refused.body)
    bulk = g.app.post("/api/jobs/bulk", {"jobs": [{"task": "ballast.noop"}, {"task": "ballast.noop", "webhook": "http://10.0.0.1/"}]})
    assert bulk.status == 403 and bulk.json()["field"] == "jobs[1].webhook"
    assert listed(g) == []

    silent = [submit(g, r.to("/silent")) for _ in range(20)]            # five slots' worth of a host that never answers
    nowhere = submit(g, "http://hooks.invalid/")                         # a name that nobody has
    wait_until(lambda: r.count("/silent") == 4)
    heard = submit(g, f"http://localhost:{other.port}/heard")
    assert wait_state(g, heard, "delivered")["attempts"] == 1
    assert all(of_job(g, job)["state"] == "pending" for job in (*silent, nowhere)) and r.count("/silent") == 4
    assert g.app.post("/api/jobs?wait=20s", {"task": "ballast.noop"}).json()["state"] == "done"


def test_kill_9_between_the_end_and_the_delivery_delivers_after_the_restart(gateway, receiver):
    up = threading.Event()
    r = receiver(lambda path, n: 200 if up.is_set() else None)
    g = gateway(webhooks(r))
    job = submit(g, r.to("/told"))
    wait_until(lambda: r.count("/told") == 1)              # on its way, and nothing of it is settled
    g.kill()
    up.set()
    g.start()
    delivered = wait_state(g, job, "delivered")
    assert {c["headers"]["webhook-id"] for c in r.came} == {delivered["id"]} and len(r.came) == 2

    g.terminate()                                          # what is delivered stays so
    g.start()
    assert of_job(g, job)["state"] == "delivered" and len(r.came) == 2


def test_sigterm_lets_a_delivery_under_way_end(gateway, receiver):
    slow, answered = threading.Event(), threading.Event()

    def after_a_while(path, n):
        slow.set()
        answered.wait(30)
        return 200
    r = receiver(after_a_while)
    g = gateway(webhooks(r))
    job = submit(g, r.to("/slow"))
    slow.wait(30)
    threading.Timer(0.5, answered.set).start()
    assert g.terminate() == 0
    g.start()
    assert of_job(g, job)["state"] == "delivered" and r.count("/slow") == 1
