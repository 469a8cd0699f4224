"""Every page, in light, in dark and on a phone, while the server is busy: whole, quiet, accessible, no wider than its window; hostile words stay words."""
from __future__ import annotations

import pytest

from world import HOSTILE, READ_KEY

PAGES = {
    "overview": lambda world: "/",
    "overview-compared": lambda world: "/?range=15m&compare=before",
    "calls": lambda world: "/calls",
    "call": lambda world: "/calls/" + world.calls["chat"],
    "call-failed": lambda world: "/calls/" + world.calls["never"],
    "money": lambda world: "/money",
    "alerts": lambda world: "/alerts",
    "playground": lambda world: "/playground",
    "settings": lambda world: "/settings",
    "jobs": lambda world: "/jobs",
    "jobs-dead": lambda world: "/jobs?state=dead&text=pwned",
    "job": lambda world: f"/jobs/{world.jobs['done']}?stage=triage",
    "job-hostile": lambda world: f"/jobs/{world.jobs['asks']}?stage=lines",
    "job-failed": lambda world: f"/jobs/{world.jobs['failed']}",
    "flows": lambda world: "/flows",
    "flow": lambda world: "/flows/order-desk?stage=draft",
    "inbox": lambda world: "/inbox",
    "inbox-one": lambda world: "/inbox/" + world.asked(world.jobs["asks"])[0]["id"],
    "inbox-decided": lambda world: f"/inbox/appr_{world.jobs['done'].removeprefix('job_')}_1?state=any",
    "dead": lambda world: "/dead",
    "dead-cause": lambda world: "/dead?cause=" + world.cause("fragile"),
    "system": lambda world: "/system",
    "readiness": lambda world: "/readiness",
    "nowhere": lambda world: "/no/such/page",
}
# Where the world put hostile words: they must be read there.
TOLD = {"call", "jobs-dead", "job-hostile", "job-failed", "inbox-one", "dead", "calls", "settings"}


@pytest.mark.parametrize("name", PAGES)
def test_a_page_is_whole_and_quiet(world, looks, name):
    path = PAGES[name](world)
    before = list(world.answered)
    for dress, seen in looks.items():
        seen.go(path)
        assert seen.untouched(), dress
        seen.picture(f"{name}-{dress}")
        assert seen.errors_shown() == [], dress
        assert seen.overflow() <= 0, f"{dress}: wider than its window"
        assert dress == "phone" or seen.violations() == [], dress
        if name in TOLD and dress == "light":
            assert "window.__pwned=1" in seen.page.locator("main").inner_text(), "hostile words are shown as they are"
    assert all(now > was for now, was in zip(world.answered, before)), "every caller went on meanwhile"


def test_hostile_words_typed_into_the_page_stay_words(look):
    seen = look().sign_in().go("/jobs")
    seen.page.get_by_role("searchbox").fill(HOSTILE)
    seen.page.keyboard.press("Enter")
    seen.page.locator("main").get_by_text("No job is like that.").wait_for()   # what was there before stays until then
    for path in ("/jobs?queue=", "/calls?user=", "/dead?cause=", "/flows/order-desk?stage=", "/?range="):
        seen.go(path + "%22%3E%3Cimg%20src%3Dx%20onerror%3Dwindow.__pwned%3D1%3E")
        assert seen.untouched(), path


def test_the_policy_lets_nothing_in_from_elsewhere(look, site):
    seen = look().sign_in()
    answer = seen.page.goto(site + "/")
    policy = answer.headers["content-security-policy"]
    assert "default-src 'none'" in policy and "unsafe" not in policy and "frame-ancestors 'none'" in policy, policy
    seen.settled()
    ran = seen.page.evaluate("""() => { const s = document.createElement('script'); s.textContent = 'window.__inline = 1'; document.body.append(s);
                                       return window.__inline === undefined }""")
    assert ran, "an inline script ran"
    assert [c for c in seen.complaints if "Content Security Policy" in c or "Content-Security-Policy" in c], "the browser says so"
    seen.complaints.clear()


def test_without_a_key_there_is_the_sign_in_and_nothing_else(world, look):
    for name in ("overview", "call", "money", "settings", "job-hostile", "inbox-one", "system", "nowhere"):
        seen = look()
        seen.page.goto(seen.site + PAGES[name](world))
        seen.page.get_by_label("Key").wait_for()
        assert seen.page.locator("nav").count() == 0 and seen.page.locator("table").count() == 0, name
        asked = {path for _, path in seen.asked if path.startswith(("/api/", "/v1/"))}
        assert asked == {"/api/session"}, name
        # The answer to "who is in?" is nobody: the one failure that belongs here.
        assert {c.split(" ")[0] for c in seen.complaints} == {"401"} and all(c.endswith("/api/session") for c in seen.complaints), seen.complaints
        seen.complaints.clear()
        if name == "overview":
            assert seen.violations() == []
            seen.picture("sign-in")
        seen.close()


def test_signing_in_by_hand_goes_where_one_wanted_to_and_out_again(world, look):
    seen = look()
    seen.page.goto(f"{seen.site}/jobs?state=dead")
    seen.page.get_by_label("Key").fill("sk-nobody")
    seen.page.keyboard.press("Enter")
    seen.page.get_by_role("alert").wait_for()
    seen.complaints.clear()
    seen.page.get_by_label("Key").fill(READ_KEY)
    seen.page.keyboard.press("Enter")
    seen.page.get_by_role("heading", name="Jobs").wait_for()
    assert seen.page.url.endswith("/jobs?state=dead")
    cookies = {c["name"]: c for c in seen.page.context.cookies()}
    assert cookies["ballast_session"]["httpOnly"] and cookies["ballast_session"]["sameSite"] == "Strict"
    assert READ_KEY not in seen.page.evaluate("JSON.stringify([localStorage, sessionStorage, document.cookie])"), "the key stays nowhere"
    seen.page.get_by_role("button", name="Sign out").click()
    seen.page.get_by_label("Key").wait_for()
    assert world.app.get("/api/jobs").status == 200 and seen.page.context.request.get(f"{seen.site}/api/jobs").status == 401
