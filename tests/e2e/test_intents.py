"""`ballast intents`: trained on a file, tested on another, asked; what is wrong is told by file and line. Classifiers of the configuration: examples that are
trained on when it is read, a small model that is asked where one is unsure, a stage of flows."""
from __future__ import annotations

import json
import pathlib
import subprocess

import pytest

from support.gateway import binary, nano
from test_jobs import post
from test_reload import reload

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
    assert done.returncode == 0 and done.stderr == "", "how far it is, a terminal alone is told"
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


PRICE = {"input": "$1", "output": "$2"}


def by_intent(small: dict | None = None, **route) -> dict:
    """`chat` goes by the classifier `shop`: refunds to sim/large, the rest to sim/any. There is a sim/small, too."""
    model = {"tokens_per_second": 0, "ttft": "0s", "price": PRICE}
    models = {"small": {**model, **(small or {})}, "large": {**model, "answer": "I am large."}, "any": {**model, "answer": "I am any."}}
    return {"providers": {"sim": {"kind": "simulator", "models": models}},
            "classifiers": {"shop": {"examples": {label: list(texts) for label, texts in SHOP.items()}}},
            "routes": {"chat": {"strategy": "intent", "classifier": "shop", "targets": [{"model": "sim/large", "intents": ["refund"]}, "sim/any"], **route}}}


def wants(g, text: str = "I want my money back please"):
    return g.app.chat("chat", text, max_tokens=50)


def test_examples_of_the_configuration_are_trained_on_once(gateway):
    def trained() -> list[dict]:
        lines = [json.loads(line) for line in g.log.read_text().splitlines() if line.startswith("{")]
        return [line for line in lines if line["event"] == "classifier_trained"]
    g = gateway(by_intent())
    [first] = trained()
    assert (first["name"], first["examples"], first["labels"]) == ("shop", 10, 2) and first["ms"] >= 0
    g.config["routes"]["chat"]["unsure_below"] = 0
    reload(g)
    assert len(trained()) == 1 and wants(g).status == 200
    g.config["classifiers"]["shop"]["examples"]["refund"].append("pay me back for the broken one")
    reload(g)
    assert [line["examples"] for line in trained()] == [10, 11] and trained()[1]["digest"] != first["digest"]
    told = g.command("check", "--config", str(g.file)).stdout
    assert "shop" in told and "trained in" in told, told


def test_check_trains_on_files_of_examples_and_says_what_is_wrong(tmp_path):
    (tmp_path / "shop.tsv").write_text("".join(f"{label}\t{text}\n" for label, texts in SHOP.items() for text in texts))
    (tmp_path / "bad.tsv").write_text("no tab\n")
    (tmp_path / "many.tsv").write_text("".join(f"label{i % 2}\ttext {i}\n" for i in range(20_001)))

    def check(classifier):
        (tmp_path / "ballast.yaml").write_text(json.dumps({"classifiers": {"shop": classifier}}))
        return subprocess.run([binary(), "check", "--json"], cwd=tmp_path, capture_output=True, text=True, timeout=60)
    told = json.loads(check({"examples": "shop.tsv"}).stdout)["classifiers"]
    assert [(c["classifier"], c["labels"], c["trained on"]) for c in told] == [("shop", 2, 10)]
    for classifier, message in [
        ({"examples": "bad.tsv"}, "bad.tsv:1: must be a label, a tab and a text"),
        ({"examples": ["shop.tsv", "nothing.tsv"]}, "nothing.tsv: cannot be read"),
        ({"examples": "many.tsv"}, "ballast intents train"),
        ({"examples": {"a": ["one text", "two"]}}, "at least two labels are needed"),
        ({"examples": "shop.tsv", "seeds": 1}, 'did you mean "seed"?'),
        ({}, "examples is required"),
    ]:
        done = check(classifier)
        assert done.returncode != 0 and message in done.stderr and "classifiers.shop" in done.stderr, (classifier, done.stderr)


def sort_flow() -> str:
    """The example of docs/intents.md, with models of the simulator."""
    text = (pathlib.Path(__file__).parents[2] / "docs" / "intents.md").read_text()
    flow = text[text.index("flow: sort"):]
    return flow[:flow.index("```")].replace("openai/gpt-5-nano", "sim/small").replace("unsure_below: 0.6", "unsure_below: 0.3")


