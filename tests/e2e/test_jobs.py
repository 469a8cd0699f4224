"""Jobs over HTTP: submitted, run here or by an external worker, waited for, followed, cancelled, driven again; and nothing of it lost by kill -9."""
from __future__ import annotations

import concurrent.futures
import json
import threading
import time

import pytest

from support.client import Caller

WORK_KEY = "sk-ballast-work-0123456789abcdef0123456789"
OTHER_KEY = "sk-ballast-other-0123456789abcdef012345678"
pytestmark = pytest.mark.databases


@pytest.fixture
def house(gateway):
    def make(**sections):
        g = gateway({"providers": {"sim": {"kind": "simulator"}}, **sections}, start=False)
        g.config["keys"] += [{"name": "worker", "value": WORK_KEY, "scopes": ["work"]}, {"name": "other", "value": OTHER_KEY, "scopes": ["call"]}]
        g.write_config()
        return g.start()
    return make


def post(caller: Caller, path: str, body=None, **headers):
    return caller.post(path, {} if body is None else body, headers={k.replace("_", "-"): v for k, v in headers.items()})


def submit(g, **job) -> str:
    made = post(g.app, "/api/jobs", {"queue": "images", **job})
    assert made.status == 202, made.body
    return made.json()["id"]


def worker(g) -> Caller:
    return Caller(g.port, WORK_KEY)


def pull(g, most=1, wait="10s", lease="30s", queue="images", name="w1") -> list[dict]:
    got = post(worker(g), "/api/workers/pull", {"worker": name, "queues": [queue], "max": most, "wait": wait, "lease": lease})
    assert got.status == 200, got.body
    return got.json()["tasks"]


def end(g, how: str, task: dict, **more) -> dict:
    got = post(worker(g), f"/api/workers/{how}", {"tasks": [{"id": task["id"], "fence": task["fence"], **more}]})
    assert got.status == 200, got.body
    return got.json()["tasks"][0]


def job(g, id: str, wait: str = "") -> dict:
    got = g.app.get(f"/api/jobs/{id}" + (f"?wait={wait}" if wait else ""))
    assert got.status == 200, got.body
    return got.json()


def test_a_job_of_this_process_is_done_before_the_answer_when_asked_to_wait(house):
    g = house()
    done = post(g.app, "/api/jobs?wait=30s", {"task": "ballast.noop", "payload": {"a": [1, "ü"]}})
    assert done.status == 200 and done.json()["state"] == "done" and done.json()["output"] == {"a": [1, "ü"]}
    assert done.json()["attempt"] == 1 and job(g, done.json()["id"]) == done.json()


def test_an_external_worker_pulls_tells_of_progress_and_completes(house):
    g = house()
    id = submit(g, task="resize", payload={"w": 10}, tags=["blue"])
    [task] = pull(g)
    assert task["id"] == id and task["payload"] == {"w": 10} and task["attempt"] == 1
    assert job(g, id)["state"] == "running"
    assert end(g, "progress", task, progress={"percent": 50}) == {"state": "running"}
    assert end(g, "complete", task, output={"ok": True}) == {"state": "done"}
    assert job(g, id)["output"] == {"ok": True}
    again = end(g, "complete", task, output={"ok": False})
    assert again["error"]["code"] == "caller_not_found" and job(g, id)["output"] == {"ok": True}


def test_a_worker_that_lies_about_its_fence_changes_nothing(house):
    g = house()
    submit(g, task="resize")
    [task] = pull(g)
    for fence in ("1", "0", str(int(task["fence"]) + 1), "-5"):
        lie = end(g, "complete", {**task, "fence": fence}, output=1)
        assert lie["error"]["code"] == "caller_conflict" and lie["error"]["field"] == "fence"
    bad = post(worker(g), "/api/workers/complete", {"tasks": [{"id": task["id"], "fence": "many"}]})
    assert bad.status == 400 and "fence" in bad.json()["detail"]
    assert end(g, "complete", task, output=2) == {"state": "done"}


