"""Files and batches in OpenAI's shape: each line of a file is a job, its answer a line of another file; nothing is lost, and nobody sees another's."""
from __future__ import annotations

import asyncio
import json
import time

import pytest

from support.client import Caller, fetch
from support.configs import one_provider
from support.fake_upstream import context_length, ok, words
from support.gateway import APP_KEY, wait_until

pytestmark = pytest.mark.databases

OTHER_KEY = "sk-ballast-other-0123456789abcdef01234567"
KEYS = [{"name": "app", "value": APP_KEY, "scopes": ["call"]}, {"name": "other", "value": OTHER_KEY, "scopes": ["call", "read"]}]
OVER = ("completed", "failed", "expired", "cancelled")


def line(n: int, url: str = "/v1/chat/completions", **more) -> dict:
    return {"custom_id": f"request-{n}", "method": "POST", "url": url, "body": {"model": "chat", "messages": [{"role": "user", "content": f"Number {n}."}]}, **more}


def jsonl(lines) -> bytes:
    return "".join((l if isinstance(l, str) else json.dumps(l)) + "\n" for l in lines).encode()


def form(content: bytes, purpose: str = "batch", name: str = "in.jsonl", **fields: str) -> tuple[bytes, str]:
    boundary = "an-e2e-boundary-0123456789"
    parts = [f'--{boundary}\r\nContent-Disposition: form-data; name="{k}"\r\n\r\n{v}\r\n'.encode() for k, v in {"purpose": purpose, **fields}.items()]
    parts.append(f'--{boundary}\r\nContent-Disposition: form-data; name="file"; filename="{name}"\r\nContent-Type: application/jsonl\r\n\r\n'.encode() + content + b"\r\n")
    return b"".join(parts) + f"--{boundary}--\r\n".encode(), f"multipart/form-data; boundary={boundary}"


def upload(caller: Caller, content: bytes, **more):
    body, kind = form(content, **more)
    return asyncio.run(fetch(caller.port, "POST", "/v1/files", headers=caller.headers({"content-type": kind}), body=body))


def uploaded(caller: Caller, lines) -> str:
    reply = upload(caller, lines if isinstance(lines, bytes) else jsonl(lines))
    assert reply.status == 200, reply.body
    return reply.json()["id"]


def create(caller: Caller, file: str, window: str = "24h", **more):
    return caller.post("/v1/batches", {"input_file_id": file, "endpoint": "/v1/chat/completions", "completion_window": window, **more})


def created(caller: Caller, lines, window: str = "24h", **more) -> str:
    reply = create(caller, uploaded(caller, lines), window, **more)
    assert reply.status == 200 and reply.json()["object"] == "batch" and reply.json()["status"] == "validating", reply.body
    return reply.json()["id"]


def over(caller: Caller, id: str, seconds: float = 90.0) -> dict:
    end = time.monotonic() + seconds
    while (found := caller.get(f"/v1/batches/{id}").json())["status"] not in OVER:
        assert time.monotonic() < end, found
        time.sleep(0.05)
    return found


def lines_of(caller: Caller, file: str | None) -> list[dict]:
    if not file:
        return []
    reply = caller.get(f"/v1/files/{file}/content")
    assert reply.status == 200 and reply.complete, reply
    return [json.loads(l) for l in reply.body.splitlines()]


@pytest.fixture
def house(upstream, gateway):
    return lambda **sections: gateway({**one_provider(upstream), "keys": KEYS, **sections})


