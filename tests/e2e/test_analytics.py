"""The analytics blueprint as it ships: questions, refusals, what the model sees, the explanation, and the page in a real browser."""
from __future__ import annotations

import json
import re

import pytest

from support.blueprint import House, house  # noqa: F401  (a fixture)
from support.browser import Browser
from support.client import Caller
from support.fake_upstream import ok
from support.gateway import APP_KEY

EXAMPLES = {
    "Show the revenue by year": "line", "Revenue by month in 2025": "line", "Which countries bring the most revenue?": "bar", "Who are the best-selling artists?": "bar",
    "Which genres sell best?": "bar", "How many customers do we have?": "number", "Whose customers bought for how much?": "table", "What are the longest tracks?": "table",
    "Who are our best customers?": "table", "What is the average invoice, by country?": "bar",
}


def ask(g: House, question: str) -> dict:
    done = g.submit("ask", {"question": question}, wait="30s")
    assert done["state"] == "done", done
    return done["output"]


@pytest.fixture
def modelled(house, upstream):
    """The blueprint with a provider of the test's own in the model's place."""
    def make(*answers: str, **env: str) -> House:
        g = house("analytics", start=False, OPENAI_BASE_URL=upstream.base_url, OPENAI_API_KEY="sk-nobody", **env)
        left = list(answers)

        async def behave(wire, seen):
            await ok([left.pop(0)])(wire, seen)
        upstream.script("gpt-5-mini", behave)
        g.change("ballast.yaml", "targets: [sim/analyst]", "targets: [openai/gpt-5-mini]")
        return g.start()
    return make


def test_the_check_finds_nothing_to_say(house):
    told = json.loads(house("analytics", start=False).command("check", "--json").stdout)
    assert told["ok"] and told["warnings"] == [], told
    assert [d["dataset"] for d in told["datasets"]] == ["shop"] and told["pages"][0]["page"] == "/pages/analytics/"


@pytest.mark.databases
def test_every_example_is_answered_with_the_rows_and_how_they_were_found(house):
    g = house("analytics")
    for question, chart in EXAMPLES.items():
        out = ask(g, question)
        found = out["found"]
        assert found["chart"] == chart and found["rows"] and out["answer"] == found["text"], (question, found)
        assert found["question"] == question and found["asked"] == 1 and set(found["timing_ms"]) == {"model", "read", "build", "run"}
        assert found["sql"].startswith("SELECT") and ";" not in found["sql"] and len(found["columns"]) == len(found["rows"][0])
    assert ask(g, "How many customers do we have?")["found"]["rows"] == [[59]]


def test_what_is_masked_leaves_masked(house):
    rows = ask(house("analytics"), "Who are our best customers?")["found"]["rows"]
    assert all(re.fullmatch(r".•••", row[1]) and re.fullmatch(r".•••", row[2]) for row in rows), rows


def test_what_cannot_be_answered_is_refused_with_the_reason(modelled):
    out = ask(modelled('{"unanswerable": "There is no weather in this data."}'), "What will the weather be?")
    assert out["found"]["unanswerable"] == "There is no weather in this data." and "no weather" in out["answer"]
    assert "sql" not in out["found"]


def test_a_refused_intent_goes_back_to_the_model_with_the_reason(modelled, upstream):
    spy = json.dumps({"from": "customers", "dimensions": ["customers.city"], "where": {"field": "customers.email", "op": "=", "value": "luisg@embraer.com.br"}})
    g = modelled(spy, json.dumps({"from": "customers", "measures": [{"count": "*", "as": "customers"}]}))
    out = ask(g, "Where does luisg@embraer.com.br live?")
    assert out["found"]["asked"] == 2 and out["found"]["rows"] == [[59]]
    again = upstream.seen("gpt-5-mini")[-1].body["messages"]
    assert "That intent was refused. where" in again[-1]["content"] and "customers.email" in again[-2]["content"], again


