#!/usr/bin/env python3
"""`make eval`: whether right answers are right, in one table: schemas, tokens, intents, questions over data, each beside what is demanded.

  tools/eval.py               everything, then the table; exit code 1 if a line does not hold
  tools/eval.py STEP…         only these steps; what the others found stays (--list names them)
  tools/eval.py --report      only the table, of what was found before

Steps are short, so that a machine may be shared between them. What was found is kept in build/eval. A figure of speed is the median of three
rounds, each a step of its own. Data: ../shared/data, or --data; needs node and npm, and the release build (make eval sees to it).
"""
from __future__ import annotations

import argparse
import gzip
import json
import math
import os
import pathlib
import re
import statistics
import subprocess
import sys
import tempfile
import time
from typing import Callable, NamedTuple

ROOT = pathlib.Path(__file__).resolve().parents[1]
BALLAST = ROOT / "build" / "release" / "src" / "ballast"
TESTS = ROOT / "build" / "release" / "tests"
FOUND = ROOT / "build" / "eval"
ROUNDS = 3
DRAFTS = {"draft2020-12": "2020-12", "draft7": "7"}
ENCODINGS = ("o200k_base", "cl100k_base")
PEERS = {"tiktoken": 8, "gpt-tokenizer": 5}
QUESTIONS, RIGHT, UNANSWERABLE = 167, 0.9, 60


def run(command: list, **more) -> subprocess.CompletedProcess:
    return subprocess.run([str(word) for word in command], capture_output=True, text=True, timeout=3600, **more)


# ---- Steps: each returns what it found, as JSON

def schema_suite(data: pathlib.Path) -> dict:
    """The required tests of both drafts, with the remote documents registered."""
    out = {}
    for draft, name in DRAFTS.items():
        cases = []
        for file in sorted((data / "json-schema/suite/tests" / draft).glob("*.json")):      # not optional/
            for group in json.loads(file.read_text()):
                cases += [(f"{file.name}: {group['description']}: {t['description']}", t["valid"], {"schema": group["schema"], "instance": t["data"]}) for t in group["tests"]]
        lines = "".join(json.dumps(line) + "\n" for _, _, line in cases)
        done = run([BALLAST, "schema", "validate", "--jsonl", "-", "--draft", name, "--register", data / "json-schema/suite/remotes"], input=lines)
        verdicts = done.stdout.splitlines()
        wrong = [case for (case, valid, _), verdict in zip(cases, verdicts) if verdict != ("valid" if valid else "invalid")]
        out[draft] = {"cases": len(cases), "told": len(verdicts), "wrong": wrong}
    return out


def schema_store(data: pathlib.Path) -> dict:
    """Every published instance whose schema is of either draft."""
    cases = [(test["name"], test["valid"], {"schema": row["schema"], "instance": test["data"]})
             for row in map(json.loads, gzip.open(data / "json-schema/schemastore.jsonl.gz", "rt")) if row["draft"] in DRAFTS for test in row["tests"]]
    done = run([BALLAST, "schema", "validate", "--jsonl", "-"], input="".join(json.dumps(line) + "\n" for _, _, line in cases))
    verdicts = done.stdout.splitlines()
    return {"cases": len(cases), "told": len(verdicts), "wrong": [name for (name, valid, _), verdict in zip(cases, verdicts) if verdict != ("valid" if valid else "invalid")]}


def benchmark(script: str) -> Callable[[pathlib.Path], dict]:
    def measure(_: pathlib.Path) -> dict:
        with tempfile.TemporaryDirectory() as folder:
            out = pathlib.Path(folder) / "out.json"
            done = run([ROOT / "bench" / script / "run", "--rounds", 1, "--out", out])
            if not out.exists():
                raise SystemExit(f"eval: bench/{script}/run: {(done.stderr or done.stdout)[-2000:]}")
            found = json.loads(out.read_text())
        found.pop("instances", None)
        said = re.search(r"The host took .*", done.stdout)
        return found | {"host": said[0] if said else ""}
    return measure


def tests_of(binary: str, names: str) -> Callable[[pathlib.Path], dict]:
    """How many tests ran, and which failed or were left out."""
    def measure(_: pathlib.Path) -> dict:
        began = time.monotonic()
        done = run([TESTS / binary, f"--gtest_filter={names}"])
        ran = re.search(r"(\d+) tests? from \d+ test suites? ran", done.stdout)
        bad = re.findall(r"^\[ *(?:FAILED|SKIPPED) *\] (\S+)", done.stdout, re.M)
        return {"ran": int(ran[1]) if ran else 0, "bad": sorted(set(bad)), "code": done.returncode, "seconds": time.monotonic() - began,
                "figures": re.findall(r"\[ FIGURES  \] (.*)", done.stdout)}
    return measure