def test_a_file_is_kept_as_it_was_sent_and_is_nobody_elses(house):
    g = house()
    content = jsonl(line(n) for n in range(5_000))                # several pieces
    made = upload(g.app, content, name="mine.jsonl").json()
    assert made | {"id": "", "created_at": 0} == {"id": "", "object": "file", "bytes": len(content), "created_at": 0, "expires_at": None, "filename": "mine.jsonl",
                                                  "purpose": "batch", "status": "processed", "status_details": None}
    second = uploaded(g.app, b"")
    assert g.app.get(f"/v1/files/{made['id']}").json() == made
    assert g.app.get(f"/v1/files/{made['id']}/content").body == content and g.app.get(f"/v1/files/{second}/content").body == b""
    listed = g.app.get("/v1/files?limit=1").json()
    assert [f["id"] for f in listed["data"]] == [second] and listed["has_more"] and listed["last_id"] == second
    assert [f["id"] for f in g.app.get(f"/v1/files?after={second}&purpose=batch").json()["data"]] == [made["id"]]
    stranger = Caller(g.port, OTHER_KEY)
    for path in (f"/v1/files/{made['id']}", f"/v1/files/{made['id']}/content"):
        assert stranger.get(path).status == 404 and g.admin.get(path).status == 404
    assert stranger.get("/v1/files").json()["data"] == []
    assert create(stranger, made["id"]).json()["error"]["param"] == "input_file_id"
    gone = g.app.delete(f"/v1/files/{made['id']}")
    assert gone.json() == {"id": made["id"], "object": "file", "deleted": True}
    assert g.app.get(f"/v1/files/{made['id']}").status == 404


def test_what_is_wrong_with_an_upload_is_named(house):
    g = house(batches={"file": "1MB"})
    assert upload(g.app, b"{}", purpose="assistants").json()["error"]["param"] == "purpose"
    assert upload(g.app, b"{}", colour="red").json()["error"]["param"] == "colour"
    assert upload(g.app, b"{}", **{"expires_after[anchor]": "created_at", "expires_after[seconds]": "5"}).json()["error"]["param"] == "expires_after[seconds]"
    big = upload(g.app, b"x" * (1 << 20) + b"y")
    assert big.status == 413 and "1 MB" in big.json()["error"]["message"]
    assert g.app.post("/v1/files", {"purpose": "batch"}).json()["error"]["param"] == "content-type"


def test_a_file_may_be_larger_than_other_bodies(house):
    g = house(limits_http={"body": "64KB"})
    assert upload(g.app, b"x" * 200_000).status == 200
    assert g.app.post("/v1/batches", {"input_file_id": "x" * 100_000}).status == 413


def test_a_batch_answers_every_line(upstream, house):
    upstream.script("model", ok(words(7)))
    g = house()
    id = created(g.app, [line(n) for n in range(120)], metadata={"night": "first"})
    done = over(g.app, id)
    assert done["status"] == "completed" and done["request_counts"] == {"total": 120, "completed": 120, "failed": 0}, done
    assert done["metadata"] == {"night": "first"} and done["errors"] is None and done["error_file_id"] is None
    assert done["created_at"] <= done["in_progress_at"] <= done["finalizing_at"] <= done["completed_at"] and done["expires_at"] == done["created_at"] + 86400
    out = lines_of(g.app, done["output_file_id"])
    assert [l["custom_id"] for l in out] == [f"request-{n}" for n in range(120)]
    for l in out:
        assert l["id"].startswith("batch_req_") and l["error"] is None and l["response"]["status_code"] == 200 and l["response"]["request_id"]
        assert l["response"]["body"]["choices"][0]["message"]["content"] == "".join(words(7))
    asked = [r.body["messages"][0]["content"] for r in upstream.seen()]
    assert sorted(asked) == sorted(f"Number {n}." for n in range(120))
    usage = done["usage"]
    assert usage["output_tokens"] == 120 * 7 and usage["total_tokens"] == usage["input_tokens"] + usage["output_tokens"]
    assert g.usage()["calls"] == 120 and g.usage_by("key")["config:app"]["calls"] == 120
    file = g.app.get(f"/v1/files/{done['output_file_id']}").json()
    assert file["purpose"] == "batch_output" and file["filename"] == f"{id}_output.jsonl"
    jobs = g.app.get(f"/api/jobs?tag={id}&limit=1000").json()["jobs"]
    assert len(jobs) == 120 and {(j["queue"], j["origin"], j["batch"], j["priority"]) for j in jobs} == {("batch", "batch", id, 9)}