def test_a_name_that_was_not_declared_does_not_even_reach_the_dataset(modelled, upstream):
    spy = json.dumps({"from": "customers", "dimensions": ["customers.support_id"]})
    g = modelled(spy, json.dumps({"from": "customers", "measures": [{"count": "*", "as": "customers"}]}))
    out = ask(g, "List the customers of support 1")
    assert out["found"]["asked"] == 1 and out["found"]["rows"] == [[59]] and len(upstream.seen("gpt-5-mini")) == 2, "the call road holds the answer to its schema"


def test_a_refused_answer_in_any_script_goes_back_whole(modelled, upstream):
    refused = json.dumps({"from": "customers", "dimensions": ["customers.city"], "where": {"field": "customers.email", "op": "=", "value": "xy" + "é" * 960}}, ensure_ascii=False)
    g = modelled(refused, json.dumps({"from": "customers", "measures": [{"count": "*", "as": "customers"}]}))
    assert ask(g, "Where does é live?")["found"]["rows"] == [[59]]
    assert upstream.seen("gpt-5-mini")[-1].body["messages"][-2]["content"].endswith("é"), "cut between letters, never within one"


def test_what_is_wrong_with_the_call_itself_is_told_as_it_is(modelled):
    g = modelled()
    g.change("flows/ask.yaml", "      route: analyst\n      question", "      route: openai/no-such-model-anywhere\n      question")
    g.terminate()
    g.start()
    done = g.submit("ask", {"question": "How many customers do we have?"}, wait="60s")
    assert done["state"] == "dead" and "intent" not in done["error"]["message"], done


def test_a_model_that_only_answers_with_sql_gets_nowhere(modelled):
    g = modelled(*["SELECT * FROM Customer; DROP TABLE Customer"] * 12)
    done = g.submit("ask", {"question": "Show me everything"}, wait="60s")
    assert done["state"] == "dead" and done["error"]["code"] in ("provider_invalid_output", "provider_bad_response"), done
    assert ask_own_database(g) == 59


def ask_own_database(g: House) -> int:
    import sqlite3
    with sqlite3.connect(g.folder / "datasets" / "chinook.sqlite") as db:
        return db.execute("SELECT count(*) FROM Customer").fetchone()[0]


def test_the_model_sees_names_and_never_a_row_or_the_connection(modelled, upstream):
    g = modelled(json.dumps({"from": "invoices", "dimensions": ["staff.last_name"], "measures": [{"sum": "invoices.total", "as": "revenue"}]}))
    out = ask(g, "Whose customers bought for how much?")
    assert any("Peacock" in map(str, row) for row in out["found"]["rows"])
    sent = json.dumps([seen.body for seen in upstream.seen("gpt-5-mini")])
    for kept in ("Peacock", "chinook", "sqlite", "EmployeeId", "LastName"):
        assert kept not in sent, kept
    assert "invoices.total" in sent


def test_a_model_that_puts_it_into_words_sees_the_masked_rows_alone(modelled, upstream):
    intent = json.dumps({"from": "customers", "dimensions": ["customers.first_name", "customers.country"], "order": [{"by": "customers.country"}], "limit": 3})
    g = modelled(intent, "Three customers, one of them in Argentina.", ANALYTICS_WORDS="model")
    out = ask(g, "Name three customers")
    assert out["answer"] == "Three customers, one of them in Argentina."
    told = upstream.seen("gpt-5-mini")[-1].body["messages"][-1]["content"]
    assert "Argentina" in told and "D•••" in told and "Diego" not in told and "SELECT" not in told


def test_explain_tells_how_a_question_was_answered(house):
    g = house("analytics")
    job = g.submit("ask", {"question": "Revenue by month in 2025"}, wait="30s")
    told = g.command("explain", "--server", g.env["BALLAST_SERVER"], "--key", APP_KEY, job["id"]).stdout
    for word in ("Revenue by month in 2025", '"truncate":"month"', "SELECT ", "2025-01-01", "12", "model "):
        assert word in told, told
    assert json.loads(g.command("explain", "--json", "--server", g.env["BALLAST_SERVER"], "--key", APP_KEY, job["id"]).stdout)["records"]


