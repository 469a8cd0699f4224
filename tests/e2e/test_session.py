"""Signing in to the dashboard: what a session may do, and that a key that only reads changes nothing, whatever is tried."""
from __future__ import annotations

import json
import re
import subprocess

import pytest

from support.configs import one_provider
from support.gateway import ADMIN_KEY, binary
from support.page import Page

READ_KEY = "sk-ballast-read-0123456789abcdef0123456789"
HOSTILE = '<script>window.__pwned=1</script>"\'\\\u202e'


def config(upstream, **more):
    keys = [{"name": "app", "value": "sk-ballast-e2e-0123456789abcdef0123456789", "scopes": ["call"]}, {"name": "eye", "value": READ_KEY, "scopes": ["read", "usage"]}]
    return one_provider(upstream, keys=keys, **more)


@pytest.mark.databases
def test_a_session_from_beginning_to_end(upstream, gateway):
    g = gateway(config(upstream))
    page = Page(g.port, ADMIN_KEY)
    cookie = page.signed_in.headers["set-cookie"]
    assert re.fullmatch(r"ballast_session=[\w-]{43}; Path=/; HttpOnly; SameSite=Strict; Max-Age=\d+", cookie), cookie
    assert page.get("/api/session").json()["key"]["name"] == "admin"
    made = page.ask("POST", "/api/keys", {"name": "made by a page"})
    assert made.status == 201, made.body
    talked = page.ask("POST", "/v1/chat/completions", {"model": "chat", "messages": [{"role": "user", "content": "hello"}]})
    assert talked.status == 200 and g.decision(talked)["key_id"] == "admin"
    g.terminate()
    g.start()
    assert page.get("/api/keys").status == 200, "a session outlives a restart"
    assert page.ask("DELETE", "/api/session").status == 204
    assert page.get("/api/keys").status == 401
    told = [e for e in g.admin.get("/api/audit").json()["entries"] if e["action"].startswith("session.")]
    assert [e["action"] for e in told] == ["session.closed", "session.opened"] and told[0]["actor"] == "key:admin"


def test_what_is_not_the_page_changes_nothing(upstream, gateway):
    g = gateway(config(upstream))
    page = Page(g.port, ADMIN_KEY)
    body = {"name": "not mine"}
    assert page.ask("POST", "/api/keys", body, csrf=False).json()["field"] == "x-ballast-csrf"
    assert page.ask("POST", "/api/keys", body, headers={"sec-fetch-site": "cross-site"}).json()["field"] == "sec-fetch-site"
    assert page.ask("POST", "/api/keys", body, headers={"x-ballast-csrf": "x" * 43}).status == 403
    assert Page(g.port).ask("POST", "/api/session", {"key": ADMIN_KEY}, headers={"content-type": "text/plain"}).status == 400
    assert len(page.get("/api/keys").json()["keys"]) == 3, "those of the configuration"


def placed(path: str) -> str:
    return re.sub(r"\{\w+\}", "job_0000000000001", path)


def operations(document, method):
    return [path for path, methods in document["paths"].items() if method in methods and path.startswith(("/api/", "/v1"))]


def test_a_key_that_reads_changes_nothing(upstream, gateway):
    g = gateway(config(upstream))
    page = Page(g.port, READ_KEY)
    document = page.get("/openapi.json").json()
    tried = 0
    for method in ("post", "put", "patch", "delete"):
        for path in operations(document, method):
            if path in ("/api/session", "/v1/messages/count_tokens"):   # counting changes nothing and calls nobody
                continue
            for csrf in (True, False):
                answer = page.ask(method.upper(), placed(path), {}, csrf=csrf)
                # The Gemini routes are none of the page's: no cookie counts there.
                assert answer.status in (401, 403), f"{method} {path}: {answer.status} {answer.body[:200]}"
                tried += 1
    assert tried > 60
    assert all(page.get(path).status == 200 for path in ("/api/breakers", "/api/budgets", "/api/queues", "/api/config", "/api/audit"))


def test_without_a_key_nothing_is_shown(upstream, gateway):
    g = gateway(config(upstream))
    stranger = Page(g.port)
    for path in operations(stranger.get("/openapi.json").json(), "get"):
        answer = stranger.get(placed(path))
        assert answer.status == 401, f"{path}: {answer.status} {answer.body[:200]}"
    for _ in range(20):
        assert stranger.sign_in("sk-a-guess").status == 401
    assert stranger.sign_in("sk-a-guess").status == 429, "guessing is limited"
    assert stranger.sign_in(ADMIN_KEY).status == 200, "and locks nobody out whose key no guessing finds"


def test_hostile_strings_stay_strings(upstream, gateway):
    g = gateway(config(upstream))
    body = {"model": "chat", "messages": [{"role": "user", "content": "x"}], "user": HOSTILE}
    assert g.app.post("/v1/chat/completions", body, headers={"x-ballast-feature": "<img src=x onerror=alert(1)>"}).status == 200
    g.settled()
    page = Page(g.port, READ_KEY)
    calls = page.get("/api/calls")
    assert calls.headers["content-type"] == "application/json"
    assert calls.json()["calls"][0]["feature"] == "<img src=x onerror=alert(1)>"
    assert calls.json()["calls"][0]["user"] == HOSTILE


def test_answers_are_as_the_document_says(upstream, gateway, tmp_path):
    """Held by `ballast schema validate` to the schemas of /openapi.json, closed: a member that is not described is a fault."""
    g = gateway(config(upstream, budgets=[{"name": "all", "scope": "system", "amount": "$5", "per": "day"}]))
    assert g.app.chat("chat").succeeded()
    job = g.admin.post("/api/jobs", {"call": {"body": {"model": "chat", "messages": [{"role": "user", "content": "x"}]}}}).json()["id"]
    assert g.admin.put("/api/schedules/nightly", {"cron": "@daily", "job": {"task": "t"}}).status in (200, 201)
    g.settled()
    page = Page(g.port, ADMIN_KEY)
    document = page.get("/openapi.json").json()
    schemas = document["components"]["schemas"]
    for schema in schemas.values():
        close(schema)
    checked = 0
    for path in operations(document, "get"):
        content = document["paths"][path]["get"]["responses"]["200"].get("content")
        if content is None or ("{" in path and "/jobs/" not in path):
            continue
        answer = page.get(path.replace("{id}", job))
        if answer.status == 404 and "{" in path:
            continue                     # a run's: this job is none
        assert answer.status == 200, f"{path}: {answer.body[:300]}"
        (tmp_path / "schema.json").write_text(json.dumps({**content["application/json"]["schema"], "components": {"schemas": schemas}}))
        (tmp_path / "answer.json").write_bytes(answer.body)
        judged = subprocess.run([binary(), "schema", "validate", str(tmp_path / "schema.json"), str(tmp_path / "answer.json")], capture_output=True, text=True, timeout=60)
        assert judged.returncode == 0, f"{path}: {judged.stdout}{judged.stderr}\n{answer.body[:500]}"
        checked += 1
    assert checked >= 17, checked


def close(schema) -> None:
    if isinstance(schema, list):
        for one in schema:
            close(one)
    if not isinstance(schema, dict):
        return
    for member in list(schema.values()):
        close(member)
    if isinstance(schema.get("properties"), dict):
        schema.setdefault("additionalProperties", False)