def test_lines_that_fail_are_in_the_error_file(upstream, house):
    upstream.script("model", ok(words(3)))
    upstream.script("long", context_length())
    g = house(**{"models": {**one_provider(upstream)["models"], "up/long": {"price": {"input": "$1", "output": "$2"}}}})
    bad = line(1)
    bad["body"]["model"] = "up/long"
    unknown = line(2)
    unknown["body"]["model"] = "nobody/knows"
    done = over(g.app, created(g.app, [line(0), bad, unknown]))
    assert done["status"] == "completed" and done["request_counts"] == {"total": 3, "completed": 1, "failed": 2}
    assert [l["custom_id"] for l in lines_of(g.app, done["output_file_id"])] == ["request-0"]
    long, lost = lines_of(g.app, done["error_file_id"])
    assert long["custom_id"] == "request-1" and long["response"]["status_code"] == 400 and long["error"] is None
    assert long["response"]["body"]["error"]["code"] == "context_length_exceeded"
    assert lost["custom_id"] == "request-2" and lost["response"]["status_code"] == 404


@pytest.mark.parametrize("lines, mistakes", [
    ([line(0), "{not json"], [("invalid_json_line", None, 2)]),
    ([line(0), "", "[]"], [("invalid_json_line", None, 3)]),
    ([line(0), line(1), line(0)], [("duplicate_custom_id", "custom_id", 3)]),
    ([line(0, url="/v1/embeddings")], [("url_mismatch", "url", 1)]),
    ([line(0, method="GET"), line(1, custom_id=7)], [("invalid_method", "method", 1), ("missing_required_parameter", "custom_id", 2)]),
    ([line(0, body={"messages": []})], [("missing_required_parameter", "body.model", 1)]),
    ([line(n) for n in range(11)], [("too_many_tasks", None, 11)]),
    ([], [("empty_file", None, None)])])
def test_a_file_that_cannot_be_run_fails_as_a_whole_and_says_where(upstream, house, lines, mistakes):
    g = house(batches={"requests": 10})
    failed = over(g.app, created(g.app, lines))
    assert failed["status"] == "failed" and failed["failed_at"] and failed["in_progress_at"] is None and failed["output_file_id"] is None
    assert failed["errors"]["object"] == "list" and [(e["code"], e["param"], e["line"]) for e in failed["errors"]["data"]] == mistakes
    assert failed["request_counts"] == {"total": 0, "completed": 0, "failed": 0} and all(e["message"] for e in failed["errors"]["data"])
    assert not upstream.seen()


def test_what_is_wrong_with_a_batch_is_named(house):
    g = house()
    file = uploaded(g.app, [line(0)])
    for body, field in [({"endpoint": "/v1/completions"}, "endpoint"), ({"completion_window": "soon"}, "completion_window"), ({"input_file_id": "file-1"}, "input_file_id"),
                        ({"metadata": {"a": 1}}, "metadata"), ({"colour": "red"}, "colour")]:
        refused = g.app.post("/v1/batches", {"input_file_id": file, "endpoint": "/v1/chat/completions", "completion_window": "24h", **body})
        assert refused.status == 400 and refused.json()["error"]["param"] == field, refused.body
    assert g.app.get("/v1/batches").json()["data"] == [] and g.app.get("/v1/batches/batch_x").status == 404


def test_batches_are_listed_page_by_page_and_are_nobody_elses(upstream, house):
    g = house()
    ids = [created(g.app, [line(n)]) for n in range(5)]
    for id in ids:
        over(g.app, id)
    seen, after = [], ""
    while True:
        page = g.app.get(f"/v1/batches?limit=2{after}").json()
        seen += [b["id"] for b in page["data"]]
        if not page["has_more"]:
            break
        after = f"&after={page['last_id']}"
    assert seen == ids[::-1]
    stranger = Caller(g.port, OTHER_KEY)
    assert stranger.get("/v1/batches").json()["data"] == [] and stranger.get(f"/v1/batches/{ids[0]}").status == 404
    assert stranger.post(f"/v1/batches/{ids[0]}/cancel", {}).status == 404
    assert g.app.post(f"/v1/batches/{ids[0]}/cancel", {}).status == 409


