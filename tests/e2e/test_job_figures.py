"""What is counted of jobs: /metrics and the figures an autoscaler reads, moved by what they show."""
from __future__ import annotations

import pytest

from support.client import Caller

WORK_KEY = "sk-ballast-work-0123456789abcdef0123456789"
pytestmark = pytest.mark.databases


@pytest.fixture
def house(gateway):
    g = gateway({"providers": {"sim": {"kind": "simulator"}}}, start=False)
    g.config["keys"] += [{"name": "worker", "value": WORK_KEY, "scopes": ["work"]}]
    g.write_config()
    return g.start()


def submit(g, **job) -> str:
    made = g.app.post("/api/jobs", {"task": "resize", "queue": "images", **job})
    assert made.status == 202, made.body
    return made.json()["id"]


def pull(g, most=1, lease="30s", wait="20s") -> list[dict]:
    return Caller(g.port, WORK_KEY).post("/api/workers/pull", {"worker": "w1", "queues": ["images"], "max": most, "wait": wait, "lease": lease}).json()["tasks"]


def end(g, how: str, task: dict, **more) -> None:
    done = Caller(g.port, WORK_KEY).post(f"/api/workers/{how}", {"tasks": [{"id": task["id"], "fence": task["fence"], **more}]})
    assert "error" not in done.json()["tasks"][0]


def queue(g, query: str = "") -> dict:
    return next(q for q in g.admin.get("/api/queues" + query).json()["queues"] if q["queue"] == "images")


def test_counters_and_gauges_follow_the_jobs(house):
    g = house
    count = lambda name, **labels: g.metric(f"ballast_{name}", queue="images", **labels)  # noqa: E731
    for n in range(4):
        submit(g, payload=n, attempts=1)
    submit(g, delay="1h")
    cancelled = submit(g, delay="1h")
    assert count("jobs_accepted_total", kind="task") == 6 and count("jobs_live", place="ready") == 4 and count("jobs_live", place="delayed") == 2
    assert count("jobs_ended_total", state="dead") == 0 and count("queue_workers_wanted") == 1
    tasks = pull(g, most=3)
    end(g, "complete", tasks[0])
    end(g, "fail", tasks[1], error={"message": "too slow", "code": "provider_timeout"})
    assert g.app.post(f"/api/jobs/{cancelled}/cancel", {}).status == 200
    assert [count("jobs_ended_total", state=s) for s in ("done", "dead", "cancelled")] == [1, 1, 1]
    assert count("jobs_live", place="running") == 1 and count("jobs_live", place="ready") == 1
    assert count("job_attempts_failed_total", code="provider_timeout") == 1 and count("job_leases_total") == 3
    assert count("jobs_dead_letters") == 1 and count("jobs_dead_letters_oldest_seconds") >= 0 and count("jobs_oldest_ready_seconds") > 0
    assert count("job_ready_seconds_count") == 3 and count("job_lease_seconds_count") == 2 and count("job_duration_seconds_count", kind="task") == 3
    assert g.metric("ballast_job_cycle_seconds_count") > 0 and g.metric("ballast_job_cycle_jobs_sum") >= 12 and g.metric("ballast_job_claims_total") >= 1
    assert g.metric("ballast_job_cycles_failed_total") == 0
    g.admin.put("/api/queues/images", {"paused": True})
    assert count("queue_paused") == 1 and count("queue_workers_wanted") == 1


def test_a_lease_that_runs_out_is_counted_as_one(house):
    g = house
    submit(g, backoff={"first": 0})
    pull(g, lease="0.5s")
    assert len(pull(g)) == 1
    assert g.metric("ballast_job_leases_expired_total", queue="images") == 1
    assert g.metric("ballast_job_attempts_failed_total", queue="images", code="internal_unavailable") == 1


def test_an_autoscaler_reads_rates_and_the_workers_it_should_start(house):
    g = house
    fresh = submit(g, payload="first")
    assert queue(g)["per_job_s"] is None and queue(g)["wanted"] == 1 and queue(g)["drain_s"] == 300
    [task] = pull(g)
    assert g.app.get(f"/api/jobs/{fresh}?wait=1s").json()["state"] == "running"       # a second in the lease
    end(g, "complete", task)
    made = g.app.post("/api/jobs/bulk", {"jobs": [{"task": "resize", "queue": "images"} for _ in range(99)]})
    assert made.json()["accepted"] == 99
    figures = queue(g, "?drain=10s")
    assert figures["per_job_s"] >= 1 and figures["ready"] == 99 and figures["arrivals_per_s"]["1m"] >= figures["arrivals_per_s"]["5m"] > 0
    assert 0 < figures["ends_per_s"]["1m"] < figures["arrivals_per_s"]["1m"]
    assert 10 <= figures["wanted"] and figures["wanted"] >= queue(g, "?drain=1h")["wanted"] >= 1
    g.admin.put("/api/queues/images", {"concurrency": 3})
    assert queue(g, "?drain=10s")["wanted"] == 3
    for wrong in ("0s", "25h", "soon"):
        refused = g.admin.get(f"/api/queues?drain={wrong}")
        assert refused.status == 400 and refused.json()["field"] == "drain"
