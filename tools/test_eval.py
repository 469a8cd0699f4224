"""The table of tools/eval.py: what holds, what does not, and what it exits with."""
from __future__ import annotations

import json

import pytest

import eval as e

SPEED = {"ordinary": {"ballast": 80.0, "tiktoken": 3.2, "gpt-tokenizer": 6.0}, "harm": {"ordinary": 80.0, "letters": 16.0, "one sign": 160.0}}
STAGE = {"questions": {"asked": 167, "right": 164}, "unanswerable": {"asked": 60, "refused": 60}, "own_ms": {"p95": 0.8}, "job_without_model_ms": {"p95": 4.0}}
TESTS = {"ran": 5, "bad": [], "code": 0}
INTENTS = {"trained": {"accuracy": 0.93}, "tested": {"accuracy": 0.92, "microseconds": 20.0, "out_of_scope_recall_at_5": 0.7, "calibration_error": 0.02}}
FOUND = {"schema-suite": {d: {"cases": 9, "told": 9, "wrong": []} for d in e.DRAFTS}, "schema-store": {"cases": 9, "told": 9, "wrong": []},
         "schema-hostile": TESTS, "injection": TESTS, "questions-golden": TESTS, "intents": {"clinc150": INTENTS, "banking77": INTENTS},
         "token-truth": {k: {"cases": 9, "right": 9} for k in e.ENCODINGS},
         **{f"schema-speed.{n}": {"ratio_of_sums": 0.2 * n, "geometric_mean": 0.4} for n in (1, 2, 3)},
         **{f"token-speed.{n}": {k: SPEED for k in e.ENCODINGS} for n in (1, 2, 3)}, **{f"questions-stage.{n}": STAGE for n in (1, 2, 3)}}


def test_every_line_holds_and_speed_is_a_median(capsys):
    assert set(FOUND) == set(e.STEPS) and e.report(FOUND) == 0
    out = capsys.readouterr().out
    assert "**no**" not in out and "0.40; 0.40" in out and "5.0 times (letters)" in out and "164 of 167" in out


@pytest.mark.parametrize("step,place,value,line", [
    ("schema-suite", ("draft7", "wrong"), ["a case"], "required tests of draft7"),
    ("schema-suite", ("draft7", "told"), 8, "required tests of draft7"),
    ("schema-store", ("wrong",), ["a case"], "SchemaStore"),
    ("token-truth", ("cl100k_base", "right"), 8, "cl100k_base, ids"),
    ("injection", ("bad",), ["Hostile.X"], "injection"),
    ("injection", ("ran",), 0, "injection"),
    ("schema-hostile", ("code",), -11, "hostile ones"),
    ("intents", ("clinc150", "tested", "accuracy"), 0.90, "clinc150, accuracy"),
    ("intents", ("banking77", "tested", "microseconds"), 51.0, "banking77, a text"),
    ("questions-stage.2", ("questions", "right"), 150, "golden intents through a flow"),
    ("questions-stage.3", ("unanswerable", "refused"), 59, "unanswerable"),
])
def test_a_line_that_does_not_hold_is_said_and_exits_with_1(capsys, step, place, value, line):
    found = json.loads(json.dumps(FOUND))
    at = found[step]
    for key in place[:-1]:
        at = at[key]
    at[place[-1]] = value
    assert e.report(found) == 1
    [wrong] = [row for row in capsys.readouterr().out.splitlines() if "**no**" in row]
    assert line in wrong


def test_two_slow_rounds_of_three_count(capsys):
    slow = json.loads(json.dumps(FOUND))
    for n in (1, 3):
        slow[f"questions-stage.{n}"]["own_ms"]["p95"] = 11.0
        slow[f"schema-speed.{n}"]["geometric_mean"] = 1.1
    assert e.report(slow) == 1
    assert capsys.readouterr().out.count("**no**") == 2


def test_what_has_not_run_is_named(capsys):
    assert e.report({k: v for k, v in FOUND.items() if k != "intents"}) == 2 and "intents" in capsys.readouterr().err