def test_a_lease_without_heartbeats_runs_out_and_the_old_worker_is_refused(house):
    g = house()
    id = submit(g, task="resize", backoff={"first": 0})
    [first] = pull(g, lease="0.5s")
    [second] = pull(g, name="w2", wait="20s")
    assert second["id"] == id and second["attempt"] == 2 and int(second["fence"]) > int(first["fence"])
    assert end(g, "complete", first, output="late")["error"]["code"] == "caller_conflict"
    kept = post(worker(g), "/api/workers/heartbeat", {"tasks": [{"id": id, "fence": first["fence"]}, {"id": id, "fence": second["fence"]}]}).json()["tasks"]
    assert [k["lease"] for k in kept] == ["lost", "kept"]
    assert end(g, "complete", second, output="mine") == {"state": "done"} and job(g, id)["output"] == "mine"
    attempts = g.app.get(f"/api/jobs/{id}/attempts").json()["attempts"]
    assert [(a["attempt"], a["worker"]) for a in attempts] == [(1, "w1")]


def test_failures_end_in_one_dead_letter_which_is_driven_again_once(house):
    g = house()
    id = submit(g, task="resize", attempts=2, backoff={"first": 0}, payload={"w": -1})
    for n in (1, 2):
        [task] = pull(g)
        assert task["attempt"] == n
        end(g, "fail", task, error={"message": "negative width"})
    dead = job(g, id)
    assert dead["state"] == "dead" and dead["error"]["message"] == "negative width"
    [group] = g.admin.get("/api/dead").json()["groups"]
    assert (group["queue"], group["name"], group["jobs"], group["example"]) == ("images", "resize", 1, id)
    again = post(g.app, f"/api/jobs/{id}/redrive", {"payload": {"w": 1}})
    twice = post(g.app, f"/api/jobs/{id}/redrive", {"payload": {"w": 1}})
    assert again.status == 202 and twice.status == 200 and again.json()["id"] == twice.json()["id"]
    [task] = pull(g)
    assert task["payload"] == {"w": 1} and task["id"] == again.json()["id"]
    end(g, "complete", task)
    new = job(g, task["id"])
    assert (new["origin"], new["parent"], new["generation"], new["state"]) == ("redrive", id, 2, "done") and job(g, id)["state"] == "dead"


def test_a_worker_may_say_that_no_retry_helps_and_when_to_try_again(house):
    g = house()
    id = submit(g, task="resize")
    [task] = pull(g)
    assert end(g, "fail", task, error="busy", delay="1h") == {"state": "queued"}
    assert job(g, id)["due"] > job(g, id)["created"] and pull(g, wait="0s") == []
    other = submit(g, task="resize")
    [task] = pull(g)
    assert end(g, "release", task) == {"state": "queued"} and job(g, other)["attempt"] == 0
    [task] = pull(g)
    assert end(g, "fail", task, error="no such image", retry=False) == {"state": "dead"}


def test_the_same_key_is_one_job_under_a_race_and_over_a_restart(house):
    g = house()
    with concurrent.futures.ThreadPoolExecutor(16) as pool:
        asked = list(pool.map(lambda _: post(g.app, "/api/jobs", {"task": "resize", "queue": "images", "payload": 7}, idempotency_key="order-7"), range(32)))
    ids = {a.json()["id"] for a in asked}
    assert len(ids) == 1 and sorted(a.status for a in asked) == [200] * 31 + [202]
    g.kill()
    g.start()
    assert post(g.app, "/api/jobs", {"task": "resize", "queue": "images", "payload": 7}, idempotency_key="order-7").json()["id"] in ids
    other = post(g.app, "/api/jobs", {"task": "resize", "queue": "images", "payload": 8}, idempotency_key="order-7")
    assert other.status == 409 and other.json()["field"] == "idempotency-key"
    stranger = post(Caller(g.port, OTHER_KEY), "/api/jobs", {"task": "resize", "queue": "images", "payload": 8}, idempotency_key="order-7")
    assert stranger.status == 202 and len(pull(g, most=10)) == 2