def token_truth(data: pathlib.Path) -> dict:
    rows = [json.loads(line) for line in gzip.open(data / "tokenizer/truth.jsonl.gz", "rt")]
    texts = "".join(json.dumps({"text": row["text"]}) + "\n" for row in rows)
    out = {}
    for encoding in ENCODINGS:
        told = run([BALLAST, "tokens", "--encoding", encoding, "--jsonl"], input=texts).stdout.splitlines()
        right = sum(len(told) == len(rows) and json.loads(line) == row[encoding]["ids"] for line, row in zip(told, rows))
        out[encoding] = {"cases": len(rows), "right": right}
    return out


def evaluation(script: str, folder: str, *more: str) -> Callable[[pathlib.Path], dict]:
    def measure(data: pathlib.Path) -> dict:
        done = run([sys.executable, ROOT / "tools" / script, BALLAST, data / folder, "--json", *more])
        if not done.stdout:
            raise SystemExit(f"eval: tools/{script}: {done.stderr[-2000:]}")
        return json.loads(done.stdout)
    return measure


def rounds(name: str, step: Callable[[pathlib.Path], dict]) -> dict[str, Callable[[pathlib.Path], dict]]:
    return {f"{name}.{n + 1}": step for n in range(ROUNDS)}


STEPS: dict[str, Callable[[pathlib.Path], dict]] = {
    "schema-suite": schema_suite, "schema-store": schema_store, "schema-hostile": tests_of("test_schema", "SchemaLimits.*"),
    **rounds("schema-speed", benchmark("schema")),
    "token-truth": token_truth, **rounds("token-speed", benchmark("tokens")),
    "intents": evaluation("eval_intents.py", "intents"),
    "injection": tests_of("test_query", "*Hostile*"), "questions-golden": tests_of("test_query", "QueryQuestions.*"),
    **rounds("questions-stage", evaluation("eval_questions.py", "text-to-sql", "--golden", "--quiet")),
}


# ---- The table

class Line(NamedTuple):
    what: str
    demand: str
    measured: str
    holds: bool


def median(found: dict, name: str, value: Callable[[dict], float]) -> float:
    return statistics.median(value(found[f"{name}.{n + 1}"]) for n in range(ROUNDS))


def schema_lines(f: dict) -> list[Line]:
    suite, store, hostile = f["schema-suite"], f["schema-store"], f["schema-hostile"]
    out = [Line(f"schemas: required tests of {draft}", "all pass", f"{s['told'] - len(s['wrong'])} of {s['cases']}", s["told"] == s["cases"] > 0 and not s["wrong"]) for draft, s in suite.items()]
    out.append(Line("schemas: SchemaStore's instances of both drafts", "all as published", f"{store['told'] - len(store['wrong'])} of {store['cases']}", store["told"] == store["cases"] > 0 and not store["wrong"]))
    total, mean = (median(f, "schema-speed", lambda r, k=k: r[k]) for k in ("ratio_of_sums", "geometric_mean"))
    out.append(Line("schemas: time beside Ajv, all instances; geometric mean", "≤ 1; ≤ 1", f"{total:.2f}; {mean:.2f}", total <= 1 and mean <= 1))
    out.append(tests_line("schemas: hostile ones end with an error", hostile))
    return out


def tests_line(what: str, t: dict) -> Line:
    return Line(what, "every test passes", f"{t['ran'] - len(t['bad'])} of {t['ran']}", t["ran"] > 0 and not t["bad"] and t["code"] == 0)


def token_lines(f: dict) -> list[Line]:
    out = []
    for encoding in ENCODINGS:
        truth = f["token-truth"][encoding]
        out.append(Line(f"tokens: {encoding}, ids of the truth cases", "all", f"{truth['right']} of {truth['cases']}", truth["right"] == truth["cases"] > 0))
        mbs = median(f, "token-speed", lambda r: r[encoding]["ordinary"]["ballast"])
        out.append(Line(f"tokens: {encoding}, ordinary text", "goal 50 MB/s", f"{mbs:.1f} MB/s", mbs >= 50))
        for peer, times in PEERS.items():
            ratio = median(f, "token-speed", lambda r: r[encoding]["ordinary"]["ballast"] / r[encoding]["ordinary"][peer])
            out.append(Line(f"tokens: {encoding}, beside {peer}", f"≥ {times} times", f"{ratio:.1f} times", ratio >= times))
        kinds = [k for k in f["token-speed.1"][encoding]["harm"] if k != "ordinary"]
        worst = {kind: median(f, "token-speed", lambda r: r[encoding]["harm"]["ordinary"] / r[encoding]["harm"][kind]) for kind in kinds}
        kind = max(worst, key=worst.get)
        out.append(Line(f"tokens: {encoding}, a megabyte of harm", "≤ 10 times ordinary", f"{worst[kind]:.1f} times ({kind})", worst[kind] <= 10))
    return out


