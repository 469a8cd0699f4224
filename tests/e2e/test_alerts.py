"""Alerts: a provider that fails is told to a webhook, silenced, survives a kill, and is resolved; a bad section is refused; a read-only key changes nothing."""
import base64
import hashlib
import hmac
import json
import subprocess

import pytest

from support.configs import one_provider
from support.fake_upstream import error, ok
from support.gateway import binary, wait_until
from support.local_server import LocalServer

pytestmark = pytest.mark.databases

SECRET = "whsec_" + base64.b64encode(b"a-secret-of-the-alerts-receiver!").decode()


class Receiver(LocalServer):
    def __init__(self):
        self.came = []
        super().__init__()

    def answer(self, method, path, headers, body):
        self.came.append({"path": path, "headers": headers, "body": json.loads(body), "raw": body})
        return 200, {}, b""

    def of(self, path, kind=None):
        return [c for c in self.came if c["path"] == path and (kind is None or c["body"].get("type") == kind)]


@pytest.fixture
def receiver():
    r = Receiver()
    yield r
    r.stop()


def config(upstream, r):
    base = f"http://127.0.0.1:{r.port}"
    return one_provider(upstream, webhooks={"allow": [f"127.0.0.1:{r.port}"], "secrets": {"alerts": {"value": SECRET}}}, breakers={"consecutive": 1000, "ratio": 1.0, "minimum": 100000},
                        alerts={"receivers": {"desk": {"url": base + "/desk", "secret": "alerts"}, "chat": {"type": "slack", "url": base + "/chat", "rules": ["error_burst"]}},
                                "rules": {"error_burst": {"resolve": "6s", "by": ["all"]}}, "group_wait": "1s", "group_interval": "2s"})


def firing(g, rule):
    return [a for a in g.admin.get("/api/alerts").json()["alerts"] if a["rule"] == rule and a["state"] in ("firing", "silenced")]


def signed(c):
    h = c["headers"]
    text = f"{h['webhook-id']}.{h['webhook-timestamp']}.".encode() + c["raw"]
    want = base64.b64encode(hmac.new(base64.b64decode(SECRET.removeprefix("whsec_")), text, hashlib.sha256).digest()).decode()
    return f"v1,{want}" in h.get("webhook-signature", "").split(" ")


def fail_calls(g, upstream, n=12):
    upstream.script("model", error(500))
    for _ in range(n):
        assert g.app.chat("chat").status >= 500


def line(g, name):
    return next(one for one in g.admin.get("/api/readiness").json()["lines"] if one["id"] == name)


def test_a_failing_provider_is_told_and_survives_a_kill(upstream, gateway, receiver):
    g = gateway(config(upstream, receiver))
    assert line(g, "cost_alerts")["state"] == "unproven", "a receiver is no proof that it hears"
    fail_calls(g, upstream)
    wait_until(lambda: receiver.of("/desk", "alert.firing"), 60)
    told = receiver.of("/desk", "alert.firing")[0]
    assert signed(told)
    assert told["body"]["data"]["rule"] == "error_burst" and told["body"]["data"]["firing"][0]["severity"] == "page"
    wait_until(lambda: receiver.of("/chat"), 30)
    assert "error_burst" in receiver.of("/chat")[0]["body"]["text"]
    wait_until(lambda: line(g, "cost_alerts")["state"] == "passed", 30)
    assert "a notice was delivered on" in line(g, "cost_alerts")["evidence"]
    alert = firing(g, "error_burst")[0]
    assert alert["value"] > alert["threshold"] and alert["unit"] == "share" and alert["evidence"]["failed"]
    assert 'ballast_alerts{state="firing",severity="page"} 1' in g.admin.get("/metrics").body.decode()
    g.kill()
    g.start()
    fail_calls(g, upstream, 6)
    wait_until(lambda: firing(g, "error_burst") and firing(g, "error_burst")[0]["id"] == alert["id"], 30)
    ids = {c["headers"]["webhook-id"] for c in receiver.of("/desk", "alert.firing") if c["body"]["data"]["rule"] == "error_burst"}
    assert len(ids) == 1, "told anew after the kill"
    upstream.script("model", ok(3))
    for _ in range(60):
        assert g.app.chat("chat").succeeded()
    wait_until(lambda: receiver.of("/desk", "alert.resolved"), 60)
    assert not firing(g, "error_burst")


