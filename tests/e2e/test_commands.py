"""What `check`, `usage` and `keys` say, and what they exit with; headers of a provider; refusals before any route."""
from __future__ import annotations

import asyncio
import json

import pytest

from support.client import Caller, fetch
from support.configs import one_provider
from support.gateway import APP_KEY

BOTH = pytest.mark.databases
BROKEN = "threads: -2\nroutes:\n  chat:\n    targts: [sim/sim-small]\nlimits:\n  - {scope: planet, requests: 5/m}\n"


def test_check_tells_each_mistake_with_its_own_place(upstream, gateway):
    g = gateway(one_provider(upstream), start=False)
    g.file.write_text(BROKEN)
    done = g.command("check", "--json", "--config", str(g.file), check=False)
    assert done.returncode == 3
    told = json.loads(done.stdout)
    places = [(m["line"], m["field"]) for m in told["mistakes"]]
    assert not told["ok"] and (1, "threads") in places and (4, "routes.chat.targts") in places and (6, "limits[0].scope") in places
    assert all(set(m) == {"file", "line", "column", "field", "message"} and m["file"] == str(g.file) and m["message"] for m in told["mistakes"])
    lines = done.stderr.splitlines()
    assert len(lines) == len(told["mistakes"])
    assert all(line.startswith(f"{m['file']}:{m['line']}:{m['column']}: {m['field']} ") for line, m in zip(lines, told["mistakes"]))


def rows(g, *args):
    return json.loads(g.command("usage", "--json", "--config", str(g.file), *args).stdout)


@BOTH
def test_usage_filters_and_pages_with_and_without_a_server(upstream, gateway):
    g = gateway(one_provider(upstream))
    for user in ("ann", "bob", "bob"):
        assert g.app.chat("chat", headers={"x-ballast-user": user}).succeeded()
    g.settled()
    for running in (True, False):
        if not running:
            g.terminate()
        assert rows(g)["rows"][0]["calls"] == 3
        assert rows(g, "--user", "bob")["rows"][0]["calls"] == 2
        assert rows(g, "--key-id", "config:app", "--model", "model", "--provider", "up", "--route", "chat")["rows"][0]["calls"] == 3
        assert not any(r["calls"] for r in rows(g, "--user", "nobody")["rows"])
        page = rows(g, "--by", "user", "--limit", "1")
        assert [r["user"] for r in page["rows"]] == ["ann"] and page["next_offset"] == 1
        assert [r["user"] for r in rows(g, "--by", "user", "--limit", "1", "--offset", "1")["rows"]] == ["bob"]


@pytest.mark.parametrize("args", [["--by", "planet"], ["--from", "yesterday"], ["--limit", "0"], ["--offset", "x"], ["--nonsense"]], ids=" ".join)
def test_usage_that_is_asked_wrongly_exits_2(upstream, gateway, args):
    g = gateway(one_provider(upstream), start=False)
    done = g.command("usage", "--config", str(g.file), *args, check=False)
    assert done.returncode == 2 and args[0] in done.stderr


@BOTH
def test_keys_are_changed_and_rotated_with_and_without_a_server(upstream, gateway):
    g = gateway(one_provider(upstream))

    def keys(*args):
        return json.loads(g.command("keys", *args, "--json", "--config", str(g.file)).stdout)

    made = keys("create", "--name", "web", "--models", "other")
    assert Caller(g.port, made["secret"]).chat("chat").status == 403
    assert keys("update", made["id"], "--models", "chat,other", "--team", "t")["models"] == ["chat", "other"]
    assert Caller(g.port, made["secret"]).chat("chat").succeeded()
    second = keys("rotate", made["id"], "--overlap", "1h")["secret"]
    for secret in (made["secret"], second):
        assert Caller(g.port, secret).chat("chat").succeeded()
    g.terminate()
    third = keys("rotate", made["id"])["secret"]
    shown = keys("show", made["id"])
    assert shown["team"] == "t" and shown["old_secret_until"] is None
    assert keys("update", made["id"], "--models", "")["models"] == []
    g.start()
    assert Caller(g.port, second).chat("chat").status == 401
    assert Caller(g.port, third).chat("chat").succeeded()
    assert g.command("keys", "update", made["id"], "--scopes", "fly", "--config", str(g.file), check=False).returncode == 2


