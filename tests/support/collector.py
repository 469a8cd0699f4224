"""A collector of telemetry: takes OTLP/HTTP as its protocol says, and reads every body by the protocol's own descriptors, strictly."""
from __future__ import annotations

import base64
import gzip
import json
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from google.protobuf import json_format
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import ExportMetricsServiceRequest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

MESSAGES = {"/v1/traces": ExportTraceServiceRequest, "/v1/metrics": ExportMetricsServiceRequest}
IDS = {"traceId", "spanId", "parentSpanId"}


def with_bytes(value):
    """OTLP writes ids in hex where protobuf's own JSON has base64: the one place where the two differ."""
    if isinstance(value, list):
        return [with_bytes(v) for v in value]
    if not isinstance(value, dict):
        return value
    return {k: base64.b64encode(bytes.fromhex(v)).decode() if k in IDS else with_bytes(v) for k, v in value.items()}


class Collector:
    def __init__(self):
        self.requests: list = []            # (path, headers, message)
        self.refused: list[str] = []        # what the protocol does not know
        outer = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_POST(self):
                body = self.rfile.read(int(self.headers["content-length"]))
                status = 200
                try:
                    if self.headers.get("content-encoding") == "gzip":
                        body = gzip.decompress(body)
                    message = json_format.ParseDict(with_bytes(json.loads(body)), MESSAGES[self.path]())
                    outer.requests.append((self.path, dict(self.headers), message))
                except Exception as e:  # noqa: BLE001: whatever it is, the test is told
                    outer.refused.append(f"{self.path}: {e!r} in {body[:2000]!r}")
                    status = 400
                self.send_response(status)
                self.send_header("content-type", "application/json")
                self.send_header("content-length", "2")
                self.end_headers()
                self.wfile.write(b"{}")

            def log_message(self, *args):
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server.server_address[1]}"

    def stop(self) -> None:
        self.server.shutdown()
        self.server.server_close()

    def spans(self) -> list:
        return [span for path, _, m in self.requests if path == "/v1/traces" for r in m.resource_spans for s in r.scope_spans for span in s.spans]

    def metrics(self) -> dict:
        """The last body's metrics by name."""
        last = [m for path, _, m in self.requests if path == "/v1/metrics"][-1]
        return {metric.name: metric for r in last.resource_metrics for s in r.scope_metrics for metric in s.metrics}

    def resource(self, path: str) -> dict:
        last = [m for p, _, m in self.requests if p == path][-1]
        return attributes((last.resource_spans if path == "/v1/traces" else last.resource_metrics)[0].resource)


def paths(spans: list, caller: bytes = b"") -> list[str]:
    """"job > stage > …" by names, of each; what lies neither beneath another nor beneath the caller begins with "?"."""
    by_id = {s.span_id: s for s in spans}
    assert len(by_id) == len(spans), "two spans of one id"
    out = []
    for span in spans:
        path, at = span.name, span.parent_span_id
        while at in by_id:
            path, at = by_id[at].name + " > " + path, by_id[at].parent_span_id
        out.append(path if at == caller else "? " + path)
    return sorted(out)


def attributes(of) -> dict:
    def plain(v):
        return [plain(x) for x in v.array_value.values] if v.WhichOneof("value") == "array_value" else getattr(v, v.WhichOneof("value"))
    return {a.key: plain(a.value) for a in of.attributes}
