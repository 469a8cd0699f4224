"""A real Prometheus scrapes a gateway under load: the format, the examples, the rules and every expression of the dashboard."""
from __future__ import annotations

import json
import re
import shutil
import subprocess
import threading
import time

import pytest

from support.client import Caller
from support.configs import PRICE, provider
from support.fake_upstream import error
from support.gateway import ROOT, wait_until
from support.prometheus import Prometheus

pytestmark = pytest.mark.skipif(not (shutil.which("prometheus") and shutil.which("promtool")), reason="prometheus is not installed (apt-get install prometheus)")
WORK_KEY = "sk-ballast-work-0123456789abcdef0123456789"
TRACE = "4bf92f3577b34da6a3ce929d0e0e4736"
DASHBOARD = ROOT / "deploy" / "grafana" / "ballast.json"


class Load:
    """Of everything a little, until it is told to stop: answers, streams, cache hits, failures, jobs that are done and jobs that die."""

    def __init__(self, g):
        self.g, self.stopping, self.rounds = g, False, 0
        self.worker = Caller(g.port, WORK_KEY)
        self.thread = threading.Thread(target=self.run)
        self.thread.start()

    def run(self) -> None:
        while not self.stopping:
            self.g.app.chat("chat", stream=True)
            self.g.app.post("/v1/chat/completions", {"model": "chat", "messages": [{"role": "user", "content": "again"}]},
                            headers={"traceparent": f"00-{TRACE}-00f067aa0ba902b7-01"})
            self.g.app.post("/v1/chat/completions", {"model": "bad", "messages": [{"role": "user", "content": f"{self.rounds}"}]})
            for n in range(3):
                self.g.app.post("/api/jobs", {"task": "resize", "queue": "images", "payload": n, "attempts": 1})
            tasks = self.worker.post("/api/workers/pull", {"worker": "w1", "queues": ["images"], "max": 2, "wait": "5s", "lease": "30s"}).json()["tasks"]
            for how, task in zip(("complete", "fail"), tasks):
                more = {} if how == "complete" else {"error": {"message": "too slow", "code": "provider_timeout"}}
                self.worker.post(f"/api/workers/{how}", {"tasks": [{"id": task["id"], "fence": task["fence"], **more}]})
            self.rounds += 1
            time.sleep(0.1)

    def stop(self) -> None:
        self.stopping = True
        self.thread.join()


@pytest.fixture
def house(upstream, gateway, tmp_path):
    upstream.script("broken", *[error(500)] * 5000)
    models = {name: {"price": PRICE, "context": 32768, "max_output": 4096} for name in ("up/model", "up/broken")}
    g = gateway({"providers": {"up": provider(upstream)}, "models": models,
                 "routes": {"chat": {"targets": ["up/model"], "cache": {"ttl": "1h", "scope": "key"}}, "bad": {"targets": ["up/broken"], "retries": {"attempts": 1}}},
                 "budgets": [{"name": "all", "scope": "system", "amount": "$100", "per": "day"}]}, start=False)
    g.config["keys"] += [{"name": "worker", "value": WORK_KEY, "scopes": ["work"]}]
    g.write_config()
    g.start()
    p, load = Prometheus(tmp_path, g.port), Load(g)
    yield g, p, load
    load.stop()
    p.stop()


def expressions() -> list[tuple[str, str]]:
    panels = json.loads(DASHBOARD.read_text())["panels"]
    return [(panel["title"], target["expr"]) for panel in panels for target in panel.get("targets", [])]


def test_a_scrape_under_load_has_what_the_dashboard_and_the_rules_ask_for(house):
    g, p, load = house
    wait_until(lambda: load.rounds >= 8 and len(p.query("ballast_jobs_dead_letters > 0")) > 0)
    (target,) = p.api("targets")["activeTargets"]
    assert target["health"] == "up" and not target["lastError"]
    for title, expression in expressions():
        real = expression.replace("$job", ".*").replace("$instance", ".*").replace("$__rate_interval", "30s")
        assert "$" not in real, title
        wait_until(lambda: p.query(real), 30)  # noqa: B023
    # The same figure on both sides, once nothing moves.
    load.stop()
    g.idle()
    calls = g.metric("ballast_calls_total")
    wait_until(lambda: float(p.query("sum(ballast_calls_total)")[0]["value"][1]) == calls)
    assert calls >= 24 and g.metric("ballast_cache_total", state="hit") > 0
    # Examples lead to the traces that callers brought.
    found = p.api("query_exemplars", query="ballast_call_duration_seconds_bucket", start=time.time() - 600, end=time.time() + 60)
    assert TRACE in {e["labels"]["trace_id"] for series in found for e in series["exemplars"]}
    # Every rule is evaluated without an error.
    rules = [rule for group in p.api("rules")["groups"] for rule in group["rules"]]
    wait_until(lambda: all(r["health"] == "ok" for group in p.api("rules")["groups"] for r in group["rules"]))
    assert len(rules) >= 25


def test_promtool_finds_nothing_to_say_of_the_exposition(house):
    g, _, load = house
    wait_until(lambda: load.rounds >= 2)
    done = subprocess.run(["promtool", "check", "metrics"], input=g.admin.get("/metrics").body, capture_output=True)
    assert done.returncode == 0 and not done.stderr, done.stderr.decode()


def test_every_metric_of_the_dashboard_is_documented_and_it_can_be_imported():
    dashboard = json.loads(DASHBOARD.read_text())
    table = (ROOT / "docs" / "operations.md").read_text().split("## Metrics and alerts")[1].split("\n## ")[0]
    documented = set(re.findall(r"`(ballast_\w+)`", table))
    used = {re.sub(r"_(bucket|count|sum)$", "", name) for _, e in expressions() for name in re.findall(r"\bballast_\w+", e)}
    assert used and used <= documented, used - documented
    assert dashboard["templating"]["list"][0]["type"] == "datasource" and "id" not in dashboard
    panels = dashboard["panels"]
    assert len({panel["id"] for panel in panels}) == len(panels)
    assert {panel["datasource"]["uid"] for panel in panels if panel["type"] != "row"} == {"${datasource}"}
    cells = [(x, y) for panel in panels for at in [panel["gridPos"]] for x in range(at["x"], at["x"] + at["w"]) for y in range(at["y"], at["y"] + at["h"])]
    assert len(cells) == len(set(cells)), "panels overlap"
