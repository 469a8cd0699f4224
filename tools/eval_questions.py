#!/usr/bin/env python3
"""`make eval-questions`: what share of real questions a model and Ballast answer rightly together, as it is.

  tools/eval_questions.py BALLAST FOLDER [--model PROVIDER/MODEL] [--base-url URL] [--structured WORD] [--databases A,B] [--limit N] [--minutes N] [--json]
  tools/eval_questions.py BALLAST FOLDER --golden …

FOLDER holds questions.jsonl, unanswerable.jsonl and db/*.sqlite. Each question goes through a flow's `query` stage of a running server; the rows
that come back are compared with those of the published SQL, as the golden test does: as multisets, whatever the columns' order and names, numbers to
nine digits. "Now" is 2025-01-15 12:00, which the databases were made for.

The model: openai/…, anthropic/… or gemini/… with its usual key in the environment; any other name with --base-url, a server that speaks OpenAI's
protocol (EVAL_API_KEY, if it wants a key); without anything, the small model of tools/real-model. --golden: the intents written by hand, told by the
simulator: what is lost then is lost by the program. --limit: so many of the questions, spread evenly, and as large a share of the unanswerable ones.
"""
from __future__ import annotations

import argparse
import contextlib
import itertools
import json
import math
import os
import pathlib
import re
import signal
import sqlite3
import statistics
import subprocess
import sys
import tempfile
import time
import urllib.request

ROOT = pathlib.Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT / "tests"))

from support.gateway import ADMIN_KEY, APP_KEY, Gateway, free_port, wait_until  # noqa: E402: found by then

NOW, AS_OF = "'2025-01-15 12:00:00'", "2025-01-15T12:00:00Z"
KEYS = {"openai": "OPENAI_API_KEY", "anthropic": "ANTHROPIC_API_KEY", "gemini": "GEMINI_API_KEY"}
LOCAL = "local/gemma3-270m"
MOST_OUTPUT = 700                 # tokens of an intent; the longest of the golden ones has 330
PATIENCE_S = 900                  # for one question; a small machine reads a long prompt for minutes
FLOW = """
flow: ask_{name}
version: 1
output: .stages.found.output
policy: {{deadline: {patience}s}}
stages:
  found:
    query: {{dataset: {name}, route: questions, question: "{{{{ .input.question }}}}", system: "{{{{ .input.instructions }}}}"}}
    timeout: {patience}s
"""


# ---- Rows beside rows

def plain(value) -> str:
    """One value as both sides write it: 5 and 5.0 alike, and a number that SQLite's strftime gives as a text."""
    if value is None:
        return "null"
    if isinstance(value, (bool, int, float)):
        return f"{float(value) + 0.0:.9g}"
    if re.fullmatch(r"-?\d+(\.\d*)?([eE][+-]?\d+)?", value):
        return f"{float(value) + 0.0:.9g}"
    return f"'{value}"


def same(ours: list[list], gold: list[list], width: int, gold_width: int) -> bool:
    """The same rows as a multiset, in some order of the columns; as many columns."""
    if width != gold_width or len(ours) != len(gold):
        return False
    left, right = ([[plain(v) for v in row] for row in rows] for rows in (ours, gold))
    wanted = sorted(right)

    def column(rows: list[list[str]], i: int) -> list[str]:
        return sorted(row[i] for row in rows)
    alike = [[i for i in range(width) if column(left, i) == column(right, g)] for g in range(width)]
    orders = (order for order in itertools.product(*alike) if len(set(order)) == width)
    return any(sorted([row[i] for i in order] for row in left) == wanted for order in orders)


def gold_answers(question: dict, folder: pathlib.Path) -> list[tuple[list[list], int]]:
    out = []
    with contextlib.closing(sqlite3.connect(f"file:{folder / 'db' / question['db']}.sqlite?mode=ro", uri=True)) as db:
        for sql in question["gold_sql"]:
            cursor = db.execute(sql.replace("'now'", NOW))
            out.append(([list(row) for row in cursor.fetchall()], len(cursor.description)))
    return out


# ---- The server

