"""`ballast schema validate`: one document, many lines, registered documents, and what it exits with."""
from __future__ import annotations

import json
import subprocess

import pytest

from support.gateway import binary

ORDER = {"type": "object", "required": ["items"], "properties": {
    "items": {"type": "array", "items": {"type": "object", "properties": {"price": {"type": "number", "minimum": 0}}}}}}
GOOD, BAD = {"items": [{"price": 1}]}, {"items": [{"price": 1}, {"price": -3}], "n": 1}


@pytest.fixture
def validate(tmp_path):
    def run(*args, stdin: str = "", **files):
        for name, content in files.items():
            (tmp_path / f"{name}.json").write_text(content if isinstance(content, str) else json.dumps(content))
        return subprocess.run([binary(), "schema", "validate", *args], cwd=tmp_path, input=stdin, capture_output=True, text=True, timeout=60)
    return run


def lines(*rows) -> str:
    return "".join(json.dumps(row) + "\n" for row in rows)


def test_one_document_is_valid_invalid_or_unusable(validate):
    done = validate("s.json", "i.json", s=ORDER, i=GOOD)
    assert (done.returncode, done.stdout) == (0, "valid\n")
    done = validate("s.json", "i.json", i=BAD)
    assert (done.returncode, done.stdout) == (
        1, "/items/1/price: must be at least 0, is -3 (/properties/items/items/properties/price/minimum)\n")
    done = validate("s.json", "i.json", s={"properties": {"a": {"type": "strnig"}}})
    assert done.returncode == 2 and "s.json#/properties/a/type: must be " in done.stderr
    done = validate("s.json", "i.json", s="{")
    assert done.returncode == 2 and "s.json: invalid JSON" in done.stderr
    done = validate("s.json", "nothing.json", s=ORDER)
    assert done.returncode == 2 and "nothing.json: cannot be read" in done.stderr
    for wrong in ([], ["s.json"], ["s.json", "i.json", "--jsonl", "-"], ["s.json", "i.json", "--draft", "9"]):
        assert validate(*wrong).returncode == 2


def test_errors_as_json(validate):
    done = validate("s.json", "i.json", "--json", s=ORDER, i=BAD)
    told = json.loads(done.stdout)
    assert done.returncode == 1 and told == {"valid": False, "errors": [
        {"instance_path": "/items/1/price", "schema_path": "/properties/items/items/properties/price/minimum",
         "message": "must be at least 0, is -3"}]}
    assert json.loads(validate("s.json", "i.json", "--json", i=GOOD).stdout) == {"valid": True, "errors": []}
    told = json.loads(validate("s.json", "i.json", "--json", s={"minLength": -1}).stdout)
    assert told["valid"] is None and told["unusable"]["field"] == "s.json#/minLength"


def test_many_lines(validate):
    rows = lines({"schema": ORDER, "instance": GOOD}, {"schema": ORDER, "instance": BAD}, {"schema": False, "instance": 1}, {"schema": {"enum": 3}, "instance": 1},
                 {"schema": ORDER}, {"schema": True, "instance": None}) + "{\n"
    done = validate("--jsonl", "-", stdin=rows)
    said = done.stdout.splitlines()
    assert done.returncode == 2 and said[:3] == ["valid", "invalid", "invalid"] and said[5] == "valid" and len(said) == 7
    assert said[3] == "unusable: /enum: must be a list of values" and said[4].startswith("unusable: ") and said[6].startswith("unusable: ")
    done = validate("--jsonl", "rows.json", rows=lines({"schema": ORDER, "instance": GOOD}, {"schema": ORDER, "instance": BAD}))
    assert (done.returncode, done.stdout) == (1, "valid\ninvalid\n")
    told = [json.loads(line) for line in validate("--jsonl", "rows.json", "--json").stdout.splitlines()]
    assert told[0] == {"valid": True, "errors": []} and told[1]["errors"][0]["instance_path"] == "/items/1/price"


def test_references_lead_to_registered_documents_and_nowhere_else(validate, tmp_path):
    (tmp_path / "types" / "deep").mkdir(parents=True)
    (tmp_path / "types" / "deep" / "age.json").write_text('{"type": "integer"}')
    (tmp_path / "types" / "name.json").write_text('{"$id": "https://example.com/name", "type": "string"}')
    by_path = {"properties": {"age": {"$ref": "http://localhost:1234/deep/age.json"}, "name": {"$ref": "https://example.com/name"}}}
    assert validate("s.json", "i.json", "--register", "types", s=by_path, i={"age": 3, "name": "x"}).returncode == 0
    assert validate("s.json", "i.json", "--register", "types", i={"age": "3"}).returncode == 1
    assert validate("s.json", "i.json", "--register", "types", i={"name": 3}).returncode == 1
    done = validate("s.json", "i.json")
    assert done.returncode == 2 and "http://localhost:1234/deep/age.json" in done.stderr and "nothing is fetched" in done.stderr
    done = validate("s.json", "i.json", "--register", "types", "--register-base", "https://mine/", s={"$ref": "https://mine/deep/age.json"}, i=3)
    assert done.returncode == 0
    assert validate("s.json", "i.json", "--register", "nowhere").returncode == 2


def test_formats_and_drafts_are_chosen(validate):
    assert validate("s.json", "i.json", s={"format": "date"}, i='"tomorrow"').returncode == 0
    assert validate("s.json", "i.json", "--format").returncode == 1
    tuple_of_7 = {"items": [{"type": "string"}], "additionalItems": False}
    assert validate("s.json", "i.json", "--draft", "7", s=tuple_of_7, i=["a", 1]).returncode == 1
    assert validate("s.json", "i.json", "--draft", "draft7", i=["a"]).returncode == 0
    assert validate("s.json", "i.json", i=["a"]).returncode == 2
