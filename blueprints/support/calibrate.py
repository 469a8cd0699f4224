#!/usr/bin/env python3
"""Trains the two classifiers on labelled tickets, calibrates them, and writes flows/classify.yaml for the flow to run. No packages needed.

    python3 calibrate.py                                   # the tickets of this folder
    python3 calibrate.py my-tickets.jsonl out-of-scope.tsv # {"text", "intent"} a line, or intent and text with a tab between
    python3 calibrate.py --dry my-tickets.jsonl            # only the report

It ends with the report of report.py on the tickets that it held out: 30 percent, chosen by their words.
"""
from __future__ import annotations

import argparse
import json
import pathlib
import sys

import report
import triage

HERE = pathlib.Path(__file__).parent
MOST_PROGRAM = 64 << 10                   # what ballast takes as one jq program

HEAD = """# Made by calibrate.py of {seen} tickets, {unseen} more held out: do not edit, run it again.
# Two classifiers, of words and of letters, as sums of small weights (a character each: its code less 64); and what their margins are worth,
# fitted on tickets that the classifier had not seen. Output: {{intent, second, confidence}}; confidence is a probability that the intent is right.
flow: classify
input: {{schema: {{type: object, required: [text], properties: {{text: {{type: string}}}}}}}}
output: .stages.judge.output
stages:
"""
WORDS = """[.input.text[:{longest}] | ascii_downcase | scan("[a-z]+")] as $w
| ($w + [range(1; $w | length) as $i | $w[$i - 1] + " " + $w[$i]] | unique) as $features"""
LETTERS = """(" " + ([.input.text[:{longest}] | ascii_downcase | scan("[a-z]+")] | join(" ")) + " ") as $t
| ([range(0; ($t | length) - 3) as $i | $t[$i:$i + 4]] | unique) as $features"""
SUMS = """| [$features[] | $weights[.] // empty] as $known
| {{known: (($known | length) / ([1, ($features | length)] | max)),
   scores: (if $known == [] then [range(0; {intents}) | 0]
            else ($known | map(explode) | transpose | map(add - {centre} * ($known | length))) end)}}"""
JUDGE = """.stages.words.output.scores as $w | .stages.letters.output.scores as $l | .stages.letters.output.known as $known | {intents} as $intents
| [range(0; $intents | length) | {{i: ., z: ($w[.] / {ws} + $l[.] / {ls})}}] | sort_by(-.z) | .[0].i as $a | .[1].i as $b"""
SURE = """| ({b0} + {b1} * (($w[$a] - $w[$b]) / {ws}) + {b2} * (($l[$a] - $l[$b]) / {ls}) + {b3} * $known) as $x
| {{intent: $intents[$a], second: $intents[$b], confidence: (1 / (1 + (-([[$x, 30] | min, -30] | max) | exp)))}}"""


def block(name: str, program: str, more: str = "") -> str:
    if len(program.encode()) > MOST_PROGRAM:
        raise SystemExit(f"the weights of {name} are {len(program.encode())} bytes, and a stage takes {MOST_PROGRAM}: lower WORDS or LETTERS in triage.py")
    return f"  {name}:\n    transform: |\n" + "".join(f"      {line}\n" for line in program.split("\n")) + more


def weights(table: triage.Table) -> str:
    """A string that jq reads as JSON: a long literal of an object would take jq seconds to compile."""
    packed = {f: "".join(chr(triage.CENTRE + x) for x in v) for f, v in table.weights.items()}
    return json.dumps(json.dumps(packed, separators=(",", ":"))) + " | fromjson"


def classifier(table: triage.Table, features: str, intents: int) -> str:
    return f"({weights(table)}) as $weights\n| " + features.format(longest=triage.LONGEST) + "\n" + SUMS.format(intents=intents, centre=triage.CENTRE)


def flow_text(model: triage.Model, calibration: triage.Calibration, seen: int, unseen: int) -> str:
    n = len(model.intents)
    b0, b1, b2, b3 = (f"({w!r})" for w in calibration.weights)
    scales = {"ws": repr(model.words.scale), "ls": repr(model.letters.scale)}
    judge = JUDGE.format(intents=json.dumps(model.intents), **scales)
    return (HEAD.format(seen=seen, unseen=unseen) + block("words", classifier(model.words, WORDS, n)) + block("letters", classifier(model.letters, LETTERS, n))
            + block("judge", judge + "\n" + SURE.format(b0=b0, b1=b1, b2=b2, b3=b3, **scales), "    confidence: .output.confidence\n"))


def main() -> None:
    ask = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    ask.add_argument("tickets", nargs="*", default=[str(HERE / "tickets.jsonl")])
    ask.add_argument("--dry", action="store_true", help="write nothing")
    ask.add_argument("--flow", default=str(HERE / "flows" / "classify.yaml"), help="the file to write")
    flags = ask.parse_args()
    tickets = [t for path in flags.tickets for t in triage.read_tickets(path)]
    model, calibration, unseen = triage.train(tickets)
    if not flags.dry:
        pathlib.Path(flags.flow).write_text(flow_text(model, calibration, len(tickets) - len(unseen), len(unseen)), encoding="utf-8")
        print(f"wrote {flags.flow}\n")
    judged = [report.Judged(t["intent"], look.intent, calibration.p(look)) for t in unseen for look in [model.look(t["text"])]]
    report.tell(sys.stdout, judged, report.SETTINGS)


if __name__ == "__main__":
    main()