def provider_of(a: argparse.Namespace) -> tuple[dict, dict]:
    """Its configuration, and what its environment needs."""
    name, _, model = a.model.partition("/")
    if a.golden:
        lines = [json.loads(line) for line in (ROOT / "tests/golden/query/intents.jsonl").open()]
        intents = {line["id"]: line["intent"] for line in lines}
        # The longest first: a question may be the beginning of another.
        answers = [{"match": q["question"], "text": json.dumps(intents[q["id"]])} for q in sorted(a.questions + a.unanswerable, key=lambda q: -len(q["question"]))]
        return {"kind": "simulator", "models": {model: {"latency": "0ms", "ttft": "0ms", "tokens_per_second": 0, "answers": answers}}}, {}
    timeouts = {"connect": "2s", "headers": f"{PATIENCE_S}s", "first_token": f"{PATIENCE_S}s", "idle": f"{PATIENCE_S}s", "total": f"{PATIENCE_S}s"}
    quirks = {"quirks": {"structured": a.structured}} if a.structured else {}
    if a.base_url:
        key = {"key": "${EVAL_API_KEY}"} if "EVAL_API_KEY" in os.environ else {}
        return {"kind": "openai", "base_url": a.base_url, "timeouts": timeouts, **quirks, **key}, {"EVAL_API_KEY": os.environ.get("EVAL_API_KEY", "")}
    if name not in KEYS:
        raise SystemExit(f"eval-questions: {name} is none of {', '.join(KEYS)}; name its server: --base-url http://127.0.0.1:8000/v1")
    if KEYS[name] not in os.environ:
        raise SystemExit(f"eval-questions: {KEYS[name]} is not set")
    return {"kind": name, "key": "${%s}" % KEYS[name], "timeouts": timeouts}, {KEYS[name]: os.environ[KEYS[name]]}


def write_datasets(folder: pathlib.Path, databases: set[str]) -> None:
    for kind in ("datasets", "flows"):
        (folder / kind).mkdir(parents=True)
    for name in databases:
        text = (ROOT / "tests/data/query" / f"{name}.yaml").read_text()
        (folder / "datasets" / f"{name}.yaml").write_text(f"as_of: {AS_OF}\n{text}")
        (folder / "flows" / f"ask_{name}.yaml").write_text(FLOW.format(name=name, patience=PATIENCE_S))


def server(a: argparse.Namespace, folder: pathlib.Path) -> Gateway:
    name, _, model = a.model.partition("/")
    provider, env = provider_of(a)
    write_datasets(folder, {q["db"] for q in a.questions + a.unanswerable})
    config = {"providers": {name: provider}, "routes": {"questions": {"targets": [a.model], "retries": {"deadline": f"{PATIENCE_S}s"}}}, "limits": [],
              "budgets": [{"scope": "system", "amount": a.most_cost, "per": "day"}]}
    if name not in KEYS or a.base_url:      # nobody lists its price; the limit of its answer comes with one
        config["models"] = {a.model: {"price": {"input": "$0.01", "output": "$0.01"}, "context": 32768, "max_output": MOST_OUTPUT}}
    os.environ["BALLAST_BIN"] = str(pathlib.Path(a.ballast).resolve())
    return Gateway(folder, config, env=env | {"BALLAST_SHARED_DATA": str(a.folder.resolve().parent)})


@contextlib.contextmanager
def local_model(a: argparse.Namespace):
    """The small model of tools/real-model, unless another is named."""
    if a.golden or a.base_url or a.model != LOCAL:
        yield
        return
    port = free_port()
    a.base_url, a.structured = f"http://127.0.0.1:{port}/v1", a.structured or "json"
    log = tempfile.TemporaryFile()
    process = subprocess.Popen([ROOT / "tools/real-model/serve", str(port)], env=os.environ | {"REAL_MODEL_CONTEXT": "16384"}, stdout=log, stderr=log)

    def up() -> bool:
        if process.poll() is not None:
            raise SystemExit("eval-questions: tools/real-model/serve ended; run it by hand to see why")
        with contextlib.suppress(OSError):
            return urllib.request.urlopen(f"{a.base_url}/models", timeout=5).status == 200
    try:
        wait_until(up, 1800)              # the first time it is installed
        yield
    finally:
        process.terminate()
        process.wait()


# ---- Asking

def call(g: Gateway, method: str, path: str, value: dict | None = None, key: str = APP_KEY) -> dict:
    body = None if value is None else json.dumps(value).encode()
    request = urllib.request.Request(f"http://127.0.0.1:{g.port}{path}", body, {"authorization": f"Bearer {key}", "content-type": "application/json"}, method=method)
    with urllib.request.urlopen(request, timeout=PATIENCE_S + 60) as reply:
        return json.load(reply)


