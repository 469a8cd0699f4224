"""Two cheap classifiers of tickets, and how sure one may be of what they say together. Standard library only.

    fit(tickets)                  → Model       weights of words and of letters, small integers
    Model.look(text)              → Look        the intent, the runner-up, and what speaks for it: both margins, known letters
    calibrate(looks and truths)   → Calibration  turns those three into a probability that the intent is right (logistic regression)
    tier(look, p, settings)       → "model", "template" or "human"

A ticket is {"text", "intent"}; intent None: it belongs to none, and whatever is answered is wrong. Nothing here is drawn by lot but the order
of training, with a fixed seed: the same tickets give the same model. `flow.py` writes the same arithmetic as jq, for the flow to run.
"""
from __future__ import annotations

import gzip
import hashlib
import json
import math
import random
import re
from dataclasses import dataclass, field

WORDS, LETTERS = 500, 700                 # features that are kept: with 30 intents about 45 KB of weights
LONGEST = 1000                            # characters of a ticket that are read
CENTRE, REACH = 64, 27                    # a weight is a character: its code less 64, from -27 to 27
HELD_OUT = 30                             # percent of the tickets that neither training nor calibration sees
FOLDS = 4


def read_tickets(path: str) -> list[dict]:
    """A .jsonl (also .gz) of {"text", "intent"}, or a .tsv of intent and text; the intent "oos" (out of scope) is None. Stops at a line that is neither."""
    tabs, out = ".tsv" in path, []
    try:
        with (gzip.open(path, "rt", encoding="utf-8") if path.endswith(".gz") else open(path, encoding="utf-8")) as file:
            lines = [line.rstrip("\n") for line in file]
    except OSError as e:
        raise SystemExit(f"{path}: {e.strerror or e}")
    for number, line in enumerate(lines, 1):
        try:
            row = dict(zip(("intent", "text"), line.split("\t", 1))) if tabs else json.loads(line)
            out.append({"text": row["text"], "intent": None if row["intent"] in (None, "oos") else row["intent"]})
        except (ValueError, KeyError, TypeError):
            raise SystemExit(f'{path}:{number}: must be {"an intent, a tab and a text" if tabs else "a JSON object with text and intent"}')
    return out


def plain(text: str) -> list[str]:
    """Words of letters a to z. (Not lower(): jq's ascii_downcase leaves other letters alone, and so must this.)"""
    lower = "".join(chr(ord(c) + 32) if "A" <= c <= "Z" else c for c in text[:LONGEST])
    return re.findall("[a-z]+", lower)


def words(text: str) -> set[str]:
    w = plain(text)
    return set(w) | {f"{a} {b}" for a, b in zip(w, w[1:])}


def letters(text: str) -> set[str]:
    t = " " + " ".join(plain(text)) + " "
    return {t[i:i + 4] for i in range(len(t) - 3)}


def held_out(ticket: dict) -> bool:
    """By its words alone, so that two tickets that differ by an order number or a comma fall on the same side."""
    return int(hashlib.sha256(" ".join(plain(ticket["text"])).encode()).hexdigest(), 16) % 100 >= 100 - HELD_OUT


def fold(ticket: dict) -> int:
    return int(hashlib.sha256(("fold " + " ".join(plain(ticket["text"]))).encode()).hexdigest(), 16) % FOLDS


@dataclass
class Table:
    """One classifier: per feature a weight for each intent."""
    scale: float
    weights: dict[str, list[int]]

    def scores(self, features: set[str], intents: int) -> tuple[list[int], float]:
        """Sums per intent, and the share of the features that it knows."""
        known = [self.weights[f] for f in features if f in self.weights]
        return ([sum(column) for column in zip(*known)] if known else [0] * intents), len(known) / max(len(features), 1)


@dataclass
class Look:
    intent: str
    second: str
    words: float                          # how far the classifier of words puts it before the runner-up; below 0: it would say the other
    letters: float                        # the same of the classifier of letters
    known: float                          # share of the text's letters (in fours) that training has seen

    def features(self) -> list[float]:
        return [1.0, self.words, self.letters, self.known]


@dataclass
class Model:
    intents: list[str]
    words: Table
    letters: Table

    def look(self, text: str) -> Look:
        n = len(self.intents)
        w, _ = self.words.scores(words(text), n)
        c, known = self.letters.scores(letters(text), n)
        both = [a / self.words.scale + b / self.letters.scale for a, b in zip(w, c)]
        order = sorted(range(n), key=lambda i: -both[i])
        first, second = order[0], order[1]
        return Look(self.intents[first], self.intents[second], (w[first] - w[second]) / self.words.scale, (c[first] - c[second]) / self.letters.scale, known)