def test_a_unique_job_is_one_while_it_lives(house):
    g = house()
    first = submit(g, task="sync", unique={"key": "tenant-1"})
    assert post(g.app, "/api/jobs", {"task": "sync", "queue": "images", "unique": {"key": "tenant-1"}}).json() == {
        "id": first, "state": "queued", "existing": True, "url": f"/api/jobs/{first}"}
    [task] = pull(g)
    end(g, "complete", task)
    assert submit(g, task="sync", unique={"key": "tenant-1"}) != first


def test_bulk_accepts_each_alone_and_a_flood_of_one_tenant_starves_nobody(house):
    g = house()
    made = post(g.app, "/api/jobs/bulk", {"jobs": [{"task": "t", "queue": "images", "tenant": "loud", "payload": i} for i in range(500)]
                                          + [{"task": "t", "queue": "images", "deadline": "2020-01-01"}]})
    assert made.status == 202 and made.json()["accepted"] == 500 and made.json()["jobs"][500]["error"]["field"] == "deadline"
    quiet = submit(g, task="t", tenant="quiet", payload="quiet")
    tasks = pull(g, most=4)
    assert quiet in [t["id"] for t in tasks] and len(tasks) == 4


def test_priorities_delays_and_pauses(house):
    g = house()
    submit(g, task="t", payload="later", delay="1h")
    for payload, priority in (("last", 9), ("first", 0), ("middle", 5)):
        submit(g, task="t", payload=payload, priority=priority)
    assert g.admin.put("/api/queues/images", {"paused": True}).json()["paused"]
    assert pull(g, wait="0s") == []
    g.kill()
    g.start()
    assert pull(g, wait="0s") == []
    assert not g.admin.put("/api/queues/images", {"paused": False, "concurrency": 2}).json()["paused"]
    tasks = pull(g, most=10)
    assert [t["payload"] for t in tasks] == ["first", "middle"] and pull(g, wait="0s") == []
    end(g, "complete", tasks[0])
    assert [t["payload"] for t in pull(g, most=10)] == ["last"]
    [queue] = [q for q in g.admin.get("/api/queues").json()["queues"] if q["queue"] == "images"]
    assert (queue["running"], queue["delayed"], queue["ready"]) == (2, 1, 0)


def test_exactly_one_of_cancel_and_complete_wins(house):
    g = house()
    won = []
    for n in range(20):
        id = submit(g, task="t", payload=n)
        [task] = pull(g)
        with concurrent.futures.ThreadPoolExecutor(2) as pool:
            cancelled = pool.submit(post, g.app, f"/api/jobs/{id}/cancel")
            completed = pool.submit(end, g, "complete", task, output=n)
        outcome = (cancelled.result().status, completed.result().get("state"), job(g, id)["state"])
        assert outcome in [(200, None, "cancelled"), (409, "done", "done")]
        won.append(outcome)
    assert len(won) == 20


def test_a_job_is_anothers_to_nobody(house):
    g = house()
    id = submit(g, task="t")
    stranger = Caller(g.port, OTHER_KEY)
    for path in (f"/api/jobs/{id}", f"/api/jobs/{id}/attempts", f"/api/jobs/{id}/events"):
        assert stranger.get(path).status == 404
    assert post(stranger, f"/api/jobs/{id}/cancel").status == 404 and post(stranger, f"/api/jobs/{id}/redrive").status == 404
    assert stranger.get("/api/jobs").json()["jobs"] == [] and g.admin.get(f"/api/jobs/{id}").status == 200
    assert post(g.app, "/api/workers/pull", {"worker": "w"}).status == 403 and worker(g).get("/api/jobs").status == 403
    assert post(g.app, "/api/dead/redrive").status == 403 and g.app.put("/api/queues/images", {"paused": True}).status == 403


def test_what_is_wrong_with_a_submission_is_named(house):
    g = house()
    for body, field, words in [({"tsk": "t"}, "tsk", "did you mean task"), ({}, "", "exactly one of"), ({"task": "t", "flow": "f"}, "", "exactly one of"),
                               ({"task": ""}, "name", "empty"), ({"task": "t", "priority": 10}, "priority", "9"), ({"task": "t", "delay": "soon"}, "delay", "duration"),
                               ({"task": "t", "tags": ["x" * 129]}, "tags", "128"), ({"task": "t", "unique": {"kei": 1}}, "unique.kei", "key"),
                               ({"task": "t", "attempts": 0}, "attempts", "1"), ({"task": "t", "queue": "a\0b"}, "queue", "NUL")]:
        refused = post(g.app, "/api/jobs", body)
        assert refused.status == 400 and refused.json().get("field", "") == field and words in refused.json()["detail"], (body, refused.body)
    assert g.app.get("/api/jobs").json()["jobs"] == []