def test_a_flow_classifies_and_asks_a_model_where_it_is_unsure(gateway):
    config = by_intent({"answers": [{"text": '{"label": "account"}'}]})
    g = gateway({**config, "classifiers": {"mails": config["classifiers"]["shop"]}, "routes": {}}, start=False)
    (g.folder / "flows").mkdir()
    (g.folder / "flows/sort.yaml").write_text(sort_flow())
    g.start()

    def sort(mail: str) -> tuple[dict, dict[str, dict]]:
        made = post(g.app, "/api/jobs?wait=30s", {"flow": "sort", "input": {"mail": mail}})
        assert made.status == 200, made.body
        records = g.app.get(f"/api/jobs/{made.json()['id']}/stages").json()["records"]
        return made.json(), {r["stage"]: r for r in records}
    sure, stages = sort("I want my money back")
    assert sure["output"] == "refund" and "asked" not in stages, stages
    told = stages["wants"]["output"]
    assert told["verdict"] == "sure" and len(told["digest"]) == 64 and told["next"][0]["label"] == "delivery", told
    strange, stages = sort("qzx wvk jjj")
    assert strange["output"] == "account" and stages["wants"]["output"]["verdict"] == "out_of_scope", strange

    # Another classifier: what was said stays, what is asked anew is told by the new one's digest.
    g.config["classifiers"]["mails"]["examples"]["refund"].append("pay me back for the broken one")
    reload(g)
    again = post(g.app, f"/api/jobs/{sure['id']}/fork?wait=30s", {"stage": "asked"})
    assert again.status in (200, 202), again.body
    fresh, stages = sort("I want my money back")
    assert stages["wants"]["output"]["digest"] != told["digest"]
    forked = g.app.get(f"/api/jobs/{again.json()['id']}/stages").json()["records"]
    assert [r["output"]["digest"] for r in forked if r["stage"] == "wants"] == [told["digest"]]

    (g.folder / "flows/sort.yaml").write_text(sort_flow().replace("classifier: mails", "classifier: mail"))
    done = g.command("check", "--config", str(g.file), check=False)
    assert done.returncode != 0 and "asks the classifier mail, and there is none of this name" in done.stderr, done.stderr


def cascade(reply: str, faults=(), unsure_below: float = 1, **ask) -> dict:
    """Where the classifier is unsure (of everything), sim/small is asked what a call wants, and says `reply`."""
    return by_intent({"answers": [{"match": '{"text":', "text": reply}], "faults": list(faults)}, unsure_below=unsure_below, ask={"model": "sim/small", **ask})


@pytest.mark.parametrize("stream", [False, True])
def test_a_small_model_is_asked_where_the_classifier_is_unsure(gateway, stream):
    g = gateway(cascade('{"label": "refund"}'))
    r = g.app.chat("chat", "I want my money back please", max_tokens=50, stream=stream)
    assert (r.status, r.text(), r.headers["x-ballast-served-by"]) == (200, "I am large.", "sim/large")
    d = g.decision(r)
    assert [a["model"] for a in d["attempts"]] == ["small", "large"]
    assert nano(d["incurred_usd"]) == sum(nano(a["incurred_usd"]) for a in d["attempts"]) > nano(d["billed_usd"]) == nano(d["attempts"][1]["incurred_usd"])
    told = g.command("explain", r.headers["x-ballast-call-id"]).stdout
    assert "asked sim/small what it wants: refund; sim/large comes first" in told, told
    assert g.metric("ballast_intents_total", label="refund", by="model") == 1
    books = g.usage()
    assert books["calls"] == 1 and books["attempts"] == 2 and books["incurred"] == nano(d["incurred_usd"])


def test_what_the_classifier_is_sure_of_asks_nobody(gateway):
    g = gateway(cascade('{"label": "delivery"}', unsure_below=0))
    r = wants(g)
    assert r.text() == "I am large." and len(g.decision(r)["attempts"]) == 1 and g.metric("ballast_intents_total", label="refund", by="classifier") == 1


@pytest.mark.parametrize("reply, faults, why", [
    ('{"label": "bribe"}', (), "nothing usable"),
    ("It wants a refund.", (), "nothing usable"),
    ('{"label": "none"}', (), "none"),
    ('{"label": "refund"}', ({"kind": "http_500"},), "provider_error"),
    ('{"label": "refund"}', ({"kind": "silence"},), "provider_timeout"),
    ('{"label": "refund"}', ({"kind": "content_filter"},), "provider_content_filter"),
])
def test_a_lie_or_a_failure_of_that_model_is_none_of_the_call(gateway, reply, faults, why):
    g = gateway(cascade(reply, faults, timeout="500ms"))
    r = wants(g)
    assert (r.status, r.text()) == (200, "I am any."), r.body
    told = g.command("explain", r.headers["x-ballast-call-id"]).stdout
    assert f"asked sim/small what it wants: {why}" in told or (why == "provider_content_filter" and "nothing usable" in told), told


def test_no_budget_is_overshot_by_asking_and_none_refuses_an_answer_for_it(gateway):
    for budget, status, attempts in (("$0", 429, 0), ("$0.004", 200, 1), ("$0.01", 200, 2)):
        g = gateway({**cascade('{"label": "refund"}'), "budgets": [{"name": "day", "scope": "system", "amount": budget, "per": "day"}]})
        r = wants(g)
        assert r.status == status, (budget, r.json())
        d = g.decision(r)
        assert len(d["attempts"]) == attempts, (budget, d)
        assert g.spent() == nano(d["incurred_usd"]) <= nano(budget[1:])
        if attempts == 1:
            assert "did not ask sim/small what it wants: the budget" in g.command("explain", r.headers["x-ballast-call-id"]).stdout
        g.stop()
