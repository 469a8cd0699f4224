"""`make eval-questions`: what it counts, with the answers of the golden intents and of a provider of the test's own."""
from __future__ import annotations

import json
import subprocess
import sys

import pytest

from support.fake_upstream import ok
from support.gateway import ROOT, binary

SAMPLES = ROOT.parent / "shared" / "data" / "text-to-sql"
pytestmark = pytest.mark.skipif(not SAMPLES.exists(), reason="../shared/data is not here")


def evaluate(*args: str, fails: bool = False):
    done = subprocess.run([sys.executable, ROOT / "tools/eval_questions.py", binary(), SAMPLES, *args], capture_output=True, text=True, timeout=300)
    assert bool(done.returncode) == fails, done.stderr
    return done


def test_the_golden_intents_are_right(tmp_path):
    told = json.loads(evaluate("--golden", "--limit", "12", "--json").stdout)
    assert told["questions"] == {"asked": 12, "right": 12, "wrong": 0, "refused": 0, "invalid": 0, "failed": 0}
    assert told["unanswerable"] == {"asked": 5, "refused": 5, "answered": 0, "invalid": 0, "failed": 0}
    assert told["first_answers"]["valid"] == 17 and told["own_ms"]["p95"] > 0 and told["tokens"]["input"] > 1000
    of_one = json.loads(evaluate("--golden", "--databases", "restaurants", "--quiet", "--json").stdout)
    assert of_one["questions"]["right"] == 25 and of_one["unanswerable"]["refused"] == 15
    shown = evaluate("--golden", "--limit", "3")
    assert "right        3 100.0%" in shown.stdout and "5 of 5: " in shown.stderr


def test_other_rows_no_intent_and_a_model_that_knows_too_much_are_counted_as_such(upstream):
    # The same answers in turn, whatever the question: some other rows, prose twice, a refusal.
    answers = [json.dumps({"from": "author", "measures": [{"count": "*"}]}), json.dumps({"unanswerable": "The data does not say."})]
    asked = []

    async def behave(wire, seen):
        asked.append(seen.body["messages"][0]["content"])
        await ok([answers[len(asked) % 2] if "## author" in asked[-1] else "I think it is 42."])(wire, seen)
    upstream.script("clever", behave)
    told = json.loads(evaluate("--model", "mine/clever", "--base-url", upstream.base_url, "--limit", "6", "--json", "--quiet").stdout)
    counted = told["questions"]
    assert counted["asked"] == 6 and counted["right"] == 0 and counted["invalid"] > 0 and counted["failed"] == 0
    assert counted["wrong"] + counted["refused"] > 0 and told["unanswerable"]["answered"] + told["unanswerable"]["refused"] > 0
    assert told["asked_again_by_the_road"] > 0 and told["first_answers"]["wrong"] > 0
    assert [text[-300:] for text in asked if "\nNow is 2025-01-15T12:00:00.000Z." not in text] == [], "the databases' own day"


def test_it_says_what_it_needs(tmp_path):
    assert "name its server: --base-url" in evaluate("--model", "mine/clever", fails=True).stderr
    done = subprocess.run([sys.executable, ROOT / "tools/eval_questions.py", binary(), tmp_path], capture_output=True, text=True, timeout=60)
    assert done.returncode == 2 and "QUESTIONS=FOLDER" in done.stderr
