"""`ballast contract`: recorded with one model, held against another, with inputs that mean harm; of flows as well."""
from __future__ import annotations

import json
import xml.etree.ElementTree as ElementTree

import pytest

ANSWER = {"category": "refund", "confidence": 0.9, "lines": [{"sku": "A-1", "n": 1}]}
FLOW = """
flow: sort
input: {schema: {type: object, required: [text], additionalProperties: false, properties: {text: {type: string, maxLength: 50000}, n: {type: integer}}}}
output: '{size: (.input.text | length), word: (.input.text | split(" ") | first), all: .stages.note.output}'
stages:
  note: {template: "Read: {{ .input.text }}"}
"""


def says(*scripted, **more) -> dict:
    """A model of the simulator; the last text of `scripted` is its answer to anything."""
    return {"ttft": "0s", "tokens_per_second": 0, "answers": list(scripted), "context": 32000, **more}


def text(value) -> str:
    return value if isinstance(value, str) else json.dumps(value)


@pytest.fixture
def house(gateway):
    """A gateway before simulated models, each a route of its name."""
    def make(models: dict, flow: str | None = None):
        g = gateway({"providers": {"sim": {"kind": "simulator", "models": models}},
                     "routes": {m: {"targets": [f"sim/{m}"], "retries": {"attempts": 1}, "structured": {"enforce": "none"}} for m in models}}, start=False)
        if flow:
            (g.folder / "flows").mkdir()
            (g.folder / "flows" / "sort.yaml").write_text(flow)
        (g.folder / "inputs.jsonl").write_text('"I want my money back"\n\n"Where is my parcel?"\n')
        return g.start()
    return make


def contract(g, *args):
    return g.command("contract", *args, check=False)


GOOD = says({"text": text(ANSWER)})


def test_what_was_recorded_holds_of_the_same_model_and_of_harmful_inputs(house):
    g = house({"first": GOOD})
    done = contract(g, "record", "c.json", "--model", "first", "--inputs", "inputs.jsonl", "--samples", "2")
    assert (done.returncode, done.stdout) == (0, "recorded: 4 answers to 2 inputs, in c.json\n"), done.stderr
    written = json.loads((g.folder / "c.json").read_text())
    assert written["model"] == "first" and len(written["inputs"]) == 2
    assert written["answer"]["properties"]["content"]["properties"]["lines"]["items"]["required"] == ["sku", "n"]
    done = contract(g, "verify", "c.json", "--json", "--junit", "report.xml")
    report = json.loads(done.stdout)
    assert (done.returncode, report["holds"], report["broken"]) == (0, True, []), done.stdout + done.stderr
    assert report["asked"] >= 20 and report["refused"] >= 1   # what is longer than the context
    suite = ElementTree.parse(g.folder / "report.xml").getroot()[0]
    assert (suite.get("tests"), suite.get("failures"), suite.get("errors")) == (str(report["asked"]), "0", "0")


CHANGED = [
    (ANSWER | {"confidence": "high"}, "/content/confidence", "must be a number, is a string", '"high"'),
    (ANSWER | {"category": None}, "/content/category", "must be a string, is null", "null"),
    ({k: v for k, v in ANSWER.items() if k != "lines"}, "/content", 'must have the member "lines"', None),
    (ANSWER | {"lines": [{"sku": "A-1"}]}, "/content/lines/0", 'must have the member "n"', None),
    (ANSWER | {"note": "x"}, "/content/note", "is not allowed here", '"x"'),
    ("Sure! " + json.dumps(ANSWER), "/content", "must be an object, is a string", None),
]


@pytest.mark.parametrize("answer, path, expected, found", CHANGED, ids=[c[2] for c in CHANGED])
def test_another_model_that_answers_otherwise_to_one_input_is_caught(house, answer, path, expected, found):
    g = house({"first": GOOD, "second": says({"match": "DROP TABLE", "text": text(answer)}, {"text": text(ANSWER)})})
    assert contract(g, "record", "c.json", "--model", "first", "--inputs", "inputs.jsonl", "--samples", "1").returncode == 0
    done = contract(g, "verify", "c.json", "--model", "second", "--json", "--junit", "report.xml")
    report = json.loads(done.stdout)
    assert done.returncode == 1 and report["holds"] is False
    [breach] = report["broken"]
    assert (breach["input"], breach["path"]) == ("SQL injection", path) and breach["expected"].startswith(expected), breach
    assert found is None or breach["found"] == found
    failure = ElementTree.parse(g.folder / "report.xml").getroot().find(".//testcase[@name='SQL injection']/failure")
    assert path in failure.get("message") and expected.split('"')[0] in failure.get("message")
    said = contract(g, "verify", "c.json", "--model", "second")
    assert said.returncode == 1 and f"broken: SQL injection: {path}: {expected}" in said.stdout