def test_a_cancelled_batch_keeps_what_was_answered(upstream, house):
    upstream.script("model", ok(words(3), delay=0.2))
    g = house(batches={"concurrency": 2})
    id = created(g.app, [line(n) for n in range(60)])
    wait_until(lambda: g.app.get(f"/v1/batches/{id}").json()["request_counts"]["completed"] >= 3)
    cancelling = g.app.post(f"/v1/batches/{id}/cancel", {}).json()
    assert cancelling["status"] in ("cancelling", "cancelled") and cancelling["cancelling_at"]
    done = over(g.app, id)
    counts = done["request_counts"]
    assert done["status"] == "cancelled" and done["cancelled_at"] and counts["total"] == 60 == counts["completed"] + counts["failed"], done
    assert 3 <= counts["completed"] < 60 and len(lines_of(g.app, done["output_file_id"])) == counts["completed"]
    errors = lines_of(g.app, done["error_file_id"])
    assert len(errors) == counts["failed"] and {(l["response"] is None, l["error"]["code"]) for l in errors} == {(True, "batch_cancelled")}
    asked = len(upstream.seen())
    assert asked <= counts["completed"] + 2


def test_what_is_not_answered_in_its_window_expires(upstream, house):
    upstream.script("model", ok(words(3), delay=0.3))
    g = house(batches={"concurrency": 2})
    done = over(g.app, created(g.app, [line(n) for n in range(200)], window="4s"))
    counts = done["request_counts"]
    assert done["status"] == "expired" and done["expired_at"] >= done["expires_at"] - 1 and counts["total"] == 200 == counts["completed"] + counts["failed"], done
    assert counts["failed"] > 0 and len(lines_of(g.app, done["output_file_id"])) == counts["completed"]
    assert {l["error"]["code"] for l in lines_of(g.app, done["error_file_id"])} == {"batch_expired"}


def test_a_batch_survives_kill_9_at_any_moment(upstream, house):
    """Killed again and again while it is read, submitted, run and written: each line once in the files, and few calls more than lines."""
    upstream.script("model", ok(words(2), delay=0.01))
    g = house()
    file = uploaded(g.app, [line(n) for n in range(2_000)])
    id = create(g.app, file).json()["id"]
    for pause in (0.03, 0.1, 0.2, 0.4, 0.8, 1.2):
        time.sleep(pause)                    # moments to be killed at, not times to wait for
        g.kill()
        g.start()
    done = over(g.app, id, 150)
    assert done["status"] == "completed" and done["request_counts"] == {"total": 2_000, "completed": 2_000, "failed": 0}, done
    out = lines_of(g.app, done["output_file_id"])
    assert [l["custom_id"] for l in out] == [f"request-{n}" for n in range(2_000)]
    asked = {r.body["messages"][0]["content"] for r in upstream.seen()}
    assert len(asked) == 2_000 and len(upstream.seen()) <= 2_000 + 6 * 64, "only what was in flight is asked again"
    assert len(g.app.get(f"/api/jobs?tag={id}&limit=1000").json()["jobs"]) <= 1_000


def test_a_batch_leaves_the_others_their_places(upstream, house):
    """Its jobs are many and slow; a job of another queue does not stand behind them."""
    upstream.script("model", ok(words(2), delay=0.5))
    g = house(batches={"concurrency": 4}, work={"concurrency": 8})
    id = created(g.app, [line(n) for n in range(200)])
    wait_until(lambda: g.app.get(f"/v1/batches/{id}").json()["request_counts"]["completed"] >= 1)
    job = g.app.post("/api/jobs?wait=60s", {"call": {"body": line(0)["body"]}}).json()
    assert job["state"] == "done"
    assert g.app.get(f"/v1/batches/{id}").json()["request_counts"]["completed"] < 100
    g.app.post(f"/v1/batches/{id}/cancel", {})
    over(g.app, id)
