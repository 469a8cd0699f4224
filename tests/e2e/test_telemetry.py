"""What a collector gets: spans and metrics, read by the protocol's own descriptors, in the older and the newer names."""
from __future__ import annotations

import math
import re

import pytest

pytest.importorskip("opentelemetry.proto", reason="opentelemetry-proto is not installed (tests/requirements.txt; needs a network once)")

from support.collector import Collector, attributes  # noqa: E402
from support.configs import one_provider  # noqa: E402
from support.fake_upstream import error, ok  # noqa: E402
from support.gateway import wait_until  # noqa: E402

OLDER = {"gen_ai.system", "gen_ai.usage.prompt_tokens", "gen_ai.usage.completion_tokens"}
NEWER = {"gen_ai.provider.name"}


@pytest.fixture
def collector():
    c = Collector()
    yield c
    c.stop()


def ended(g, collector) -> None:
    assert g.terminate() == 0
    assert not collector.refused, collector.refused[0]


@pytest.mark.parametrize("names", ["newer", "older", "both"])
def test_spans_are_the_protocols_and_have_the_names_that_were_asked_for(upstream, gateway, collector, names):
    upstream.script("model", error(503), ok(20))
    g = gateway(one_provider(upstream, route={"retries": {"attempts": 2, "backoff": "10ms"}}, telemetry={"otlp": collector.url, "genai": names}))
    reply = g.app.chat("chat", stream=True)
    assert reply.succeeded()
    ended(g, collector)
    call, first, second = sorted(collector.spans(), key=lambda s: (s.kind, s.start_time_unix_nano))
    said = attributes(call)
    assert call.name == "chat chat" and second.name == "chat model"
    assert said["ballast.call.id"] == reply.headers["x-ballast-call-id"] and said["gen_ai.response.model"] == "model"
    assert first.parent_span_id == second.parent_span_id == call.span_id and first.trace_id == call.trace_id
    assert attributes(first)["error.type"] == "provider_overloaded" and "gen_ai.response.finish_reasons" not in attributes(first)
    answered = attributes(second)
    assert answered["gen_ai.response.finish_reasons"] == ["stop"] == said["gen_ai.response.finish_reasons"]
    assert answered["server.address"] == "127.0.0.1" and answered["server.port"] > 0 and answered["ballast.provider"] == "up"
    assert answered["gen_ai.usage.output_tokens"] > 0 and second.end_time_unix_nano > second.start_time_unix_nano
    wanted = {"newer": NEWER, "older": OLDER, "both": NEWER | OLDER}[names]
    assert set(answered) & (OLDER | NEWER) == wanted
    assert answered.get("gen_ai.usage.completion_tokens", answered["gen_ai.usage.output_tokens"]) == answered["gen_ai.usage.output_tokens"]
    assert ("gen_ai.response.time_to_first_chunk" in answered) == (names != "older")


def test_metrics_say_what_slash_metrics_says(upstream, gateway, collector):
    g = gateway(one_provider(upstream, telemetry={"otlp": collector.url, "metrics_every": "1s", "gzip": True, "headers": {"x-api-key": "${COLLECTOR_KEY}"},
                                                  "resource": {"deployment.environment.name": "test"}}), env={"COLLECTOR_KEY": "k-7"})
    for n in range(7):
        assert g.app.chat("chat", stream=n % 2 == 0).succeeded()
    g.settled()
    exposed = g.admin.get("/metrics").body.decode()
    ended(g, collector)
    metrics = collector.metrics()
    names = set(re.findall(r"^# TYPE (\w+) ", exposed, re.M))
    told = {n for n in metrics if n.startswith("ballast_")}
    assert told <= names and {n for n in names if re.search(rf"^{n}(_count)?[{{ ]", exposed, re.M)} <= told, "every series of the one is in the other"
    (calls,) = metrics["ballast_calls_total"].sum.data_points
    assert calls.as_int == 7 and metrics["ballast_calls_total"].sum.is_monotonic and attributes(calls)["outcome"] == "ok"
    assert metrics["ballast_calls_total"].sum.aggregation_temporality == 2
    (duration,) = metrics["ballast_call_duration_seconds"].exponential_histogram.data_points
    assert duration.count == 7 == sum(duration.positive.bucket_counts) + duration.zero_count and duration.sum > 0
    base = 2 ** 2 ** -duration.scale
    low, high = base ** duration.positive.offset, base ** (duration.positive.offset + len(duration.positive.bucket_counts))
    assert low * 7 * 0.9 <= duration.sum <= high * 7 * 1.1 and math.isclose(duration.sum, g_sum(exposed, "ballast_call_duration_seconds"), rel_tol=1e-9)
    traces = {s.trace_id for s in collector.spans()}
    assert duration.exemplars and {e.trace_id for e in duration.exemplars} <= traces, "an example leads to a trace that was sent"
    resource = collector.resource("/v1/metrics")
    assert resource == collector.resource("/v1/traces") and resource["service.name"] == "ballast" and resource["deployment.environment.name"] == "test"
    assert resource["service.instance.id"] and resource["service.version"]
    assert all(h["x-api-key"] == "k-7" and h["content-encoding"] == "gzip" for _, h, _ in collector.requests)


