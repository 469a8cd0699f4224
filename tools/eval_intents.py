#!/usr/bin/env python3
"""`make eval-intents`: how well `ballast intents` does on CLINC150 and BANKING77, as a table.

  tools/eval_intents.py BALLAST FOLDER [--json]     FOLDER holds clinc150.*.tsv and banking77.*.tsv (label, tab, text)

Trains on the training part (cross-validated figures), then asks for the validation part, three times: the time of a text is the median. Exit
code 1 if a floor is missed.
"""
from __future__ import annotations

import argparse
import json
import pathlib
import statistics
import subprocess
import sys
import tempfile

SETS = {"clinc150": (["clinc150.train.tsv", "clinc150.oos_train.tsv"], ["clinc150.val.tsv", "clinc150.oos_val.tsv"], 0.91),
        "banking77": (["banking77.train.tsv"], ["banking77.val.tsv"], 0.88)}
MOST_MICROSECONDS = 50
ROUNDS = 3


def ballast(binary: str, *arguments: str) -> dict:
    done = subprocess.run([binary, "intents", *arguments, "--json"], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, check=True)
    return json.loads(done.stdout)


def files(folder: pathlib.Path, names: list[str]) -> list[str]:
    return [word for name in names for word in ("--examples", str(folder / name))]


def share(value: float | None) -> str:
    return "–" if value is None else f"{value:.4f}"


def measure(binary: str, folder: pathlib.Path, learn: list[str], ask: list[str]) -> tuple[dict, dict]:
    """What training and what the test reports."""
    with tempfile.TemporaryDirectory() as scratch:
        model = f"{scratch}/intents.model"
        trained = ballast(binary, "train", *files(folder, learn), "--out", model)
        tested = [ballast(binary, "test", "--model", model, *files(folder, ask)) for _ in range(ROUNDS)]
    return trained, tested[0] | {"microseconds": statistics.median(t["microseconds"] for t in tested)}


def rows_of(trained: dict, tested: dict) -> list[tuple[str, str, float]]:
    rows = [("training with cross-validation, s", f"{trained['seconds']:.1f}", 0.0), ("µs a text", f"{tested['microseconds']:.1f}", tested["microseconds"])]
    for name, report in (("cross-validated", trained), ("validation part", tested)):
        rows += [(f"accuracy, {name}", share(report["accuracy"]), report["accuracy"]),
                 (f"accuracy where a refusal is wrong, {name}", share(report["accuracy_after_refusals"]), 0.0),
                 (f"out-of-scope recall at 5 % false refusals, {name}", share(report["out_of_scope_recall_at_5"]), 0.0),
                 (f"calibration error, {name}", share(report["calibration_error"]), 0.0),
                 (f"false refusals at the model's limit, {name}", share(report["false_refusals"]), 0.0)]
    return rows


def main() -> int:
    p = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    p.add_argument("ballast")
    p.add_argument("folder", type=pathlib.Path)
    p.add_argument("--json", action="store_true")
    a = p.parse_args()
    folder = a.folder
    if not all((folder / name).exists() for learn, ask, _ in SETS.values() for name in learn + ask):
        print(f"eval-intents: no CLINC150 and BANKING77 under {folder}; name their folder: make eval-intents INTENTS=FOLDER", file=sys.stderr)
        return 2
    reports = {name: measure(a.ballast, folder, learn, ask) for name, (learn, ask, _) in SETS.items()}
    results = {name: rows_of(*both) for name, both in reports.items()}
    if a.json:
        print(json.dumps({name: {"trained": trained, "tested": tested} for name, (trained, tested) in reports.items()}, indent=1))
    else:
        print(f"{'':58}" + "".join(f"{name:>12}" for name in SETS))
        for index, (label, _, _) in enumerate(results["clinc150"]):
            print(f"{label:58}" + "".join(f"{rows[index][1]:>12}" for rows in results.values()))
    missed = [f"{name}: {label} is {value:.4f}, the floor is {SETS[name][2]}" for name, rows in results.items() for label, _, value in rows
              if label.startswith("accuracy, ") and value < SETS[name][2]]
    missed += [f"{name}: {value:.1f} µs a text, at most {MOST_MICROSECONDS}" for name, rows in results.items() for label, _, value in rows
               if label == "µs a text" and value > MOST_MICROSECONDS]
    for line in missed:
        print(line, file=sys.stderr)
    return 1 if missed else 0


if __name__ == "__main__":
    sys.exit(main())
