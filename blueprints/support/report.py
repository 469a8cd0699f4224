#!/usr/bin/env python3
"""What share of tickets is answered without a human, and how much of that is wrong: together, on tickets that the calibration never saw.

    python3 report.py                                       # the tickets of this folder
    python3 report.py my-tickets.jsonl out-of-scope.tsv     # trains, calibrates and judges on these, by the same split
    python3 report.py --server http://127.0.0.1:8080        # the same tickets through the running flow `classify`, as it stands there

Wrong is a ticket answered as if it had another intent than its label, or none. (What the prose of a right answer is worth is not measured here.)
The share covers the tickets as they come, those of no intent and those that are always a person's (`human`) included.
"""
from __future__ import annotations

import argparse
import json
import math
import os
import pathlib
import sys
import urllib.request
from dataclasses import dataclass

import triage

HERE = pathlib.Path(__file__).parent
SETTINGS = {"model": float(os.environ.get("SUPPORT_MODEL") or 0.85), "template": float(os.environ.get("SUPPORT_TEMPLATE") or 0.65), "human": ["complaint"]}
BULK = 500


@dataclass
class Judged:
    truth: str | None
    intent: str
    p: float

    @property
    def right(self) -> bool:
        return self.truth == self.intent


def wilson(wrong: int, n: int) -> tuple[float, float]:
    """95 % interval of a share."""
    if n == 0:
        return 0.0, 1.0
    z, share = 1.96, wrong / n
    middle, half = share + z * z / (2 * n), z * math.sqrt(share * (1 - share) / n + z * z / (4 * n * n))
    return max(0.0, (middle - half) / (1 + z * z / n)), (middle + half) / (1 + z * z / n)


def calibration_error(judged: list[Judged], bins: int = 10) -> tuple[float, list[tuple[float, float, int]]]:
    """ECE over bins of equally many tickets; and each bin's mean confidence, share right and size."""
    ordered, rows = sorted(judged, key=lambda j: j.p), []
    for b in range(bins):
        part = ordered[b * len(ordered) // bins:(b + 1) * len(ordered) // bins]
        if part:
            rows.append((sum(j.p for j in part) / len(part), sum(j.right for j in part) / len(part), len(part)))
    return sum(abs(p - right) * n for p, right, n in rows) / max(len(judged), 1), rows


def line(name: str, part: list[Judged], of: int) -> str:
    wrong = sum(not j.right for j in part)
    low, high = wilson(wrong, len(part))
    error = f"{wrong / len(part):7.2%}   ({low:.2%} to {high:.2%})" if part else "      -"
    return f"  {name:26} {len(part):6} {len(part) / max(of, 1):8.1%} {wrong:7} {error}"


def tell(out, judged: list[Judged], settings: dict) -> None:
    n, known = len(judged), [j for j in judged if j.truth is not None]
    tiers = {name: [j for j in judged if triage.tier(j.intent, j.p, settings) == name] for name in ("model", "template", "human")}
    ece, rows = calibration_error(judged)
    print(f"{n} held-out tickets, {n - len(known)} of no intent; {sum(j.right for j in known) / max(len(known), 1):.1%} of the others understood", file=out)
    print(f"\n  {'tier':26} {'tickets':>6} {'share':>7} {'wrong':>7}   error   (95 % interval)", file=out)
    print(line(f"model     >= {settings['model']}", tiers["model"], n), file=out)
    print(line(f"template  >= {settings['template']}", tiers["template"], n), file=out)
    print(line("answered without a human", tiers["model"] + tiers["template"], n), file=out)
    print(f"  {'left to a human':26} {len(tiers['human']):6} {len(tiers['human']) / max(n, 1):8.1%}", file=out)
    brier = sum((j.p - j.right) ** 2 for j in judged) / max(n, 1)
    print(f"\nreliability: ECE {ece:.3f}, Brier {brier:.3f}; confidence → share right, in tenths of the tickets:", file=out)
    print("  " + "   ".join(f"{p:.2f} → {right:.2f}" for p, right, _ in rows), file=out)
    print("\nif one threshold were all:", file=out)
    for threshold in (0.5, 0.65, 0.75, 0.85, 0.9, 0.95, 0.99):
        taken = [j for j in judged if j.p >= threshold and j.intent not in settings["human"]]
        print(line(f">= {threshold}", taken, n), file=out)


class Server:
    def __init__(self, url: str, key: str):
        self.url, self.key = url.rstrip("/"), key

    def call(self, method: str, path: str, body=None):
        data = None if body is None else json.dumps(body).encode()
        request = urllib.request.Request(self.url + path, data, {"authorization": f"Bearer {self.key}", "content-type": "application/json"}, method=method)
        with urllib.request.urlopen(request, timeout=120) as answer:
            return json.load(answer)

    def judge(self, tickets: list[dict]) -> list[Judged]:
        out = []
        for at in range(0, len(tickets), BULK):
            part = tickets[at:at + BULK]
            made = self.call("POST", "/api/jobs/bulk", {"jobs": [{"flow": "classify", "input": {"text": t["text"]}} for t in part]})["jobs"]
            for ticket, job in zip(part, made):
                done = self.call("GET", f"/api/jobs/{job['id']}?wait=60s")
                if done["state"] != "done":
                    raise SystemExit(f"{job['id']} is {done['state']}: {done.get('error')}")
                out.append(Judged(ticket["intent"], done["output"]["intent"], done["output"]["confidence"]))
        return out


def main() -> None:
    ask = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    ask.add_argument("tickets", nargs="*", default=[str(HERE / "tickets.jsonl")])
    ask.add_argument("--server", help="judge by the flow `classify` of this Ballast")
    ask.add_argument("--key", default=os.environ.get("SHOP_KEY", "sk-shop-of-this-example-only"), help="a key of scope call")
    ask.add_argument("--json", action="store_true", help="a line of JSON per ticket instead of the report")
    flags = ask.parse_args()
    tickets = [t for path in flags.tickets for t in triage.read_tickets(path)]
    if flags.server:
        judged = Server(flags.server, flags.key).judge([t for t in tickets if triage.held_out(t)])
    else:
        model, calibration, unseen = triage.train(tickets)
        judged = [Judged(t["intent"], look.intent, calibration.p(look)) for t in unseen for look in [model.look(t["text"])]]
    if flags.json:
        for j in judged:
            print(json.dumps({"truth": j.truth, "intent": j.intent, "confidence": j.p, "tier": triage.tier(j.intent, j.p, SETTINGS)}))
    else:
        tell(sys.stdout, judged, SETTINGS)


if __name__ == "__main__":
    main()
