"""What a person does with the pages that watch: narrows calls, follows them, reads a story, types a range, compares, asks a model, silences, makes keys."""
from __future__ import annotations

import re

import pytest

from support.gateway import wait_until

CURVE = ".chart svg path[d*=L], .chart svg path[d*=h]"


def rows(seen, table: str):
    return seen.page.get_by_role("table", name=table, exact=True).locator("tbody tr")


def test_calls_are_narrowed_and_the_address_says_how(world, look):
    seen = look().sign_in().go("/calls")
    seen.page.get_by_role("combobox", name="Status").select_option("failed")
    seen.page.wait_for_url("**/calls?status=failed")
    seen.settled()
    rows(seen, "Calls").first.wait_for()
    assert all(text.startswith("failed") for text in rows(seen, "Calls").locator("td:nth-child(2)").all_inner_texts())
    other = look().sign_in().go("/calls?status=failed")          # whoever is given the address sees the same
    rows(other, "Calls").first.wait_for()
    assert other.page.get_by_role("combobox", name="Status").input_value() == "failed"
    seen.page.get_by_role("button", name="Clear").click()
    seen.page.get_by_label("User", exact=True).fill("user-3")
    seen.page.keyboard.press("Enter")
    seen.page.wait_for_url("**/calls?user=user-3")
    seen.settled()
    rows(seen, "Calls").first.wait_for()
    assert set(rows(seen, "Calls").locator("td:nth-child(5)").all_inner_texts()) == {"user-3"}
    seen.page.get_by_label("User", exact=True).fill("nobody at all")
    seen.page.keyboard.press("Enter")
    seen.page.get_by_text("No call fits in this range.").wait_for()


def test_the_live_tail_shows_calls_as_they_end(world, look):
    seen = look().sign_in().go("/calls?feature=load")
    rows(seen, "Calls").first.wait_for()
    before = rows(seen, "Calls").count()
    seen.page.get_by_label("live tail").check()
    wait_until(lambda: seen.page.wait_for_timeout(100) or rows(seen, "Calls").count() > before, 20)


def test_a_story_tells_the_messages_to_who_asks(world, look):
    call = world.app.chat("kept", "What is kept of this?").headers["x-ballast-call-id"]
    wait_until(lambda: world.admin.get(f"/api/decisions/{call}").status == 200)
    seen = look().sign_in().go(f"/calls/{call}")
    story = seen.page.locator(".story").inner_text()
    assert "sim/small" in seen.page.locator("main").inner_text() and len(story.splitlines()) > 3
    assert not [path for _, path in seen.asked if path.endswith("/messages")], "nobody reads messages by passing through"
    seen.page.get_by_role("button", name="Show the messages").click()
    seen.page.locator(".bubble", has_text="What is kept of this?").wait_for()
    assert any(entry["subject"] == call for entry in world.admin.get("/api/audit?limit=20").json()["entries"]), "and who did is on record"
    seen.page.get_by_role("button", name="Good answer").click()
    seen.page.locator(".toast", has_text="Marked as good").wait_for()
    assert world.admin.get(f"/api/decisions/{call}").json()["feedback"][0]["verdict"] == "good"


@pytest.mark.parametrize("typed,address", [("last 3 hours", r"[?&]range=3h"), ("yesterday", r"from=.*&to="), ("now-2h to now-1h", r"from=.*&to=")])
def test_any_range_can_be_typed(look, typed, address):
    seen = look().sign_in().go("/")
    seen.page.keyboard.press("t")
    seen.page.get_by_role("dialog").wait_for()
    seen.page.keyboard.type(typed)
    seen.page.keyboard.press("Enter")
    seen.page.wait_for_url(re.compile(address))
    seen.settled()
    assert seen.errors_shown() == []
    assert seen.page.get_by_role("group", name="Time range").locator("[aria-pressed=true]").count() == 1


def test_nonsense_is_no_range_and_says_what_would_be_one(look):
    seen = look().sign_in().go("/")
    seen.page.keyboard.press("t")
    seen.page.keyboard.type("a fortnight ago")
    assert "Examples: 90m" in seen.page.get_by_role("dialog").inner_text()
    assert seen.page.get_by_role("button", name="Show").is_disabled()


