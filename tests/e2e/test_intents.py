"""`ballast intents`: trained on a file, tested on another, asked; what is wrong is told by file and line."""
from __future__ import annotations

import json
import subprocess

import pytest

from support.gateway import binary

SHOP = {"delivery": ["where is my parcel", "has my order been sent", "when will the parcel arrive", "track my order please", "my delivery is late"],
        "refund": ["I want my money back", "please refund the order", "how do I get a refund", "return this and pay me back", "refund my last purchase"]}


@pytest.fixture
def intents(tmp_path):
    (tmp_path / "shop.tsv").write_text("".join(f"{label}\t{text}\n" for label, texts in SHOP.items() for text in texts))
    (tmp_path / "more.csv").write_text('text,label\n"a poem, please",none\nsing a song,none\n')
    (tmp_path / "unseen.jsonl").write_text('{"text": "refund please", "label": "refund"}\n{"text": "where is the order", "label": "delivery"}\n'
                                           '{"text": "zzyx qwv", "label": "none"}\n')

    def run(*args, stdin: str = ""):
        return subprocess.run([binary(), "intents", *args], cwd=tmp_path, input=stdin, capture_output=True, text=True, timeout=60)
    return run


def test_trained_tested_and_asked(intents, tmp_path):
    done = intents("train", "--examples", "shop.tsv", "--examples", "more.csv", "--oos", "none", "--out", "shop.model", "--json")
    assert done.returncode == 0 and "cross-validation, part 5 of 5" in done.stderr
    told = json.loads(done.stdout)
    assert (told["in_scope"], told["out_of_scope"], told["model"]["labels"]) == (10, 2, 2)
    assert 0 <= told["accuracy"] <= 1 and told["model"]["bytes"] == (tmp_path / "shop.model").stat().st_size

    done = intents("test", "--model", "shop.model", "--examples", "unseen.jsonl", "--json")
    told = json.loads(done.stdout)
    assert (done.returncode, told["accuracy"], told["out_of_scope_recall"], told["in_scope"]) == (0, 1, 1, 2) and told["microseconds"] > 0
    assert {row["label"] for row in told["labels"]} == {"delivery", "refund"}

    done = intents("classify", "--model", "shop.model", stdin="refund please\nzzyx qwv\n")
    rows = [line.split("\t") for line in done.stdout.splitlines()]
    assert (rows[0][0], rows[0][2]) == ("refund", "in scope") and rows[1][0] == "-" and rows[1][2].startswith("out of scope; nearest ")
    done = intents("classify", "--model", "shop.model", "--json", "where is my parcel")
    told = json.loads(done.stdout)
    assert told["label"] == "delivery" and not told["out_of_scope"] and told["runners_up"][0]["label"] == "refund"


def test_the_report_for_people(intents):
    done = intents("train", "--examples", "shop.tsv", "--out", "shop.model")
    assert done.returncode == 0 and "shop.model: 2 labels, " in done.stdout and "of 10 in-scope examples have the right label" in done.stdout
    again = intents("train", "--examples", "shop.tsv", "--out", "again.model", "--json")
    assert json.loads(again.stdout)["model"]["digest"] == json.loads(intents("train", "--examples", "shop.tsv", "--out", "third.model", "--json").stdout)["model"]["digest"]
    assert " µs a text." in intents("test", "--model", "shop.model", "--examples", "shop.tsv").stdout


def test_what_is_wrong_is_told_by_file_and_line(intents, tmp_path):
    (tmp_path / "bad.tsv").write_text("a\tfine\nno tab\n")
    (tmp_path / "one.tsv").write_text("a\tfine\na\tgood\n")
    (tmp_path / "junk.model").write_text("junk")
    for args, message in [
        (("train", "--examples", "bad.tsv", "--out", "m"), "bad.tsv:2: must be a label, a tab and a text"),
        (("train", "--examples", "nothing.tsv", "--out", "m"), "nothing.tsv: cannot be read"),
        (("train", "--examples", "shop.parquet", "--out", "m"), "shop.parquet: must end in .tsv, .csv or .jsonl"),
        (("train", "--examples", "one.tsv", "--out", "m"), "examples: examples of one label, at least two labels are needed: all are \"a\""),
        (("train", "--examples", "shop.tsv", "--out", "no/such/folder/m"), "no/such/folder/m: cannot be written"),
        (("test", "--model", "junk.model", "--examples", "shop.tsv"), "junk.model: is no usable model of intents: it does not begin as one"),
        (("classify", "--model", "nothing.model", "x"), "nothing.model: cannot be read"),
    ]:
        done = intents(*args)
        assert done.returncode == 1 and message in done.stderr, (args, done.stderr)
        assert not (tmp_path / "m").exists()
    assert intents("train", "--examples", "shop.tsv", "--out", "m", "--false-refusals", "0.9").returncode == 2
    assert intents("classify", "x").returncode == 2
