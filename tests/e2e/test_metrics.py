"""/metrics and the list of names in docs/operations.md say the same, and the gauges move with what they show."""
from __future__ import annotations

import re

from support.configs import one_provider
from support.fake_upstream import error
from support.gateway import ROOT


def names(gateway) -> set[str]:
    return set(re.findall(r"^# TYPE (\w+) ", gateway.admin.get("/metrics").body.decode(), re.M))


def test_every_metric_is_documented_and_every_documented_one_is_there(upstream, gateway):
    g = gateway(one_provider(upstream, telemetry={"otlp": "http://127.0.0.1:9"}))
    assert g.app.chat("chat").succeeded()
    table = (ROOT / "docs" / "operations.md").read_text().split("## Metrics and alerts")[1].split("\n## ")[0]
    documented = set(re.findall(r"`(ballast_\w+)`", table))
    assert names(g) == documented


def test_the_gauges_of_the_rooms(upstream, gateway):
    upstream.script("model", error(503))
    budget = [{"name": "all", "scope": "system", "amount": "$1", "per": "day"}]
    g = gateway(one_provider(upstream, route={"retries": {"attempts": 1}, "cache": {"ttl": "1h"}}, budgets=budget))
    assert g.metric("ballast_breakers_open") == 0 and g.metric("ballast_journal_failing") == 0
    for _ in range(25):
        g.app.chat("chat")
    assert g.metric("ballast_breakers_open") == 1 and g.metric("ballast_budget_windows") == 1
    g.settled()
    assert g.metric("ballast_journal_behind_bytes") == 0 and g.metric("ballast_journal_in_flight") == 0
    assert g.metric("ballast_journal_files") >= 1 and g.metric("ballast_journal_file_bytes") > 0
    assert g.metric("ballast_cache_entries") == 0 and g.metric("ballast_queue_waiting") == 0


def test_a_cached_answer_shows_in_the_caches_gauges(upstream, gateway):
    g = gateway(one_provider(upstream, route={"cache": {"ttl": "1h", "scope": "key"}}))
    assert g.app.chat("chat").succeeded() and g.app.chat("chat").succeeded()
    assert g.metric("ballast_cache_entries") == 1 and g.metric("ballast_cache_bytes") > 0


def test_the_span_of_a_failed_attempt_names_its_error(upstream, gateway):
    """The provider and the collector are one fake: what the gateway sends of its spans is seen beside its calls."""
    upstream.script("model", error(503))
    collector = upstream.base_url.removesuffix("/v1")
    g = gateway(one_provider(upstream, route={"retries": {"attempts": 1}}, telemetry={"otlp": collector}))
    assert not g.app.chat("chat").succeeded()
    assert g.terminate() == 0, "what waits is sent at the end"
    sent = [s.body for s in upstream.seen() if s.path.endswith("/v1/traces")]
    spans = [span for body in sent for r in body["resourceSpans"] for scope in r["scopeSpans"] for span in scope["spans"]]
    found = {span["kind"]: {a["key"]: a["value"] for a in span["attributes"]} for span in spans}
    assert found[3]["error.type"] == {"stringValue": "provider_overloaded"}, "the attempt (client)"
    assert found[2]["error.type"]["stringValue"], "the call (server)"
