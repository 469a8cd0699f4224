"""The audit trail from outside: entries hashed by the rule as written down, anchored by the running server, checked by the command."""
from __future__ import annotations

import asyncio
import hashlib
import json
import sqlite3
import struct

import pytest

from support.client import fetch
from support.configs import one_provider
from support.gateway import wait_until


def entry_hash(chain: str, seq: int, previous: bytes, at_us: int, actor: str, action: str, subject: str, arguments: bytes, outcome: str) -> bytes:
    text = lambda t: struct.pack("<Q", len(t.encode())) + t.encode()
    return hashlib.sha256(b"ballast audit entry 1\n" + previous + struct.pack("<Q", seq) + text(chain) + struct.pack("<Q", at_us) + text(actor)
                          + text(action) + text(subject) + arguments + text(outcome)).digest()


@pytest.mark.databases
def test_the_trail_is_anchored_shown_and_verified(upstream, gateway, request):
    g = gateway(one_provider(upstream))
    kind, _, file = g.config["database"].partition(":")

    def run(*statements: str) -> None:
        if kind == "postgres":
            server = request.getfixturevalue("postgres")
            for sql in statements:
                server.run(sql, server.name_of(g.config["database"]))
            return
        with sqlite3.connect(file, timeout=20) as db:
            for sql in statements:
                db.execute(sql)

    def blob(b: bytes) -> str:
        return f"'\\x{b.hex()}'::bytea" if kind == "postgres" else f"x'{b.hex()}'"

    def verify(*flags: str) -> tuple[int, dict]:
        done = g.command("audit", "verify", "--json", *flags, check=False)
        return done.returncode, json.loads(done.stdout)

    assert verify()[0] == 0, "an empty trail is clean"
    chain, previous, statements = "job_e2e", bytes(32), []
    for seq, outcome in enumerate(["sent", "confirmed", "Grüße"], 1):
        fields = (chain, seq, previous, 1_763_700_000_000_000 + seq, "worker:w1", "effect.confirmed", "charge", hashlib.sha256(b"{}").digest(), outcome)
        hashed = entry_hash(*fields)
        statements.append("INSERT INTO audit_entries (chain, seq, at_us, actor, action, subject, arguments, outcome, previous, hash) VALUES "
                          f"('{chain}', {seq}, {fields[3]}, '{fields[4]}', '{fields[5]}', '{fields[6]}', {blob(fields[7])}, '{outcome}', {blob(previous)}, {blob(hashed)})")
        previous = hashed
    run(*statements, *(f"INSERT INTO {t} (chain, length, hash) VALUES ('{chain}', 3, {blob(previous)})" for t in ("audit_heads", "audit_dirty")))

    kept = (g.folder / "data" / "audit").glob
    wait_until(lambda: any(file.stat().st_size > 0 for file in kept("anchors-*.log")))
    anchors = next(kept("anchors-*.log"))
    node = anchors.stem.removeprefix("anchors-")
    assert (node == "0") == (kind == "sqlite"), "the only node there can be is 0; of several each has its name"
    wait_until(lambda: json.loads(g.command("audit", "head", "--json").stdout)["chains_not_anchored"] == 0)
    head = json.loads(g.command("audit", "head", "--json").stdout)["anchors"][0]
    assert (head["node"], head["anchor"]) == (node, 1) and head["hash"] in g.command("audit", "head").stdout
    assert g.terminate() == 0
    assert head["hash"] in g.log.read_text(), "told in the log"
    code, report = verify("--expect", head["hash"])
    assert (code, report["entries"], report["chains"], report["anchored_heads"]) == (0, 3, 1, 1), report
    shown = json.loads(g.command("audit", "show", chain, "--after", "1", "--json").stdout)
    assert [e["outcome"] for e in shown["entries"]] == ["confirmed", "Grüße"] and shown["entries"][1]["hash"] == previous.hex()
    assert "effect.confirmed" in g.command("audit", "show", chain).stdout

    run(f"UPDATE audit_entries SET outcome = 'refunded' WHERE chain = '{chain}' AND seq = 2")
    code, report = verify()
    assert code == 1 and [(f["chain"], f["seq"], f["fault"]) for f in report["findings"]] == [(chain, 2, "edited")]
    text = g.command("audit", "verify", check=False)
    assert text.returncode == 1 and "entry 2 is not what its hash says" in text.stdout
    assert verify("--expect", "0" * 64)[1]["found"] == 2, "nobody has that anchor"


def test_what_cannot_be_checked_is_not_called_clean(upstream, gateway):
    g = gateway(one_provider(upstream), start=False)
    missing = g.command("audit", "verify", check=False)
    assert missing.returncode == 2
    g.start()
    assert g.terminate() == 0
    assert g.command("audit", "verify", "--expect", "abc", check=False).returncode == 2
    unreadable = g.command("audit", "verify", "--anchors", "nowhere.log", check=False)
    assert unreadable.returncode == 2 and "nowhere.log" in unreadable.stderr
    assert g.command("audit", "verify", "--chain", "job_nobody", check=False).returncode == 2
    nobody = g.command("audit", "show", "job_nobody", check=False)
    assert nobody.returncode == 1 and "no audit chain" in nobody.stderr
    assert "Exit code 0: clean" in g.command("audit", "verify", "--help").stdout


@pytest.mark.databases
def test_what_is_done_to_keys_is_told_by_whom_and_without_secrets(upstream, gateway):
    g = gateway(one_provider(upstream))
    made = g.admin.post("/api/keys", {"name": "web", "scopes": ["call"]}).json()
    patch = asyncio.run(fetch(g.port, "PATCH", f"/api/keys/{made['id']}", headers=g.admin.headers(), body=b'{"models": ["chat"]}'))
    assert patch.status == 200, patch.body
    g.admin.post(f"/api/keys/{made['id']}/rotate", {"overlap": 60})
    g.admin.delete(f"/api/keys/{made['id']}")
    shown = g.command("audit", "show", "admin:0", "--json").stdout
    entries = json.loads(shown)["entries"]
    assert [e["action"] for e in entries] == ["key.created", "key.updated", "key.rotated", "key.revoked"]
    assert {e["subject"] for e in entries} == {made["id"]} and all(e["actor"].startswith("key:") for e in entries)
    assert made["secret"] not in shown and g.command("audit", "verify", "--json").returncode == 0
