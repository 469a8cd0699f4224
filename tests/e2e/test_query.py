"""`ballast query`: a question written as an intent, what it answers, refuses and explains; and `ballast check` on datasets."""
from __future__ import annotations

import json
import sqlite3
import subprocess

import pytest

from support.gateway import binary

DATASET = """
database: sqlite:shop.sqlite
tables:
  customers:
    columns:
      id: {type: integer}
      name: {type: text, mask: partial}
      city: {type: text}
      team: {type: text, hidden: true}
    rows: {column: team, equals: principal.team}
"""
BY_CITY = {"from": "customers", "dimensions": ["customers.city"], "measures": [{"count": "*", "as": "people"}], "order": [{"by": "people", "desc": True}]}


@pytest.fixture
def query(tmp_path):
    (tmp_path / "datasets").mkdir()
    (tmp_path / "datasets/shop.yaml").write_text(DATASET)
    with sqlite3.connect(tmp_path / "datasets/shop.sqlite") as db:
        db.execute("CREATE TABLE customers (id INTEGER, name TEXT, city TEXT, team TEXT)")
        db.executemany("INSERT INTO customers VALUES (?,?,?,?)", [(1, "Ada", "Paris", "red"), (2, "Bob", "Rome", "red"), (3, "Cleo", "Rome", "red"), (4, "Dan", "Rome", "blue")])
    db.close()

    def run(*args, intent=None, command="query"):
        return subprocess.run([binary(), command, *args], cwd=tmp_path, input=None if intent is None else json.dumps(intent), capture_output=True, text=True, timeout=60)
    run.folder = tmp_path
    return run


def test_an_intent_is_answered_for_who_asks(query):
    done = query("shop", "--intent", "-", "--principal", '{"team": "red"}', intent=BY_CITY)
    assert done.returncode == 0 and [line.split() for line in done.stdout.splitlines()][-2:] == [["Rome", "2"], ["Paris", "1"]], done
    done = query("shop", "--intent", "-", "--principal", '{"team": "blue"}', "--json", "--question", "who?", intent=BY_CITY)
    out = json.loads(done.stdout)
    assert out["answer"]["rows"] == [["Rome", 1]] and out["answer"]["chart"] == "table" and out["record"]["question"] == "who?"
    assert out["record"]["parameters"][0] == "blue" and "blue" not in out["record"]["sql"]
    done = query("shop", "--intent", "-", intent=BY_CITY)
    assert done.returncode == 1 and "principal.team" in done.stderr and not done.stdout


def test_data_that_stands_still_has_a_day_of_its_own(query):
    file = query.folder / "datasets/shop.yaml"
    file.write_text("as_of: 2025-01-15T12:00:00Z\n" + file.read_text())
    done = query("shop", "--intent", "-", "--json", "--principal", '{"team": "blue"}', intent={"from": "customers", "dimensions": [{"now": "date", "as": "today"}]})
    assert json.loads(done.stdout)["answer"]["rows"] == [["2025-01-15"]], done


def test_refusals_name_the_place_and_what_is_masked_stays_so(query):
    done = query("shop", "--intent", "-", intent={"from": "customers", "dimensions": ["customers.nam"]})
    assert done.returncode == 1 and 'dimensions[0]: is not a column of this dataset; did you mean "customers.name"?' in done.stderr
    done = query("shop", "--intent", "-", "--json", intent={"unanswerable": "The dataset has no weather."})
    assert done.returncode == 1 and "no weather" in json.loads(done.stdout)["error"]["message"]
    done = query("shop", "--intent", "-", "--explain", "--principal", '{"team": "blue"}', intent={"from": "customers", "dimensions": ["customers.name"]})
    assert done.returncode == 0 and "D•••" in done.stdout and "Dan" not in done.stdout and "SELECT t1.\"name\"" in done.stdout and "running" in done.stdout


def test_what_a_model_is_told_and_wrong_usage(query):
    assert "team" not in query("shop", "--describe").stdout
    schema = json.loads(query("--dataset", "datasets/shop.yaml", "--schema").stdout)
    assert schema["$defs"]["table"] == {"enum": ["customers"]}
    assert query("shop").returncode == 2 and query("--intent", "-", intent=BY_CITY).returncode == 2
    done = query("shopp", "--describe")
    assert done.returncode == 3 and "there are shop" in done.stderr


def test_check_warns_of_an_open_table_beside_a_filtered_one(query):
    notes = "  notes:\n    columns: {customer: {type: integer}, text: {type: text}}\n"
    (query.folder / "datasets/shop.yaml").write_text(DATASET + notes + "joins: [notes.customer = customers.id]\n")
    done = query(command="check")
    assert done.returncode == 0 and "warning: dataset shop: table notes has no row filter" in done.stdout and "rows: {of: customers}" in done.stdout, done
    for decided in ("{of: customers}", "all"):
        (query.folder / "datasets/shop.yaml").write_text(DATASET + notes + f"    rows: {decided}\njoins: [notes.customer = customers.id]\n")
        told = json.loads(query("--json", command="check").stdout)
        assert told["ok"] and not [w for w in told["warnings"] if "dataset" in w], told


def test_check_reads_the_datasets(query):
    done = query("--json", command="check")
    assert done.returncode == 0 and [d["dataset"] for d in json.loads(done.stdout)["datasets"]] == ["shop"], done
    (query.folder / "datasets/shop.yaml").write_text(DATASET.replace("type: text}", "type: txt}", 1))
    done = query("--json", command="check")
    assert done.returncode == 3 and "shop.yaml:8:20: tables.customers.columns.city.type" in done.stderr, done.stderr