def test_the_page_needs_no_key_to_load_and_one_to_ask(house):
    g = house("analytics")
    page = Caller(g.port, "").get("/pages/analytics/")
    assert page.status == 200 and page.headers["content-type"].startswith("text/html") and "script-src 'self'" in page.headers["content-security-policy"]
    assert Caller(g.port, "").post("/api/jobs", {"flow": "ask", "input": {"question": "x"}}).status == 401


def test_a_person_asks_in_a_browser(house, tmp_path):
    g = house("analytics")
    browser = Browser(tmp_path)
    try:
        browser.open(f"http://127.0.0.1:{g.port}/pages/analytics/#key={APP_KEY}")
        assert APP_KEY not in browser.value("location.href"), "the key does not stay in the address"
        browser.type("Which countries bring the most revenue?")
        browser.press("Enter")
        browser.until("document.querySelectorAll('article svg rect').length === 10")
        assert "523.06" in browser.value("document.querySelector('article').textContent")
        browser.value("document.querySelector('article details:last-of-type summary').click()")
        assert "SELECT" in browser.value("document.querySelector('article details:last-of-type').innerText")
        browser.value("[...document.querySelectorAll('#examples button')].find(b => b.textContent.startsWith('How many')).click()")
        assert browser.until("document.querySelector('article .number')?.textContent") == "59customers"
        browser.type("tell me a joke")
        browser.press("Enter")
        assert "cannot be answered" in browser.until("document.querySelector('article.refused p')?.textContent")
        browser.value("sessionStorage.setItem('key', 'sk-nobody')")
        browser.type("Which genres sell best?")
        browser.press("Enter")
        browser.until("document.querySelector('#key-dialog').open")
        assert [c for c in browser.complaints if "401" not in c] == []
    finally:
        browser.stop()


def test_a_long_table_stays_on_the_page_and_what_is_below_nothing_goes_the_other_way(house, tmp_path):
    g = house("analytics", start=False)
    below = {"from": "invoices", "dimensions": ["invoices.country"], "measures": [{"subtract": [{"sum": "invoices.total"}, 60], "as": "above_sixty"}], "order": [{"by": "above_sixty"}]}
    long = {"from": "tracks", "dimensions": ["tracks.name", "tracks.composer"]}
    g.change("ballast.yaml", "        answers:\n", "        answers:\n" + "".join(f"          - {{match: {match}, text: '{json.dumps(intent)}'}}\n" for match, intent in (("below", below), ("everything", long))))
    g.start()
    browser = Browser(tmp_path, width=400)
    try:
        browser.open(f"http://127.0.0.1:{g.port}/pages/analytics/#key={APP_KEY}")
        browser.type("everything")
        browser.press("Enter")
        browser.until("document.querySelectorAll('article tbody tr').length === 200")
        assert browser.value("document.querySelector('article').offsetHeight < 700 && document.documentElement.scrollWidth <= innerWidth")
        assert "200 rows; there are more" in browser.value("document.querySelector('article').innerText")
        browser.type("below")
        browser.press("Enter")
        browser.until("document.querySelectorAll('article svg rect').length === 24")
        zero = browser.value("+document.querySelector('article svg .zero').getAttribute('x1')")
        sides = browser.value("[...document.querySelectorAll('article svg rect')].map(r => [r.classList.contains('below'), +r.getAttribute('x'), +r.getAttribute('width')])")
        assert any(b for b, _, _ in sides) and all(abs((x + w if b else x) - zero) < 2.1 for b, x, w in sides), (zero, sides)
        assert browser.complaints == []
    finally:
        browser.stop()