def g_sum(exposed: str, name: str) -> float:
    return sum(float(v) for v in re.findall(rf"^{name}_sum(?:{{.*}})? (\S+)$", exposed, re.M))


def test_the_conventions_metrics(upstream, gateway, collector):
    upstream.script("model", error(503), ok(12))
    g = gateway(one_provider(upstream, route={"retries": {"attempts": 2, "backoff": "10ms"}}, telemetry={"otlp": collector.url}))
    assert g.app.chat("chat", stream=True).succeeded()
    ended(g, collector)
    metrics = collector.metrics()
    tokens = {attributes(p)["gen_ai.token.type"]: p for p in metrics["gen_ai.client.token.usage"].histogram.data_points}
    assert set(tokens) == {"input", "output"} and tokens["output"].sum == 12
    assert list(tokens["input"].explicit_bounds) == [4.0**n for n in range(14)]
    durations = {attributes(p).get("error.type"): p for p in metrics["gen_ai.client.operation.duration"].histogram.data_points}
    assert set(durations) == {None, "provider_overloaded"} and all(p.count == 1 == sum(p.bucket_counts) for p in durations.values())
    said = attributes(durations[None])
    assert said["gen_ai.operation.name"] == "chat" and said["gen_ai.provider.name"] == said["gen_ai.system"] == "up" and said["server.address"] == "127.0.0.1"
    (first,) = metrics["gen_ai.server.time_to_first_token"].histogram.data_points
    (chunk,) = metrics["gen_ai.client.operation.time_to_first_chunk"].histogram.data_points
    assert first.count == chunk.count == 1 and first.explicit_bounds[0] == 0.001 and chunk.explicit_bounds[-1] == 81.92


def test_delta_adds_up_and_explicit_bounds_are_those_of_slash_metrics(upstream, gateway, collector):
    g = gateway(one_provider(upstream, telemetry={"otlp": collector.url, "metrics_every": "1s", "temporality": "delta", "histograms": "explicit"}))
    for n in range(3):
        assert g.app.chat("chat").succeeded()
        count = len(collector.requests)
        wait_until(lambda: sum(path == "/v1/metrics" for path, _, _ in collector.requests[count:]) >= 1)  # noqa: B023
    exposed = g.admin.get("/metrics").body.decode()
    ended(g, collector)
    calls = buckets = 0
    for path, _, message in collector.requests:
        for metric in (m for r in getattr(message, "resource_metrics", ()) for s in r.scope_metrics for m in s.metrics):
            if metric.name == "ballast_calls_total":
                assert metric.sum.aggregation_temporality == 1
                calls += sum(p.as_int for p in metric.sum.data_points)
            if metric.name == "ballast_call_duration_seconds":
                (point,) = metric.histogram.data_points
                buckets += sum(point.bucket_counts)
                bounds = re.findall(r'^ballast_call_duration_seconds_bucket{.*le="([\d.e-]+)"}', exposed, re.M)
                assert [float(b) for b in bounds] == list(point.explicit_bounds)
    assert calls == buckets == 3


def test_a_collector_that_is_away_costs_calls_nothing(upstream, gateway):
    g = gateway(one_provider(upstream, telemetry={"otlp": "http://127.0.0.1:9", "metrics_every": "1s"}))
    for _ in range(5):
        assert g.app.chat("chat").succeeded()
    assert g.terminate(30) == 0


def test_the_environment_names_a_collector(upstream, gateway, collector):
    g = gateway(one_provider(upstream), env={"OTEL_EXPORTER_OTLP_ENDPOINT": collector.url, "OTEL_SERVICE_NAME": "mine",
                                             "OTEL_SEMCONV_STABILITY_OPT_IN": "gen_ai_latest_experimental"})
    assert g.app.chat("chat").succeeded()
    ended(g, collector)
    assert collector.resource("/v1/traces")["service.name"] == "mine"
    assert not any(OLDER & set(attributes(s)) for s in collector.spans()) and collector.spans()
