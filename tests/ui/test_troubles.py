"""When things go wrong around the page: the server goes away and comes back, the session ends, an answer fails, the network is slow, there is nothing yet."""
from __future__ import annotations

import re
from urllib.parse import urlsplit

import pytest

from support.gateway import ADMIN_KEY, Gateway, wait_until
from test_pages import PAGES

SIMULATOR = {"providers": {"sim": {"kind": "simulator"}}}
# What each page asks first.
ASKS = {"/": "/api/overview", "/calls": "/api/calls", "/money": "/api/money", "/alerts": "/api/alerts", "/jobs": "/api/jobs", "/flows": "/api/flows", "/inbox": "/api/approvals",
        "/dead": "/api/dead", "/system": "/api/queues", "/readiness": "/api/readiness", "/settings": "/api/config", "/playground": "/v1/models"}


@pytest.fixture
def own(tmp_path):
    """A server that the test may stop, with nothing on it."""
    server = Gateway(tmp_path / "own", SIMULATOR).start()
    yield server
    server.stop()


@pytest.fixture
def elsewhere(look, own):
    """A browser at that server."""
    seen = look()
    seen.site = f"http://127.0.0.1:{own.port}"
    yield seen.sign_in(ADMIN_KEY)
    seen.close()                                # before the server goes


@pytest.mark.parametrize("path", ASKS)
def test_an_answer_that_fails_is_told_and_can_be_asked_for_again(look, path):
    seen = look().sign_in()
    problem = '{"title": "Out of order", "status": 500, "detail": "the <b>disk</b> is full"}'
    seen.page.route(lambda url: ASKS[path] in url, lambda route: route.fulfill(status=500, content_type="application/problem+json", body=problem))
    seen.go(path)
    box = seen.page.locator("main .error-box[role=alert]").first
    box.wait_for()
    assert "the <b>disk</b> is full" in box.inner_text()
    seen.page.unroute_all()
    seen.complaints.clear()
    box.get_by_role("button", name="Try again").click()
    box.wait_for(state="detached")
    seen.settled()


def test_a_session_that_ends_leads_to_the_sign_in_and_back_to_the_page(world, look):
    seen = look().sign_in().go("/jobs?state=dead")
    seen.page.context.clear_cookies()
    seen.page.get_by_role("button", name="done", exact=True).click()
    seen.page.get_by_label("Key").wait_for()
    assert "The session is over" in seen.page.get_by_role("alert").inner_text()
    assert seen.page.locator("table").count() == 0
    assert {c.split(" ")[0] for c in seen.complaints} == {"401"}
    seen.complaints.clear()
    seen.page.get_by_label("Key").fill(ADMIN_KEY)
    seen.page.keyboard.press("Enter")
    seen.page.get_by_role("heading", name="Jobs").wait_for()
    assert seen.page.url.endswith("/jobs?state=done")


def test_a_server_that_goes_away_is_told_and_its_return_is_noticed(own, elsewhere):
    seen = elsewhere.go("/?range=15m")
    seen.page.locator(".menu .online:not(.online-off)").wait_for()
    own.stop()
    seen.page.locator(".menu .online-off").wait_for()
    seen.page.locator("main .error-box", has_text="cannot be reached").wait_for(timeout=20_000)
    assert seen.page.locator(".stat-value").count() > 0, "what was known stays"
    own.start()
    seen.page.locator("main .error-box").wait_for(state="detached", timeout=40_000)
    seen.page.locator(".menu .online:not(.online-off)").wait_for(timeout=40_000)
    seen.complaints.clear()


def test_a_slow_network_shows_the_shape_first(look):
    seen = look().sign_in()
    devtools = seen.page.context.new_cdp_session(seen.page)
    devtools.send("Network.enable")
    devtools.send("Network.emulateNetworkConditions", {"offline": False, "latency": 400, "downloadThroughput": 50_000, "uploadThroughput": 20_000})
    seen.page.goto(seen.site + "/")
    seen.page.get_by_role("status", name="Loading").wait_for()
    assert seen.page.locator("main .ghost").count() == 6 and seen.page.locator("nav").count() == 1
    seen.page.locator("main .chart svg path").first.wait_for(state="attached", timeout=30_000)
    assert seen.page.locator("main .ghost").count() == 0


# How far what is seen has moved without anybody's doing, as a share of the window.
MOVED = """window.__moved = 0
new PerformanceObserver((list) => { for (const e of list.getEntries()) window.__moved += e.value }).observe({type: 'layout-shift', buffered: true})"""
OF_SYSTEM = ("/api/providers", "/api/breakers", "/api/nodes", "/api/queues", "/api/schedules", "/v1/batches", "/api/webhooks", "/api/audit")


@pytest.mark.parametrize("dress", ["light", "phone"])
def test_in_whatever_order_answers_come_nothing_that_is_read_moves(look, dress):
    seen = look(dress).sign_in()
    seen.page.add_init_script(MOVED)
    held = {}
    wanted = re.compile(r"/(api|v1)/(" + "|".join(path.split("/")[2] for path in OF_SYSTEM) + r")(\?|$)")
    seen.page.route(wanted, lambda route: route.continue_() if urlsplit(route.request.url).path in held else held.update({urlsplit(route.request.url).path: route}))
    seen.page.goto(seen.site + "/system")
    wait_until(lambda: seen.page.wait_for_timeout(10) or len(held) == len(OF_SYSTEM), 20)
    for path in reversed(OF_SYSTEM):
        held[path].continue_()
        seen.page.wait_for_timeout(60)
    seen.settled()
    seen.page.wait_for_timeout(300)
    assert seen.page.locator("main .panel:visible").count() == 7 and seen.page.evaluate("window.__moved") < 0.01


def test_one_answer_that_does_not_come_keeps_nobody_from_the_others(look):
    seen = look().sign_in()
    seen.page.route(re.compile(r"/api/queues(\?|$)"), lambda route: None)
    seen.page.goto(seen.site + "/system")
    seen.page.get_by_role("table", name="Schedules").wait_for()
    assert seen.page.get_by_role("table", name="Queues").count() == 0 and seen.page.get_by_role("heading", name="Audit trail").is_visible()
    seen.page.unroute_all()


@pytest.mark.parametrize("path", ASKS)
def test_with_nothing_there_every_page_says_so(elsewhere, path):
    seen = elsewhere.go(path)
    seen.picture("empty-" + (path.strip("/") or "overview"))
    assert seen.errors_shown() == [] and seen.overflow() <= 0 and seen.violations() == []
    assert "NaN" not in seen.page.locator("main").inner_text() and "undefined" not in seen.page.locator("main").inner_text()


@pytest.mark.parametrize("width", [320, 1600])
def test_pages_fit_narrow_and_wide_windows(world, look, width):
    seen = look().sign_in()
    seen.page.set_viewport_size({"width": width, "height": 900})
    for name in ("overview", "calls", "call", "money", "alerts", "jobs", "job-hostile", "flow", "inbox-one", "dead", "system", "readiness", "settings", "playground"):
        seen.go(PAGES[name](world))
        assert seen.overflow() <= 0, name
