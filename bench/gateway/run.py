#!/usr/bin/env python3
"""Ballast beside nginx, in front of the same upstream, in the same run.

The gateway is pinned to core 0, the load generator and the upstream to core 1. Ballast runs with everything on:
authentication, limits, a budget, accounting, decision records, metrics and logging. nginx is a plain reverse proxy.
Each figure is the median of REPEAT runs, and the cases take turns within a repetition, so that what disturbs the
machine disturbs all of them.

    run.py [--quick] [--repeat N] [--seconds S] [--cases direct,nginx,ballast,portkey]
           [--only throughput,latency,streams,many] [--out results.json] [--markdown]

`make bench` runs it. Portkey's column appears when npm's @portkey-ai/gateway is installed in build/bench/portkey
(`run.py --install-portkey`). Needs two cores, nginx, and the release build. Exits 1 when a floor is not reached.
"""
from __future__ import annotations

import argparse
import json
import os
import pathlib
import random
import shutil
import signal
import socket
import statistics
import subprocess
import sys
import time

ROOT = pathlib.Path(__file__).resolve().parents[2]
HERE = pathlib.Path(__file__).resolve().parent
WORK = ROOT / "build" / "bench"
BUILD = pathlib.Path(os.environ.get("BALLAST_BUILD", ROOT / "build" / "release"))
BALLAST = os.environ.get("BALLAST_BIN", str(BUILD / "src" / "ballast"))
KEY = "sk-ballast-bench-0123456789abcdef0123456789"
MODEL = "bench-model"
PATH = "/v1/chat/completions"
PORTKEY = WORK / "portkey" / "node_modules" / "@portkey-ai" / "gateway"
TICKS = os.sysconf("SC_CLK_TCK")


# ---- processes -------------------------------------------------------------------------------------------------------

def free_port() -> int:
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return s.getsockname()[1]


def children(pid: int) -> list[int]:
    out = [pid]
    try:
        for task in os.listdir(f"/proc/{pid}/task"):
            for child in pathlib.Path(f"/proc/{pid}/task/{task}/children").read_text().split():
                out += children(int(child))
    except FileNotFoundError:
        pass
    return out


def cpu_seconds(pid: int) -> float:
    total = 0
    for p in children(pid):
        try:
            fields = pathlib.Path(f"/proc/{p}/stat").read_text().rsplit(")", 1)[1].split()
            total += int(fields[11]) + int(fields[12])
        except FileNotFoundError:
            pass
    return total / TICKS


def resident_kb(pid: int) -> int:
    total = 0
    for p in children(pid):
        try:
            for line in pathlib.Path(f"/proc/{p}/status").read_text().splitlines():
                if line.startswith("VmRSS"):
                    total += int(line.split()[1])
        except FileNotFoundError:
            pass
    return total


def start(core: int, command: list[str], port: int, env: dict | None = None, cwd=None) -> subprocess.Popen:
    log = open(WORK / "out.log", "ab")
    process = subprocess.Popen(["taskset", "-c", str(core), *command], stdout=log, stderr=log, env=env, cwd=cwd)
    for _ in range(300):
        if process.poll() is not None:
            break
        try:
            socket.create_connection(("127.0.0.1", port), 0.2).close()
            time.sleep(0.4)
            return process
        except OSError:
            time.sleep(0.05)
    stop(process)
    raise SystemExit(f"did not start: {' '.join(command)} (see {WORK}/out.log)")


def stop(process: subprocess.Popen) -> None:
    process.send_signal(signal.SIGTERM)
    try:
        process.wait(10)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()


# ---- what is measured ------------------------------------------------------------------------------------------------