def intent_lines(f: dict) -> list[Line]:
    out = []
    for name, least in (("clinc150", 0.91), ("banking77", 0.88)):
        trained, tested = f["intents"][name]["trained"], f["intents"][name]["tested"]
        out.append(Line(f"intents: {name}, accuracy cross-validated; unseen", f"≥ {least}", f"{trained['accuracy']:.3f}; {tested['accuracy']:.3f}", min(trained["accuracy"], tested["accuracy"]) >= least))
        out.append(Line(f"intents: {name}, a text", "< 50 µs", f"{tested['microseconds']:.1f} µs", tested["microseconds"] < 50))
        if tested.get("out_of_scope_recall_at_5") is not None:
            out.append(Line(f"intents: {name}, out-of-scope recall at 5 % false refusals; calibration error", "told", f"{tested['out_of_scope_recall_at_5']:.3f}; {tested['calibration_error']:.3f}", True))
    return out


def question_lines(f: dict) -> list[Line]:
    stage = [f[f"questions-stage.{n + 1}"] for n in range(ROUNDS)]
    right, refused = (min(r[part][outcome] for r in stage) for part, outcome in (("questions", "right"), ("unanswerable", "refused")))
    own = median(f, "questions-stage", lambda r: r["own_ms"]["p95"])
    around = median(f, "questions-stage", lambda r: r["job_without_model_ms"]["p95"])
    asked = stage[0]["questions"]["asked"]
    return [tests_line("questions: injection, random and hostile intents, by a parser of the SQL", f["injection"]),
            tests_line("questions: golden intents on SQLite and PostgreSQL", f["questions-golden"]),
            Line("questions: golden intents through a flow, as published", f"≥ {math.ceil(RIGHT * QUESTIONS)} of {QUESTIONS}", f"{right} of {asked}", asked >= QUESTIONS and right >= RIGHT * asked),
            Line("questions: unanswerable ones refused with a reason", f"{UNANSWERABLE} of {UNANSWERABLE}", f"{refused} of {stage[0]['unanswerable']['asked']}", refused >= UNANSWERABLE),
            Line("questions: own time, p95", "< 10 ms", f"{own:.2f} ms", own < 10),
            Line("questions: the whole job around the model, over HTTP, p95", "told", f"{around:.1f} ms", True)]


def report(found: dict) -> int:
    missing = [name for name in STEPS if name not in found]
    if missing:
        print(f"eval: not yet run: {' '.join(missing)}", file=sys.stderr)
        return 2
    lines = schema_lines(found) + token_lines(found) + intent_lines(found) + question_lines(found)
    print("| line | demand | measured | holds |\n|---|---|---|---|")
    for line in lines:
        print(f"| {line.what} | {line.demand} | {line.measured} | {'yes' if line.holds else '**no**'} |")
    for name, result in found.items():
        if said := result.get("host"):
            print(f"{name}: {said}", file=sys.stderr)
    return 0 if all(line.holds for line in lines) else 1


def main() -> int:
    p = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    p.add_argument("steps", nargs="*", metavar="STEP", choices=[[], *STEPS])
    p.add_argument("--data", type=pathlib.Path, default=pathlib.Path(os.environ.get("BALLAST_SHARED_DATA", ROOT.parent / "shared" / "data")))
    p.add_argument("--list", action="store_true", help="the steps' names")
    p.add_argument("--report", action="store_true")
    a = p.parse_args()
    if a.list:
        print("\n".join(STEPS))
        return 0
    if not a.data.exists():
        print(f"eval: no data under {a.data}; name its folder: make eval ARGS=\"--data FOLDER\"", file=sys.stderr)
        return 2
    FOUND.mkdir(parents=True, exist_ok=True)
    for name in [] if a.report else a.steps or STEPS:
        began = time.monotonic()
        result = STEPS[name](a.data.resolve())
        (FOUND / f"{name}.json").write_text(json.dumps(result, indent=1))
        print(f"{name}: {time.monotonic() - began:.1f} s", file=sys.stderr, flush=True)
    if a.steps:
        return 0
    return report({name: json.loads((FOUND / f"{name}.json").read_text()) for name in STEPS if (FOUND / f"{name}.json").exists()})


if __name__ == "__main__":
    sys.exit(main())