def test_a_providers_headers_go_out_and_are_never_told(upstream, gateway):
    config = one_provider(upstream)
    config["providers"]["up"]["headers"] = {"OpenAI-Organization": "${BALLAST_TEST_ORG}", "X-Title": "ours"}
    g = gateway(config, env={"BALLAST_TEST_ORG": "org-secret-7391"})
    assert g.app.chat("chat").succeeded()
    seen = upstream.seen()[0].headers
    assert seen["openai-organization"] == "org-secret-7391" and seen["x-title"] == "ours"
    assert seen["authorization"] == "Bearer sk-upstream-secret"
    told = g.command("check", "--config", str(g.file)).stdout + g.log.read_text() + g.admin.get("/api/providers").body.decode()
    assert "org-secret-7391" not in told
    g.config["providers"]["up"]["headers"] = {"Authorization": "Bearer x"}
    g.write_config()
    refused = g.command("check", "--config", str(g.file), check=False)
    assert refused.returncode == 3 and "providers.up.headers.Authorization" in refused.stderr


SHAPES = [("/v1/chat/completions", lambda v: v["error"]["type"]), ("/v1/embeddings", lambda v: v["error"]["code"]),
          ("/v1/messages", lambda v: v["type"] == "error" and v["error"]["type"]),
          ("/v1beta/models/chat:generateContent", lambda v: v["error"]["status"]), ("/api/keys", lambda v: v["title"] and v["detail"])]


@pytest.mark.parametrize("path,named", SHAPES, ids=[s[0] for s in SHAPES])
def test_a_refusal_before_any_route_has_the_apis_shape(upstream, gateway, path, named):
    g = gateway(one_provider(upstream))
    line = f"POST {path} HTTP/1.1\r\n".encode()
    auth = b"host: a\r\nauthorization: Bearer " + APP_KEY.encode() + b"\r\n"
    for status, head in ((413, auth + b"content-length: 104857600\r\n\r\n"), (400, b"\r\n"), (400, auth + b"a b: c\r\n\r\n"),
                         (431, auth + b"x-long: " + b"x" * 40_000 + b"\r\n\r\n")):
        reply = asyncio.run(fetch(g.port, "", "", raw=line + head))
        assert reply.status == status and named(reply.json()), reply.body


ASKS = """
flow: ask
output: "1"
stages:
  anybody: {approve: {show: '1', expires: 1h}}
  editors: {approve: {show: '1', expires: 1h, assignees: ["group:editors"]}}
  anna:    {approve: {show: '1', expires: 1h, assignees: ["user:anna"], signature: true}}
"""


def asked(g, *args: str) -> dict:
    """What `check` says of each stage: (how, what)."""
    done = g.command("check", "--json", "--config", str(g.file), *args, check=False)
    told = json.loads(done.stdout)
    said = {m["field"]: ("error", m["message"]) for m in told.get("mistakes", [])}
    for how in ("warnings", "notes"):
        said |= {line.split(": ")[1].split(" ")[0]: (how[:-1], line) for line in told.get(how, []) if ": stages." in line}
    assert done.returncode == (3 if told.get("mistakes") else 0)
    return {field.removeprefix("stages."): what for field, what in said.items()}


@BOTH
def test_check_says_of_each_approval_whether_anybody_may_grant_it(upstream, gateway):
    g = gateway({**one_provider(upstream), "keys": [{"name": "app", "value": APP_KEY, "scopes": ["call"]}]}, start=False)
    (g.folder / "flows").mkdir()
    (g.folder / "flows" / "ask.yaml").write_text(ASKS)
    admin = g.config.pop("admin_key")
    g.write_config()
    said = asked(g)
    assert set(said) == {"anybody", "editors", "anna"} and all(how == "note" and "keys in the database are not known" in what and "--database" in what for how, what in said.values()), said
    if g.config["database"].startswith("sqlite:"):
        assert asked(g, "--database") == said | {k: (how, what.replace("; --database reads them", "")) for k, (how, what) in said.items()}, "there is none yet"
        assert not (g.folder / "ballast.db").exists(), "and it is not made"

    g.config["admin_key"] = admin
    g.write_config()
    said = asked(g)
    assert set(said) == {"editors", "anna"} and "but an administrator" in said["editors"][1], said
    g.start()
    assert [how for how, _ in asked(g, "--database").values()] == ["error"], "nobody can sign for anna"
    made = g.admin.post("/api/keys", {"name": "anna's", "scopes": ["approve"], "user": "anna"}).json()["id"]
    said = asked(g, "--database")
    assert set(said) == {"editors"} and said["editors"][0] == "warning" and "by an administrator alone" in said["editors"][1], said
    assert g.admin.post("/api/keys", {"name": "ed", "scopes": ["approve"], "team": "editors"}).status == 201
    assert asked(g, "--database") == {} and asked(g, "--database", g.config["database"]) == {}
    assert g.admin.delete(f"/api/keys/{made}").status == 200
    g.terminate()
    assert set(asked(g, "--database")) == {"anna"}, "a server need not run"