def test_tools_are_part_of_the_structure(house):
    lookup = says({"tool": "look_up", "arguments": '{"id": 7}'})
    g = house({"first": lookup, "same": lookup, "other": says({"tool": "look_up", "arguments": '{"id": "seven"}'}), "prose": says({"text": "seven"})})
    (g.folder / "r.json").write_text(json.dumps({"tools": [{"type": "function", "function": {"name": "look_up", "parameters": {"type": "object"}}}]}))
    assert contract(g, "record", "c.json", "--model", "first", "--inputs", "inputs.jsonl", "--request", "r.json").returncode == 0
    assert contract(g, "verify", "c.json", "--model", "same").returncode == 0
    done = contract(g, "verify", "c.json", "--model", "other", "--only-own")
    assert done.returncode == 1 and "/tool_calls/0/arguments/id: must be an integer, is a string" in done.stdout
    done = contract(g, "verify", "c.json", "--model", "prose", "--only-own")
    assert done.returncode == 1 and "/finish: " in done.stdout and "/tool_calls: must have at least 1 item" in done.stdout


def test_a_server_error_on_a_harmful_input_is_a_breach_and_what_cannot_be_asked_is_not(house):
    g = house({"first": GOOD, "falls": says({"text": text(ANSWER)}, faults=[{"kind": "http_500", "every": 7}])})
    assert contract(g, "record", "c.json", "--model", "first", "--inputs", "inputs.jsonl").returncode == 0
    done = contract(g, "verify", "c.json", "--model", "falls", "--json")
    broken = json.loads(done.stdout)["broken"]
    assert done.returncode == 1 and broken and all(b["expected"] == "must be an answer or a clear refusal" and b["found"].startswith("50") for b in broken)
    done = contract(g, "verify", "c.json", "--model", "nobody", "--json", "--junit", "report.xml")
    report = json.loads(done.stdout)
    assert (done.returncode, report["holds"], report["asked"]) == (2, None, 0) and report["could_not_run"].startswith("recorded input 1: 40")
    assert ElementTree.parse(g.folder / "report.xml").getroot()[0].get("errors") == "1"
    assert contract(g, "verify", "nothing.json").returncode == 2
    g.kill()
    done = contract(g, "verify", "c.json", "--json")
    assert done.returncode == 2 and json.loads(done.stdout)["holds"] is None


def test_a_declared_schema_is_asked_for_and_its_enum_is_pinned(house):
    schema = {"type": "object", "required": ["category"], "properties": {"category": {"enum": ["refund", "other"]}, "note": {"type": "string"}}}
    g = house({"first": says(), "other": says({"text": '{"category": "other", "note": "x"}'}), "invents": says({"text": '{"category": "mine"}'})})
    (g.folder / "s.json").write_text(json.dumps(schema))
    assert contract(g, "record", "c.json", "--model", "first", "--inputs", "inputs.jsonl", "--schema", "s.json").returncode == 0
    assert json.loads((g.folder / "c.json").read_text())["request"]["response_format"]["json_schema"]["schema"] == schema
    done = contract(g, "verify", "c.json", "--model", "other", "--only-own")
    assert done.returncode == 0, done.stdout + done.stderr
    done = contract(g, "verify", "c.json", "--model", "invents", "--only-own")
    assert done.returncode == 1 and '/content/category: must be one of "refund", "other", is "mine"' in done.stdout


def test_a_flow_is_held_to_its_contract_and_refuses_by_name(house):
    g = house({"first": GOOD}, FLOW)
    (g.folder / "inputs.jsonl").write_text('{"text": "one two"}\n{"text": "three", "n": 3}\n')
    done = contract(g, "record", "c.json", "--flow", "sort", "--inputs", "inputs.jsonl", "--samples", "1")
    assert done.returncode == 0, done.stderr
    done = contract(g, "verify", "c.json", "--json")
    report = json.loads(done.stdout)
    # Of an empty text there is no first word: that is another structure, and was seen.
    assert done.returncode == 1 and {(b["input"], b["path"]) for b in report["broken"]} == {("empty", "/output/word")}, done.stdout + done.stderr
    assert report["refused"] >= 4   # too long, null, a list, no members, without text
    assert contract(g, "verify", "c.json", "--only-own").returncode == 0
    assert contract(g, "verify", "c.json", "--model", "first").returncode == 2
