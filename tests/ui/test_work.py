"""Work by hand: a run followed as it goes, driven again with another input, forked from a stage; queues, schedules and dead letters."""
from __future__ import annotations

import json

from support.gateway import wait_until


def submit(world, **job) -> str:
    made = world.app.post("/api/jobs", job)
    assert made.status == 202, made.body
    return made.json()["id"]


def button(seen, name: str):
    return seen.page.locator("main").get_by_role("button", name=name, exact=True).first


def in_dialog(seen, name: str):
    return seen.page.get_by_role("dialog").get_by_role("button", name=name, exact=True)


def new_job(seen, old: str) -> str:
    """The job that the page has gone to."""
    seen.page.wait_for_url(lambda url: "/jobs/job_" in url and old not in url)
    return seen.page.url.split("/jobs/")[1].split("?")[0]


def test_a_run_is_followed_to_its_end_without_a_reload(world, look):
    job = submit(world, flow="order-desk", input={"text": "Follow me"})
    wait_until(lambda: world.asked(job))
    seen = look().sign_in().go(f"/jobs/{job}")
    seen.page.get_by_role("status").filter(has_text="Somebody is asked").wait_for()
    bar = seen.page.locator(".gantt li", has_text="publish")
    assert "pending" in bar.inner_text()
    world.approve(job)
    seen.page.locator(".page-sub .badge", has_text="done").wait_for()
    seen.page.locator(".gantt li", has_text="publish").locator(".bar-done.gantt-bar").wait_for()


def test_a_dead_run_is_mended_and_goes_on(world, look):
    job = submit(world, flow="fragile", input={"n": 41, "by": 0})
    wait_until(lambda: world.state(job) == "dead")
    seen = look().sign_in().go(f"/jobs/{job}")
    assert "stages.sum" in seen.page.locator("main").inner_text()
    button(seen, "Retry…").click()
    seen.page.get_by_label("With another input").check()
    seen.page.get_by_label("Input (JSON)").fill('{"n": 41, "by": ')
    assert in_dialog(seen, "Retry").is_disabled(), "what is no JSON is not sent"
    seen.page.get_by_label("Input (JSON)").fill('{"n": 41, "by": 2}')
    in_dialog(seen, "Retry").click()
    made = new_job(seen, job)
    wait_until(lambda: world.state(made) == "done")
    assert world.admin.get(f"/api/jobs/{made}").json()["output"] == 21
    seen.page.locator(".page-sub .badge", has_text="done").wait_for()


def test_a_run_is_forked_from_a_stage(world, look):
    old = world.jobs["done"]
    seen = look().sign_in().go(f"/jobs/{old}?stage=draft")
    button(seen, "Run again from here…").click()
    in_dialog(seen, "Fork").click()
    made = new_job(seen, old)
    seen.page.get_by_role("status").filter(has_text="Somebody is asked").wait_for()
    records = {r["stage"]: r for r in world.admin.get(f"/api/jobs/{made}/stages").json()["records"]}
    before = {r["stage"]: r for r in world.admin.get(f"/api/jobs/{old}/stages").json()["records"]}
    assert records["triage"]["output"] == before["triage"]["output"] and "publish" not in records
    button(seen, "Cancel").click()
    seen.page.locator(".page-sub .badge", has_text="cancelled").wait_for()
    assert world.state(made) == "cancelled"


def test_dead_letters_of_one_cause_are_driven_again_together(world, look):
    jobs = []
    for n in range(3):
        jobs.append(submit(world, task="collect", queue="post", payload={"n": n}, attempts=1))
    taken = world.worker.post("/api/workers/pull", {"worker": "w", "queues": ["post"], "max": 3, "wait": "10s", "lease": "30s"}).json()["tasks"]
    world.worker.post("/api/workers/fail", {"tasks": [{"id": t["id"], "fence": t["fence"], "error": "no <b>stamps</b>"} for t in taken]})
    wait_until(lambda: all(world.state(job) == "dead" for job in jobs))
    seen = look().sign_in().go("/dead")
    row = seen.page.locator("tr", has_text="collect")
    assert "no <b>stamps</b>" in row.inner_text() and "3" in row.inner_text()
    row.locator("[data-row]").click()
    seen.page.get_by_role("table", name="Dead jobs of this cause").locator("tbody tr").nth(2).wait_for()
    row.get_by_role("button", name="Retry all…").click()
    in_dialog(seen, "Retry").click()
    seen.page.locator(".toast", has_text="3 submitted again").wait_for()
    assert [t["payload"]["n"] for t in world.worker.post("/api/workers/pull", {"worker": "w", "queues": ["post"], "max": 9, "wait": "10s", "lease": "30s"}).json()["tasks"]] == [0, 1, 2]


def test_queues_and_schedules_are_stopped_and_let_go(world, look):
    def queue() -> dict:
        return next(q for q in world.admin.get("/api/queues").json()["queues"] if q["queue"] == "night")
    seen = look().sign_in().go("/system")
    row = seen.page.get_by_role("table", name="Queues").locator("tr", has_text="night")
    row.get_by_role("button", name="Resume").click()
    row.get_by_role("button", name="Pause").wait_for()
    assert not queue()["paused"]
    row.get_by_role("button", name="Limits…").click()
    seen.page.get_by_label("Jobs at once").fill("7")
    in_dialog(seen, "Set").click()
    wait_until(lambda: queue()["concurrency"] == 7)
    row.get_by_role("button", name="Pause").click()
    row.get_by_role("button", name="Resume").wait_for()
    assert queue()["paused"]
    schedule = seen.page.get_by_role("table", name="Schedules").locator("tr", has_text="nightly-report")
    before = world.admin.get("/api/schedules/nightly-report").json()
    schedule.get_by_role("button", name="Pause").click()
    schedule.get_by_role("button", name="Resume").wait_for()
    after = world.admin.get("/api/schedules/nightly-report").json()
    assert not after["enabled"] and json.dumps(after["job"], sort_keys=True) == json.dumps(before["job"], sort_keys=True)
    schedule.get_by_role("button", name="Resume").click()
    schedule.get_by_role("button", name="Pause").wait_for()
    schedule.get_by_role("button", name="Run now").click()
    seen.page.locator(".toast", has_text="was submitted").wait_for()


def test_an_open_breaker_is_closed_by_hand(world, look):
    seen = look().sign_in().go("/system")
    row = seen.page.get_by_role("table", name="Breakers").locator("tr", has_text="sim/broken")
    assert row.locator(".badge").inner_text().split(" ")[0] in ("open", "half")
    asked = len(seen.asked)
    row.get_by_role("button", name="Reset").click()
    seen.page.locator(".toast", has_text="is closed").wait_for()
    assert ("POST", "/api/breakers/reset") in seen.asked[asked:]