def chat_body(size: int, **more) -> str:
    """A chat of about `size` bytes: a system prompt and turns of ordinary words, the same in every run."""
    rng = random.Random(1)
    vocabulary = ("the model should answer briefly and cite sources when it can because users want grounded results about "
                  "latency queue index token budget vector gateway retry failure context prompt response stream schema tool "
                  "call function weather london order invoice refund policy customer support agent please summarise").split()
    messages = [{"role": "system", "content": "You are a helpful assistant for a support desk. Be concise."}]
    while True:
        body = {"model": MODEL, "messages": messages, "temperature": 0.2, "max_tokens": 256, "user": "user-1234", **more}
        text = json.dumps(body, separators=(",", ":"))
        if len(text) >= size:
            return text
        n = min(60, max(4, (size - len(text)) // 7))
        words = " ".join(rng.choice(vocabulary) for _ in range(n))
        odd = 'caf\u00e9 "quoted" ' if len(messages) % 5 == 0 else ""
        messages.append({"role": "user" if len(messages) % 2 else "assistant", "content": words + ".\n" + odd})


def ballast_config(port: int, upstream: int) -> dict:
    shutil.rmtree(WORK / "ballast", ignore_errors=True)
    (WORK / "ballast").mkdir(parents=True)
    route = {"targets": [f"up/{MODEL}"]}
    return {
        "listen": f"127.0.0.1:{port}", "threads": 1,
        "database": f"sqlite:{WORK}/ballast/ballast.db", "data_dir": f"{WORK}/ballast/data",
        "admin_key": "sk-ballast-admin-0123456789abcdef0123456789",
        "log": {"level": "info", "file": f"{WORK}/ballast/ballast.log"},
        "limits_http": {"connections": 16000},
        "providers": {"up": {"kind": "openai", "base_url": f"http://127.0.0.1:{upstream}/v1", "key": "sk-upstream-0123456789"}},
        "models": {f"up/{MODEL}": {"price": {"input": "$0.15", "output": "$0.60"}, "context": 128000, "max_output": 16384}},
        "routes": {MODEL: {**route, "stream": {"rescue": "error", "hold_back": 0}},
                   "restarting": {**route, "stream": {"rescue": "restart", "hold_back": 16}}},
        "limits": [{"scope": "key", "requests": "100000000/m", "tokens": "1000000000000/m", "concurrency": 50000},
                   {"scope": "model", "match": f"up/{MODEL}", "requests": "100000000/m"}],
        "budgets": [{"scope": "system", "amount": "$1000000", "per": "day"}, {"scope": "key", "amount": "$500000", "per": "month"}],
        "keys": [{"name": "bench", "value": KEY, "scopes": ["call"]}],
    }


class Case:
    """One gateway. `stream_port` may differ: nginx needs buffering off for streams and is faster with it elsewhere."""

    def __init__(self, name: str, upstream_port: int):
        self.name, self.upstream = name, upstream_port
        self.port, self.stream_port, self.headers = free_port(), None, [f"Authorization: Bearer {KEY}"]
        self.process: subprocess.Popen | None = None

    def begin(self) -> None:
        if self.name == "direct":
            self.port = self.upstream
        elif self.name == "nginx":
            self.stream_port = self.stream_port or free_port()
            (WORK / "nginx").mkdir(exist_ok=True)
            conf = WORK / "nginx.conf"
            conf.write_text((HERE / "nginx.conf").read_text().replace("@DIR@", str(WORK / "nginx"))
                            .replace("@UPSTREAM@", str(self.upstream)).replace("@PLAIN@", str(self.port))
                            .replace("@STREAM@", str(self.stream_port)))
            self.process = start(0, [shutil.which("nginx") or "/usr/sbin/nginx", "-c", str(conf)], self.port)
        elif self.name == "ballast":
            config = WORK / "ballast.yaml"
            config.write_text(json.dumps(ballast_config(self.port, self.upstream), indent=1))
            self.process = start(0, [BALLAST, "serve", "--config", str(config)], self.port, cwd=WORK)
        elif self.name == "portkey":
            self.headers += ["x-portkey-provider: openai", f"x-portkey-custom-host: http://127.0.0.1:{self.upstream}/v1"]
            # Its stream path answers 500 on Node 20 unless the headers of fetch's Response are made mutable.
            self.process = start(0, ["node", "--import", str(HERE / "portkey_node20.mjs"), str(PORTKEY / "build" / "start-server.js"),
                                     f"--port={self.port}", "--headless"], self.port, env=os.environ | {"NODE_ENV": "production"})

    def end(self) -> None:
        if self.process:
            stop(self.process)
        self.process = None

    def pid(self, upstream: subprocess.Popen) -> int:
        return (self.process or upstream).pid


def load(case: Case, mode: str, body: str, connections: int, rate: float, seconds: float) -> subprocess.Popen:
    port = (case.stream_port or case.port) if mode == "stream" else case.port
    return subprocess.Popen(["taskset", "-c", "1", str(BUILD / "bench" / "bench_load"), mode, str(port), PATH, str(WORK / body),
                             str(connections), str(rate), str(seconds), *case.headers], stdout=subprocess.PIPE, text=True)


def run_load(*args) -> dict:
    out, _ = load(*args).communicate(timeout=120)
    result = json.loads(out)
    if result["errors"] > result["ok"] * 0.01 + 2:
        print(f"  {args[0].name}: {result['errors']} errors beside {result['ok']} answers", file=sys.stderr)
    return result


class Results:
    def __init__(self):
        self.samples: dict[tuple[str, str], dict[str, list[float]]] = {}

    def add(self, case: str, test: str, **values: float) -> None:
        row = self.samples.setdefault((case, test), {})
        for k, v in values.items():
            row.setdefault(k, []).append(v)

    def median(self, case: str, test: str, value: str) -> float | None:
        got = self.samples.get((case, test), {}).get(value)
        return statistics.median(got) if got else None


def throughput(case: Case, pid: int, results: Results, seconds: float) -> None:
    run_load(case, "max", "1k.json", 64, 0, 1)
    for label, body in (("1 KB", "1k.json"), ("16 KB", "16k.json")):
        before, t = cpu_seconds(pid), time.monotonic()
        got = run_load(case, "max", body, 64, 0, seconds)
        used = cpu_seconds(pid) - before
        results.add(case.name, f"throughput {label}", per_second=got["per_second"], cpu_us=used / max(1, got["ok"]) * 1e6,
                    busy=used / (time.monotonic() - t), p50_us=got["p50_us"], p99_us=got["p99_us"])


def latency(case: Case, pid: int, results: Results, seconds: float) -> None:
    for rate in (500, 2000):
        if case.name == "portkey" and rate > 500:
            continue  # beyond what it can do: the queue, not the gateway, would be measured
        before = cpu_seconds(pid)
        got = run_load(case, "rate", "1k.json", 64, rate, seconds)
        results.add(case.name, f"latency {rate}/s", p50_us=got["p50_us"], p99_us=got["p99_us"],
                    cpu_us=(cpu_seconds(pid) - before) / max(1, got["ok"]) * 1e6)


def streams(case: Case, upstream: subprocess.Popen, results: Results, n: int, body: str, label: str, steady: float = 3.0) -> None:
    case.begin()
    try:
        pid = case.pid(upstream)
        run_load(case, "rate", "1k.json", 4, 50, 1.0)
        base = resident_kb(pid)
        generator = load(case, "stream", body, n, 0, steady + 4)
        time.sleep(3.0)
        before, t, peak = cpu_seconds(pid), time.monotonic(), 0
        while time.monotonic() - t < steady:
            time.sleep(0.25)
            peak = max(peak, resident_kb(pid))
        rate = (cpu_seconds(pid) - before) / (time.monotonic() - t)
        got = json.loads(generator.communicate(timeout=120)[0])
        results.add(case.name, label, ttfb_p50_us=got["ttfb_p50_us"], ttfb_p99_us=got["ttfb_p99_us"], delay_p50_us=got["delay_p50_us"],
                    delay_p99_us=got["delay_p99_us"], cpu_us_per_chunk=rate / max(1, got["chunks_per_second"]) * 1e6,
                    kb_per_stream=(peak - base) / n, chunks_per_second=got["chunks_per_second"], errors=got["errors"])
    finally:
        case.end()


# ---- the report ------------------------------------------------------------------------------------------------------

def number(v: float | None) -> str:
    if v is None:
        return "–"
    return f"{v:,.0f}" if abs(v) >= 100 else f"{v:.1f}" if abs(v) >= 10 else f"{v:.2f}"


def report(results: Results, names: list[str]) -> tuple[str, list[str]]:
    out, missed = [], []

    def table(title: str, head: list[str], rows: list[list[str]]) -> None:
        rows = [r for r in rows if any(c != "–" for c in r[1:])]
        if not rows:
            return
        columns = " | ".join(head)
        out.append(f"\n**{title}**\n\n| {columns} |\n|" + "---|" * (columns.count("|") + 1))
        out.extend("| " + " | ".join(r) + " |" for r in rows)

    def m(case, test, value):
        return results.median(case, test, value)

    def judge(what: str, value: float | None, better: str, goal: float, floor: float, unit: str = "× nginx") -> None:
        if value is None:
            return
        good = value >= goal if better == "≥" else value <= goal
        fine = value >= floor if better == "≥" else value <= floor
        out.append(f"| {what} | {number(value)} {unit} | {better} {goal:g} | {'reached' if good else 'above the floor' if fine else '**missed**'} |")
        if not fine:
            missed.append(what)

    table("Throughput, 64 connections, closed loop", ["", *[f"{n} req/s | CPU µs" for n in names]],
          [[s, *[f"{number(m(n, f'throughput {s}', 'per_second'))} | {number(m(n, f'throughput {s}', 'cpu_us'))}" for n in names]]
           for s in ("1 KB", "16 KB") if m(names[0], f"throughput {s}", "per_second")])
    table("Latency, open loop, 1 KB, µs", ["", *[f"{n} p50 | p99" for n in names]],
          [[f"{r}/s", *[f"{number(m(n, f'latency {r}/s', 'p50_us'))} | {number(m(n, f'latency {r}/s', 'p99_us'))}" for n in names]]
           for r in (500, 2000) if m(names[0], f"latency {r}/s", "p50_us")])
    for label in sorted({t for _, t in results.samples if "streams" in t}, key=lambda t: (int(t.split()[0].replace(",", "")), t)):
        table(f"{label}, 100 chunks 20 ms apart" if "slow" not in label else label,
              ["", "first byte p50 µs", "p99", "chunk delay p50 µs", "p99", "CPU µs a chunk", "KB a stream", "errors"],
              [[n, *[number(m(n, label, k)) for k in ("ttfb_p50_us", "ttfb_p99_us", "delay_p50_us", "delay_p99_us", "cpu_us_per_chunk",
                                                     "kb_per_stream", "errors")]] for n in names])
    if "ballast" not in names or "nginx" not in names:
        return "\n".join(out), missed
    out.append("\n**Ballast against its goals**\n\n| what | measured | goal | |\n|---|---|---|---|")

    def ratio(test, value, direct=False):
        a, b = m("ballast", test, value), m("nginx", test, value)
        d = (m("direct", test, value) or 0.0) if direct else 0.0
        return (a - d) / (b - d) if a is not None and b is not None and b > d else None
    for s in ("1 KB", "16 KB"):
        judge(f"requests a second, {s}", ratio(f"throughput {s}", "per_second"), "≥", 1.0, 0.6)
        if m("portkey", f"throughput {s}", "per_second"):
            judge(f"requests a second, {s}, beside Portkey", m("ballast", f"throughput {s}", "per_second") /
                  m("portkey", f"throughput {s}", "per_second"), "≥", 30, 30, "× Portkey")
    for r in (500, 2000):
        judge(f"added median latency at {r}/s", ratio(f"latency {r}/s", "p50_us", True), "≤", 1.5, 1.5)
        judge(f"p99 at {r}/s", ratio(f"latency {r}/s", "p99_us"), "≤", 1.5, 1.5)
    for n in (200, 1000):
        t = f"{n:,} streams"
        if m("ballast", t, "ttfb_p50_us") is None:
            continue
        if n == 200 and m("direct", t, "ttfb_p50_us") is not None:
            judge("added time to first byte, 200 streams", m("ballast", t, "ttfb_p50_us") - m("direct", t, "ttfb_p50_us"), "≤", 150, 150, "µs")
        judge(f"median chunk delay, {t}", m("ballast", t, "delay_p50_us") - (m("direct", t, "delay_p50_us") or 0), "≤", 100, 100, "µs added")
        judge(f"CPU a chunk, {t}", ratio(t, "cpu_us_per_chunk"), "≤", 1.5, 1.5)
        judge(f"resident a stream, {t}", m("ballast", t, "kb_per_stream"), "≤", 16, 16, "KB")
    return "\n".join(out), missed


def many_streams(results: Results, n: int = 8000) -> None:
    """Slow streams held at once: a chunk a second each."""
    port = free_port()
    upstream = start(1, [str(BUILD / "bench" / "bench_upstream"), str(port), "30", "1000"], port)
    try:
        streams(Case("ballast", port), upstream, results, n, "1k-stream.json", f"{n:,} slow streams", steady=8.0)
    finally:
        stop(upstream)


def main() -> int:
    p = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    p.add_argument("--quick", action="store_true", help="one short repetition")
    p.add_argument("--repeat", type=int, default=3)
    p.add_argument("--seconds", type=float, default=4)
    p.add_argument("--cases", default="direct,nginx,ballast" + (",portkey" if PORTKEY.exists() else ""))
    p.add_argument("--only", default="throughput,latency,streams,many")
    p.add_argument("--out", default=str(WORK / "results.json"))
    p.add_argument("--install-portkey", action="store_true")
    a = p.parse_args()
    WORK.mkdir(parents=True, exist_ok=True)
    if a.install_portkey:
        return subprocess.run(["npm", "install", "--silent", "--prefix", str(WORK / "portkey"), "@portkey-ai/gateway@1.15.2"]).returncode
    for need in (BALLAST, str(BUILD / "bench" / "bench_load"), str(BUILD / "bench" / "bench_upstream")):
        if "ballast" not in a.cases.split(",") and need == BALLAST:
            continue
        if not pathlib.Path(need).exists():
            raise SystemExit(f"{need} is not built: make build")
    if (os.cpu_count() or 1) < 2:
        raise SystemExit("two cores are needed: one for the gateway, one for the load")
    repeat, seconds = (1, 2.0) if a.quick else (a.repeat, a.seconds)
    only = a.only.split(",")
    for name, text in (("1k.json", chat_body(1000)), ("16k.json", chat_body(16000)), ("1k-stream.json", chat_body(1000, stream=True)),
                       ("1k-restarting.json", chat_body(1000, stream=True).replace(f'"{MODEL}"', '"restarting"', 1))):
        (WORK / name).write_text(text)
    results, port = Results(), free_port()
    upstream = start(1, [str(BUILD / "bench" / "bench_upstream"), str(port)], port)
    names = [n for n in a.cases.split(",") if n]
    try:
        for r in range(repeat):
            for name in names:
                print(f"repetition {r + 1} of {repeat}: {name} …", file=sys.stderr, flush=True)
                if {"throughput", "latency"} & set(only):
                    case = Case(name, port)
                    case.begin()
                    try:
                        if "throughput" in only:
                            throughput(case, case.pid(upstream), results, seconds)
                        if "latency" in only:
                            latency(case, case.pid(upstream), results, seconds)
                    finally:
                        case.end()
                if "streams" in only:
                    for n in (200, 1000):
                        if name == "portkey" and n > 200:
                            continue
                        streams(Case(name, port), upstream, results, n, "1k-stream.json", f"{n:,} streams")
                        if name == "ballast":
                            streams(Case(name, port), upstream, results, n, "1k-restarting.json", f"{n:,} streams, restart")
        if "many" in only and "ballast" in names and not a.quick:
            many_streams(results)
    finally:
        stop(upstream)
    text, missed = report(results, names)
    print(text)
    pathlib.Path(a.out).write_text(json.dumps([{"case": c, "test": t, **v} for (c, t), v in results.samples.items()], indent=1))
    if missed:
        print("\nBelow the floor: " + "; ".join(missed), file=sys.stderr)
    return 1 if missed else 0


if __name__ == "__main__":
    sys.exit(main())