def test_a_follower_that_was_cut_off_goes_on_where_it_was(house):
    g = house()
    id = submit(g, task="t")
    [task] = pull(g)
    for n in range(3):
        end(g, "progress", task, progress={"step": n})
    seen = []
    first = threading.Thread(target=lambda: seen.append(g.app.get(f"/api/jobs/{id}/events", headers={"last-event-id": "1"})))
    first.start()
    end(g, "progress", task, progress={"step": 3})
    end(g, "complete", task, output="there")
    first.join()
    events = seen[0].events()
    assert [json.loads(d)["step"] for e, d in events if e == "progress"] == [1, 2, 3]
    last = json.loads(events[-1][1])
    assert events[-1][0] == "state" and last["state"] == "done" and last["output"] == "there"


def test_nothing_acknowledged_is_lost_by_kill_9_and_a_lease_outlives_the_server(house):
    g = house()
    ids = [submit(g, task="t", payload=n) for n in range(20)]
    held = pull(g, most=5)
    acknowledged = {t["id"] for t in held[:2] if end(g, "complete", t, output="before") == {"state": "done"}}
    g.kill()
    g.start()
    assert all(job(g, id)["output"] == "before" for id in acknowledged)
    assert end(g, "complete", held[2], output="after") == {"state": "done"}
    got = pull(g, most=100)
    assert {t["id"] for t in got} == set(ids) - {t["id"] for t in held} and all(t["attempt"] == 1 for t in got)
    assert all(end(g, "complete", t) == {"state": "done"} for t in got + held[3:])
    assert all(job(g, id)["state"] == "done" for id in ids)


def test_a_shutdown_ends_waits_and_loses_nothing(house):
    g = house()
    id = submit(g, task="t")
    with concurrent.futures.ThreadPoolExecutor(3) as pool:
        waiting = [pool.submit(g.app.get, f"/api/jobs/{id}?wait=60s"), pool.submit(g.app.get, f"/api/jobs/{id}/events"),
                   pool.submit(post, worker(g), "/api/workers/pull", {"worker": "w", "queues": ["none"], "wait": "60s"})]
        g.app.get(f"/api/jobs/{id}?wait=1s")          # by now they wait
        begun = time.monotonic()
        assert g.terminate() == 0 and time.monotonic() - begun < 25
        assert [w.result().status for w in waiting] == [200, 200, 200]
    g.start()
    assert [t["id"] for t in pull(g)] == [id]


def test_the_command_line_sees_and_moves_jobs(house):
    g = house()
    flags = ("--json", "--config", str(g.file))
    made = json.loads(g.command("jobs", "submit", "ballast.noop", '{"x":1}', "--wait", "30s", *flags).stdout)
    assert made["state"] == "done" and made["output"] == {"x": 1}
    id = json.loads(g.command("jobs", "submit", "t", "--queue", "images", *flags).stdout)["id"]
    assert json.loads(g.command("queues", "pause", "images", *flags).stdout)["paused"]
    listed = json.loads(g.command("jobs", "list", "--queue", "images", *flags).stdout)["jobs"]
    assert [j["id"] for j in listed] == [id]
    assert json.loads(g.command("jobs", "cancel", id, *flags).stdout)["jobs"] == [{"id": id, "state": "cancelled"}]
    trail = g.command("audit", "show", id, "--json", "--config", str(g.file)).stdout
    assert "job.cancelled" in trail
    assert g.command("jobs", "show", "job_nonsense", *flags, check=False).returncode == 2
    g.terminate()
    assert json.loads(g.command("jobs", "show", id, *flags).stdout)["state"] == "cancelled"
    refused = g.command("jobs", "submit", "t", *flags, check=False)
    assert refused.returncode == 1 and "ballast serve" in refused.stderr