def ask(g: Gateway, question: dict) -> dict:
    """{outcome, ms…}: answered (with rows), refused (the model says it cannot be answered), invalid (no usable intent came), failed."""
    began = time.monotonic()
    given = {"question": question["question"], "instructions": question.get("instructions", "")}
    job = call(g, "POST", "/api/jobs?wait=60s", {"flow": f"ask_{question['db']}", "input": given})
    while job["state"] not in ("done", "dead", "cancelled"):
        job = call(g, "GET", f"/api/jobs/{job['id']}?wait=60s", key=ADMIN_KEY)
    out = {"id": question["id"], "seconds": time.monotonic() - began}
    if job["state"] != "done":
        code = (job.get("error") or {}).get("code", job["state"])
        return out | {"outcome": "invalid" if code in ("provider_invalid_output", "provider_bad_response") else "failed", "why": str(job.get("error"))[:300]}
    found = job["output"]
    timing = found["timing_ms"]
    out |= {"asked": found["asked"], "model_ms": timing["model"], "intent": found["intent"]}
    if "unanswerable" in found:
        return out | {"outcome": "refused"}
    return out | {"outcome": "answered", "own_ms": timing["read"] + timing["build"] + timing["run"], "rows": found["rows"], "width": len(found["columns"])}


def judged(question: dict, told: dict, folder: pathlib.Path) -> str:
    if told["outcome"] != "answered" or "gold_sql" not in question:
        return told["outcome"]
    return "right" if any(same(told["rows"], rows, told["width"], width) for rows, width in gold_answers(question, folder)) else "wrong"


def percentile(values: list[float], share: float) -> float | None:
    return sorted(values)[min(len(values) - 1, int(len(values) * share))] if values else None


def spent(g: Gateway) -> dict:
    """What the providers reported, and how the road judged their answers."""
    def metric(name: str, **labels: str) -> int:
        return int(g.metric(name, **labels))
    first = {verdict: metric("ballast_structured_total", ask="first", verdict=verdict) for verdict in ("valid", "repaired", "truncated", "wrong")}
    again = sum(metric("ballast_structured_total", ask="again", verdict=verdict) for verdict in first)
    return {"tokens": {kind: metric("ballast_tokens_total", kind=kind) for kind in ("input", "output")}, "first_answers": first, "asked_again_by_the_road": again}


def evaluate(a: argparse.Namespace, g: Gateway) -> dict:
    tallies = {"questions": dict.fromkeys(("asked", "right", "wrong", "refused", "invalid", "failed"), 0),
               "unanswerable": dict.fromkeys(("asked", "refused", "answered", "invalid", "failed"), 0)}
    told, began = [], time.monotonic()
    # Those of a database stay together, so that a model may keep what it was told of it.
    everything = sorted(a.questions + a.unanswerable, key=lambda q: q["db"])
    for n, question in enumerate(everything, 1):
        if a.minutes and time.monotonic() - began > a.minutes * 60:
            break
        answer = ask(g, question)
        answer["outcome"] = judged(question, answer, a.folder)
        tally = tallies["questions" if "gold_sql" in question else "unanswerable"]
        tally["asked"] += 1
        tally[answer["outcome"]] += 1
        told.append(answer)
        if not a.quiet:
            print(f"{n} of {len(everything)}: {question['id']} {answer['outcome']} ({answer['seconds']:.1f} s)", file=sys.stderr, flush=True)
    own, model = ([t[key] for t in told if key in t] for key in ("own_ms", "model_ms"))
    # Where nothing was asked again: the model's time is that of the stage's last attempt.
    around = [t["seconds"] * 1e3 - t["model_ms"] for t in told if "model_ms" in t] if a.golden else []
    return {"model": a.model, **tallies, **spent(g),
            "asked_again_by_the_stage": sum(t.get("asked", 1) - 1 for t in told),
            "own_ms": {"p50": percentile(own, 0.5), "p95": percentile(own, 0.95)},
            "job_without_model_ms": {"p50": percentile(around, 0.5), "p95": percentile(around, 0.95)},
            "model_ms": {"p50": percentile(model, 0.5), "mean": statistics.fmean(model) if model else None},
            "seconds": time.monotonic() - began, "not_right": {t["id"]: t["outcome"] for t in told if t["outcome"] not in ("right", "refused")},
            **({"answers": told} if a.answers else {})}