def most_telling(rows: list[dict], features, intents: list[str], most: int) -> list[str]:
    """Those that say most of the intent: their counts against what chance would give."""
    share = {i: sum(r["intent"] == i for r in rows) / len(rows) for i in intents}
    counts: dict[str, dict[str, int]] = {}
    for r in rows:
        for f in sorted(features(r["text"])):
            counts.setdefault(f, {}).setdefault(r["intent"], 0)
            counts[f][r["intent"]] += 1
    tells = {}
    for f, by in counts.items():
        total = sum(by.values())
        if total > 1:
            tells[f] = sum(n * math.log(n / total / share[i]) for i, n in by.items())
    return sorted(tells, key=lambda f: (-tells[f], f))[:most]


def fit_table(rows: list[dict], features, intents: list[str], most: int, rounds: int = 8) -> Table:
    """Softmax regression by stochastic gradient descent, its weights rounded to 55 steps."""
    weights = {f: [0.0] * len(intents) for f in most_telling(rows, features, intents, most)}
    data = [([weights[f] for f in sorted(features(r["text"])) if f in weights], intents.index(r["intent"])) for r in rows]
    order = random.Random(1)
    for n in range(rounds):
        order.shuffle(data)
        for vectors, truth in data:
            if not vectors:
                continue
            scores = [sum(column) for column in zip(*vectors)]
            top = max(scores)
            odds = [math.exp(s - top) for s in scores]
            step = 0.5 / (1 + n) / math.sqrt(len(vectors))
            change = [-step * o / sum(odds) for o in odds]
            change[truth] += step
            for v in vectors:
                for k, c in enumerate(change):
                    v[k] += c
    largest = max((abs(x) for v in weights.values() for x in v), default=1.0) or 1.0
    scale = round(REACH / largest, 4)
    return Table(scale, {f: [max(-REACH, min(REACH, round(x * scale))) for x in v] for f, v in weights.items()})


def fit(rows: list[dict]) -> Model:
    rows = [r for r in rows if r["intent"] is not None]
    intents = sorted({r["intent"] for r in rows})
    if len(intents) < 2:
        raise SystemExit("tickets of two intents at least are needed to train on")
    return Model(intents, fit_table(rows, words, intents, WORDS), fit_table(rows, letters, intents, LETTERS))


@dataclass
class Calibration:
    """p = 1 / (1 + e^-x), x = bias + words·w1 + letters·w2 + known·w3"""
    weights: list[float] = field(default_factory=lambda: [0.0, 1.0, 1.0, 0.0])

    def p(self, look: Look) -> float:
        x = sum(w * f for w, f in zip(self.weights, look.features()))
        return 1 / (1 + math.exp(-max(-30.0, min(30.0, x))))


def calibrate(looks: list[tuple[Look, bool]], ridge: float = 1.0) -> Calibration:
    """Newton's method on the penalised log-likelihood; Platt's targets instead of 0 and 1, so that few tickets promise nothing certain."""
    good = sum(right for _, right in looks)
    targets = [(good + 1) / (good + 2) if right else 1 / (len(looks) - good + 2) for _, right in looks]
    w = [0.0] * 4
    for _ in range(50):
        gradient, hessian = [ridge * x * (i > 0) for i, x in enumerate(w)], [[ridge * (i == j and i > 0) for j in range(4)] for i in range(4)]
        for (look, _), t in zip(looks, targets):
            f = look.features()
            p = Calibration(w).p(look)
            for i in range(4):
                gradient[i] += (p - t) * f[i]
                for j in range(4):
                    hessian[i][j] += max(p * (1 - p), 1e-6) * f[i] * f[j]
        step = solve(hessian, gradient)
        w = [a - b for a, b in zip(w, step)]
        if max(abs(s) for s in step) < 1e-9:
            break
    return Calibration([round(x, 6) for x in w])


def solve(a: list[list[float]], b: list[float]) -> list[float]:
    """Gauss with pivots."""
    n = len(b)
    rows = [list(r) + [x] for r, x in zip(a, b)]
    for i in range(n):
        pivot = max(range(i, n), key=lambda r: abs(rows[r][i]))
        rows[i], rows[pivot] = rows[pivot], rows[i]
        for r in range(n):
            if r != i:
                factor = rows[r][i] / rows[i][i]
                rows[r] = [x - factor * y for x, y in zip(rows[r], rows[i])]
    return [rows[i][n] / rows[i][i] for i in range(n)]


def train(tickets: list[dict]) -> tuple[Model, Calibration, list[dict]]:
    """The model, its calibration, and the tickets that neither has seen. Each ticket of the calibration is judged by a model trained without
    its fold; the model that is kept has seen them all, and so is a little better than the calibration thinks."""
    seen, unseen = [t for t in tickets if not held_out(t)], [t for t in tickets if held_out(t)]
    looks = []
    for n in range(FOLDS):
        part = fit([t for t in seen if fold(t) != n])
        looks += [(look, look.intent == t["intent"]) for t in seen if fold(t) == n for look in [part.look(t["text"])]]
    return fit(seen), calibrate(looks), unseen


def tier(intent: str, p: float, settings: dict) -> str:
    if intent in settings["human"]:
        return "human"
    return "model" if p >= settings["model"] else "template" if p >= settings["template"] else "human"