def test_what_is_silenced_is_shown_and_not_told(upstream, gateway, receiver):
    g = gateway(config(upstream, receiver))
    made = g.admin.post("/api/alerts/silences", {"rule": "error_burst", "for": "1h", "note": "we know"})
    assert made.status == 201, made.body
    g.admin.post("/api/alerts/silences", {"rule": "errors_fast", "for": "1h"})
    fail_calls(g, upstream)
    wait_until(lambda: any(a["state"] == "silenced" for a in firing(g, "error_burst")), 60)
    assert not receiver.of("/chat")
    assert g.admin.delete("/api/alerts/silences/" + made.json()["id"]).status == 200
    wait_until(lambda: receiver.of("/chat"), 30)


def test_a_receiver_can_be_tried_and_bad_asks_are_refused(upstream, gateway, receiver):
    g = gateway(config(upstream, receiver))
    assert g.admin.post("/api/alerts/test", {"receiver": "desk"}).status == 202
    wait_until(lambda: [c for c in receiver.of("/desk") if c["body"]["data"]["rule"] == "test"], 30)
    assert {w["url"] for w in g.admin.get("/api/webhooks").json()["webhooks"]} == {f"http://127.0.0.1:{receiver.port}/…"}, "a path may be a secret"
    assert g.admin.post("/api/alerts/test", {"receiver": "nobody"}).status == 404
    for body in ({"rule": "no such rule", "for": "1h"}, {"for": "0"}, {"for": "1h", "labels": ["x"]}, {"for": "1h", "who": "me"}, {}):
        reply = g.admin.post("/api/alerts/silences", body)
        assert reply.status == 400, (body, reply.body)
    assert g.app.post("/api/alerts/silences", {"for": "1h"}).status == 403
    assert g.app.get("/api/alerts").status == 403
    assert g.admin.get("/api/alerts?state=open").status == 400
    rules = {r["name"] for r in g.admin.get("/api/alerts").json()["rules"]}
    assert {"cost_spike", "errors_fast", "breaker_open", "price_missing", "journal"} <= rules


@pytest.mark.parametrize("section, field", [
    ({"rules": {"mine": {"factor": 2}}}, "alerts.rules.mine"),
    ({"rules": {"mine": {"kind": "nothing"}}}, "alerts.rules.mine.kind"),
    ({"rules": {"cost_spike": {"by": ["colour"]}}}, "alerts.rules.cost_spike.by"),
    ({"rules": {"errors_fast": {"objective": 99}}}, "alerts.rules.errors_fast.objective"),
    ({"rules": {"cost_spike": {"factr": 2}}}, "alerts.rules.cost_spike.factr"),
    ({"rules": {"cost_spike": {"burns": [{"rate": 2, "over": "1h", "now": "5m"}]}}}, "alerts.rules.cost_spike.burns"),
    ({"rules": {"errors_fast": {"burns": [{"rate": 2, "over": "1h"}]}}}, "alerts.rules.errors_fast.burns[0]"),
    ({"rules": {"errors_fast": {"burns": [{"rate": 2, "over": "5m", "now": "1h"}]}}}, "alerts.rules.errors_fast.burns[0]"),
    ({"rules": {"errors_fast": {"burns": [{"rate": 120, "over": "1h", "now": "5m"}]}}}, "alerts.rules.errors_fast.burns[0].rate"),
    ({"receivers": {"x": {}}}, "alerts.receivers.x.url"),
    ({"receivers": {"x": {"url": "ftp://a"}}}, "alerts.receivers.x.url"),
    ({"receivers": {"x": {"url": "https://a.example/", "secret": "none"}}}, "alerts.receivers.x.secret"),
    ({"receivers": {"x": {"url": "https://a.example/", "rules": ["none"]}}}, "alerts.receivers"),
])
def test_a_bad_section_is_refused_with_its_place(tmp_path, section, field):
    file = tmp_path / "ballast.yaml"
    file.write_text(json.dumps({"alerts": section}))
    done = subprocess.run([binary(), "check", "--json", "--config", str(file)], capture_output=True, text=True, timeout=60, cwd=tmp_path)
    assert done.returncode == 3, done.stdout
    assert field in [m["field"] for m in json.loads(done.stdout)["mistakes"]], done.stdout