def report(r: dict) -> None:
    def ms(value: float | None) -> str:
        return "–" if value is None else f"{value:.2f} ms" if value < 100 else f"{value / 1e3:.1f} s"
    q, u = r["questions"], r["unanswerable"]
    print(f"{r['model']}\n")
    print(f"questions                {q['asked']:5}")
    for outcome, words in (("right", "the published rows"), ("wrong", "other rows"), ("refused", "said to be unanswerable"), ("invalid", "no usable intent, asked again"), ("failed", "anything else")):
        print(f"  {outcome:8} {q[outcome]:5} {q[outcome] / max(1, q['asked']):6.1%}  {words}")
    print(f"unanswerable             {u['asked']:5}")
    for outcome in ("refused", "answered", "invalid", "failed"):
        print(f"  {outcome:8} {u[outcome]:5} {u[outcome] / max(1, u['asked']):6.1%}")
    first = sum(r["first_answers"].values())
    print(f"first answers that satisfied the schema as they came: {r['first_answers']['valid']} of {first}, repaired {r['first_answers']['repaired']}")
    print(f"asked again: {r['asked_again_by_the_road']} for the schema, {r['asked_again_by_the_stage']} for what the dataset refused")
    print(f"own time (judging, building, running): p50 {ms(r['own_ms']['p50'])}, p95 {ms(r['own_ms']['p95'])}; the job around the model, over HTTP: "
          f"p50 {ms(r['job_without_model_ms']['p50'])}, p95 {ms(r['job_without_model_ms']['p95'])}")
    print(f"the model's: p50 {ms(r['model_ms']['p50'])}; tokens: {r['tokens']['input']:,} read, {r['tokens']['output']:,} written; all of it took {r['seconds']:.0f} s")


def spread(rows: list[dict], n: int) -> list[dict]:
    """So many of them, evenly."""
    return [rows[i * len(rows) // n] for i in range(n)] if n < len(rows) else rows


def main() -> int:
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))     # the server and the model end with this
    p = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    p.add_argument("ballast")
    p.add_argument("folder", type=pathlib.Path)
    p.add_argument("--model", default="")
    p.add_argument("--base-url", default="")
    p.add_argument("--structured", choices=("native", "json", "tool", "prompt"), help="how the provider is asked for JSON, where that is not its kind's way")
    p.add_argument("--golden", action="store_true")
    p.add_argument("--limit", type=int, default=0)
    p.add_argument("--databases", default="", help="only questions about these: restaurants,academic")
    p.add_argument("--minutes", type=float, default=0, help="begin no question later than this; what was asked is reported")
    p.add_argument("--most-cost", default="$5", help="the whole evaluation's budget")
    p.add_argument("--json", action="store_true")
    p.add_argument("--answers", action="store_true", help="with --json: each answer too")
    p.add_argument("--quiet", action="store_true")
    a = p.parse_args()
    a.model = a.model or ("sim/golden" if a.golden else LOCAL)
    if not (a.folder / "questions.jsonl").exists():
        print(f"eval-questions: no questions.jsonl under {a.folder}; name its folder: make eval-questions QUESTIONS=FOLDER", file=sys.stderr)
        return 2
    a.questions, a.unanswerable = ([json.loads(line) for line in (a.folder / name).open()] for name in ("questions.jsonl", "unanswerable.jsonl"))
    if a.databases:
        a.questions, a.unanswerable = ([q for q in rows if q["db"] in a.databases.split(",")] for rows in (a.questions, a.unanswerable))
        if not a.questions:
            p.error(f"--databases: no question is about {a.databases}")
    some = math.ceil(len(a.unanswerable) * a.limit / len(a.questions))
    a.questions, a.unanswerable = spread(a.questions, a.limit or len(a.questions)), spread(a.unanswerable, some or len(a.unanswerable))
    with tempfile.TemporaryDirectory() as folder, local_model(a):
        g = server(a, pathlib.Path(folder) / "house")
        try:
            g.start()
            result = evaluate(a, g)
        finally:
            g.stop()
    if a.json:
        print(json.dumps(result, indent=1, ensure_ascii=False))
    else:
        report(result)
    return 0


if __name__ == "__main__":
    sys.exit(main())