def test_a_range_is_moved_widened_and_drawn_closer(look):
    seen = look().sign_in().go("/?range=1h")
    seen.page.locator(CURVE).first.wait_for()
    seen.page.keyboard.press("-")
    seen.page.wait_for_url(re.compile("from=.*&to="))
    seen.page.keyboard.press("[")
    seen.page.go_back()
    seen.page.go_back()
    seen.page.wait_for_url("**/?range=1h")
    seen.page.locator(CURVE).first.wait_for()
    box = seen.page.locator(".chart-area").first.bounding_box()
    seen.page.mouse.move(box["x"] + box["width"] * 0.6, box["y"] + 50)
    seen.page.mouse.down()
    seen.page.mouse.move(box["x"] + box["width"] * 0.8, box["y"] + 50, steps=5)
    seen.page.mouse.up()
    seen.page.wait_for_url(re.compile("from=.*&to="))
    seen.settled()


def test_the_range_before_is_drawn_beside(look):
    seen = look().sign_in().go("/?range=15m")
    seen.page.locator(CURVE).first.wait_for()
    seen.page.get_by_label("compare").click()
    seen.page.wait_for_url("**compare=before*")
    seen.page.locator(".legend-before").first.wait_for()
    seen.page.locator("nav a[title='g c']").click()
    seen.page.wait_for_url("**/calls?*compare=before*")         # it goes along from page to page


def test_money_is_split_by_flow_without_a_chart_of_something_else(look):
    seen = look().sign_in().go("/money")
    seen.page.get_by_text("Spend by model", exact=True).wait_for()
    seen.page.locator("main").get_by_role("button", name="flow", exact=True).click()
    seen.page.wait_for_url("**by=flow*")
    seen.settled()
    assert seen.page.locator("main .chart").count() == 0
    seen.page.locator("main").get_by_role("button", name="key", exact=True).click()
    seen.page.get_by_text("Spend by key", exact=True).wait_for()


def test_the_playground_shows_the_stream_the_cost_and_the_decision(look):
    seen = look().sign_in().go("/playground?model=chat")
    seen.page.get_by_label("Message").fill("How do you do?")
    seen.page.keyboard.press("Enter")
    outcome = seen.page.locator(".panel", has_text="How it came about")
    outcome.locator(".story li").first.wait_for()
    assert "sim/small" in outcome.inner_text() and "$" in outcome.inner_text() and "ms" in outcome.inner_text()
    assert seen.page.locator(".bubble-answer .bubble-text").inner_text().strip() != ""


def test_a_rule_is_silenced_and_the_silence_ended(world, look):
    seen = look().sign_in().go("/alerts")
    assert rows(seen, "Rules in force").count() > 10
    seen.page.get_by_role("button", name="New silence").click()
    dialog = seen.page.get_by_role("dialog")
    dialog.get_by_label("Rule").select_option("traffic_rise")
    dialog.get_by_label("Why").fill("A load test <b>of mine</b>")
    dialog.get_by_role("button", name="Silence").click()
    row = rows(seen, "Silences").filter(has_text="<b>of mine</b>")
    row.wait_for()
    row.get_by_role("button", name="End now").click()
    row.wait_for(state="detached")
    assert world.admin.get("/api/alerts").json()["silences"] == []


def test_a_key_is_made_shown_once_and_revoked(world, look):
    seen = look().sign_in().go("/settings")
    seen.page.get_by_role("button", name="New key").click()
    dialog = seen.page.get_by_role("dialog")
    dialog.get_by_label("Name").fill("night shift")
    dialog.get_by_role("button", name="Make it").click()
    secret = seen.page.locator(".secret code").inner_text()
    assert world.caller(secret).chat("chat").status == 200
    seen.page.keyboard.press("Escape")
    row = rows(seen, "Keys").filter(has_text="night shift")
    row.get_by_role("button", name="Revoke").click()
    seen.page.get_by_role("dialog").get_by_role("button", name="Revoke it").click()
    row.wait_for(state="detached")
    assert world.caller(secret).chat("chat").status == 401
    assert secret not in seen.page.content()


def test_times_are_told_by_the_clock_on_demand(look):
    seen = look().sign_in().go("/calls")
    rows(seen, "Calls").first.wait_for()
    seen.page.get_by_role("group", name="Times").get_by_role("button", name="14:30").click()
    assert re.fullmatch(r"(\d{4}-\d\d-\d\d )?\d\d:\d\d:\d\d", rows(seen, "Calls").first.locator("time").inner_text())
