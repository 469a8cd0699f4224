"""`ballast tokens`: ids, numbers, lines of JSON, models, and what it exits with."""
from __future__ import annotations

import gzip
import json
import pathlib
import subprocess

import pytest

from support.configs import PRICE, one_provider
from support.gateway import binary

TRUTH = pathlib.Path(__file__).resolve().parents[3] / "shared" / "data" / "tokenizer" / "truth.jsonl.gz"


def tokens(*args, text: str | bytes = ""):
    done = subprocess.run([binary(), "tokens", *args], input=text.encode() if isinstance(text, str) else text, capture_output=True, timeout=60)
    return done.returncode, done.stdout.decode(), done.stderr.decode()


def test_ids_and_their_number():
    assert tokens("--encoding", "o200k_base", text="hello world") == (0, "24912 2375\n", "")
    assert tokens("--encoding", "cl100k_base", text="hello world") == (0, "15339 1917\n", "")
    assert tokens(text="hello world") == (0, "24912 2375\n", "")
    assert tokens("--encoding", "cl100k_base", "--count", text="hello world\n") == (0, "3\n", "")
    assert tokens(text="") == (0, "\n", "") and tokens("--count", text="") == (0, "0\n", "")
    assert json.loads(tokens("--json", text="hello world")[1]) == {"tokens": 2, "exact": True, "by": "o200k_base", "ids": [24912, 2375]}


def test_special_tokens_and_broken_bytes_are_text():
    code, out, _ = tokens("--encoding", "cl100k_base", text="<|endoftext|>")
    assert code == 0 and len(out.split()) > 1 and "100257" not in out
    assert tokens(text=b"a\xffb\xe2\x82") == tokens(text="a\ufffdb\ufffd")


def test_a_model_picks_the_encoding_or_an_estimate():
    assert tokens("--model", "gpt-4", text="hello world")[1] == "15339 1917\n"
    assert tokens("--model", "openai/gpt-4o-2024-08-06", text="hello world")[1] == "24912 2375\n"
    code, out, err = tokens("--model", "claude-sonnet-4-5", "--count", text="hello world")
    assert (code, out) == (0, "3\n") and "an estimate (o200k_base * 1.25)" in err
    assert json.loads(tokens("--model", "my-own", "--count", "--json", text="hello world")[1]) == {"tokens": 3, "exact": False, "by": "bytes / 4"}
    code, out, err = tokens("--model", "claude-sonnet-4-5", text="x")
    assert (code, out) == (2, "") and "--count" in err


def test_many_lines_and_the_number_of_a_bad_one():
    rows = '"hello world"\n{"text": "hello", "id": 7}\n""\n'
    assert tokens("--jsonl", text=rows) == (0, "[24912,2375]\n[24912]\n[]\n", "")
    assert tokens("--jsonl", "--count", "--encoding", "cl100k_base", text=rows) == (0, "2\n1\n0\n", "")
    code, out, err = tokens("--jsonl", "--count", text='"hello"\n{"txt": 1}\n{oops\n["a"]\n"world"\n')
    assert (code, out) == (1, "1\nnull\nnull\nnull\n1\n")
    assert [line.split(":")[1].strip() for line in err.splitlines()] == ["line 2", "line 3", "line 4"] and "text" in err


@pytest.mark.parametrize("args", [("--encoding", "p50k"), ("--encoding", "o200k_base", "--model", "gpt-4"), ("--jsonl", "--json"), ("extra",)])
def test_wrong_usage(args):
    code, out, err = tokens(*args, text="x")
    assert (code, out) == (2, "") and err


@pytest.mark.parametrize("encoding", ["o200k_base", "cl100k_base"])
def test_the_references_ids(encoding):
    if not TRUTH.exists():
        pytest.skip(f"no truth cases at {TRUTH.name}")
    rows = [json.loads(line) for line in gzip.open(TRUTH, "rt", encoding="utf-8")]
    code, out, _ = tokens("--jsonl", "--encoding", encoding, text="".join(json.dumps({"text": row["text"]}) + "\n" for row in rows))
    assert code == 0 and [json.loads(line) for line in out.splitlines()] == [row[encoding]["ids"] for row in rows]


def test_the_route_counts_by_the_model_it_would_ask(upstream, gateway):
    config = one_provider(upstream)
    config["models"]["up/gpt-4o"] = {"price": PRICE, "context": 32768, "max_output": 4096}
    config["routes"]["exact"] = {"targets": ["up/gpt-4o"]}
    g = gateway(config)

    def count(model: str, content: str) -> tuple[int, str]:
        reply = g.app.post("/v1/messages/count_tokens", {"model": model, "max_tokens": 8, "messages": [{"role": "user", "content": content}]})
        return reply.json()["input_tokens"], reply.headers["x-ballast-estimate"]

    assert count("exact", "hello world") == (2 + 3 + 3, "o200k_base")
    assert count("chat", "hello world") == (3 + 3, "bytes/4")
    assert count("exact", "hello world " * 100_000) == (1_200_000 // 4 + 3, "bytes/4"), "a long prompt is not looked into"
