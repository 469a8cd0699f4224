"""Calls that the database refuses are set aside, and `ballast journal import-rejected` brings them back."""
from __future__ import annotations

import json
import sqlite3
import time

import pytest

from support.configs import one_provider

pytestmark = pytest.mark.databases


REFUSAL = {"sqlite": ["CREATE TRIGGER refusal BEFORE INSERT ON call_blocks BEGIN SELECT RAISE(ABORT, 'not today'); END"],
           "postgres": ["CREATE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql AS $f$ BEGIN RAISE EXCEPTION 'not today'; END $f$",
                        "CREATE TRIGGER refusal BEFORE INSERT ON call_blocks FOR EACH ROW EXECUTE FUNCTION refuse()"]}
CONSENT = {"sqlite": "DROP TRIGGER refusal", "postgres": "DROP TRIGGER refusal ON call_blocks"}


def test_refused_calls_come_back_by_command(upstream, gateway, request):
    g = gateway(one_provider(upstream, budgets=[{"name": "all", "scope": "system", "amount": "$1", "per": "day"}]))
    kind, _, file = g.config["database"].partition(":")
    rejected = g.folder / "data" / "journal" / "rejected"

    def run(sql: str) -> None:
        if kind == "postgres":
            server = request.getfixturevalue("postgres")
            server.run(sql, server.name_of(g.config["database"]))
            return
        with sqlite3.connect(file, timeout=20) as db:
            db.execute(sql)

    for statement in REFUSAL[kind]:
        run(statement)
    reply = g.app.chat("chat")
    assert reply.succeeded(), "the caller does not suffer"
    end = time.monotonic() + 20
    while not rejected.exists():
        assert time.monotonic() < end, g.log.read_text()
        time.sleep(0.05)
    assert g.terminate() == 0

    again = g.command("journal", "import-rejected", "--json", check=False)
    said = json.loads(again.stdout)
    assert again.returncode == 1 and said["refused"] == 1 and "not today" in said["calls"][0]["error"]
    assert said["calls"][0]["call"] == reply.headers["x-ballast-call-id"]
    assert "still in" in g.command("journal", "import-rejected", check=False).stdout

    run(CONSENT[kind])
    done = json.loads(g.command("journal", "import-rejected", "--json").stdout)
    assert (done["imported"], done["refused"], rejected.exists()) == (1, 0, False)
    assert "no rejected calls" in g.command("journal", "import-rejected").stdout
    g.start()
    assert g.decision(reply)["id"] == reply.headers["x-ballast-call-id"]


def test_the_command_explains_itself(upstream, gateway):
    g = gateway(one_provider(upstream), start=False)
    assert "no database took" in g.command("journal", "import-rejected", "--help").stdout
    assert g.command("journal", check=False).returncode == 2
