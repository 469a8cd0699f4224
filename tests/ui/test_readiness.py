"""The production checklist: who administers tells what no figure shows, by keyboard; who only reads is not offered it."""
from __future__ import annotations

from spills import SPILLS
from world import HOSTILE, READ_KEY

TELL = "Tell that it was done"


def line(seen, question: str):
    return seen.page.locator(".checklist li", has_text=question)


def question_of(world, name: str) -> str:
    return next(each["question"] for each in world.admin.get("/api/readiness").json()["lines"] if each["id"] == name)


def test_a_load_test_is_told_by_keyboard_and_counts_at_once(world, look):
    seen = look().sign_in().go("/readiness")
    mine = line(seen, question_of(world, "load_test"))
    assert mine.locator(".badge").first.inner_text() == "not proven"
    button = mine.get_by_role("button", name=TELL)
    button.focus()
    seen.page.keyboard.press("Enter")
    dialog = seen.page.get_by_role("dialog")
    assert dialog.get_by_label("When").evaluate("field => field === document.activeElement && field.value === field.max"), "it begins at the day, and that is today"
    assert dialog.get_by_role("button", name="Tell it").is_disabled(), "what came of it belongs to it"
    assert seen.violations() == []
    note = dialog.get_by_label("What came of it")
    for _ in range(5):
        if note.evaluate("field => field === document.activeElement"):
            break
        seen.page.keyboard.press("Tab")
    seen.page.keyboard.insert_text("500 calls a second for an hour. " + HOSTILE)
    seen.picture("readiness-evidence")
    seen.page.keyboard.press("Tab")
    seen.page.keyboard.press("Enter")
    dialog.wait_for(state="detached")
    mine.locator(".badge", has_text="passed").wait_for()
    assert "500 calls a second for an hour. <img" in mine.inner_text()
    assert button.evaluate("button => button === document.activeElement"), "one goes on where one was"
    entries = world.admin.get("/api/audit?limit=20").json()["entries"]
    assert any(entry["action"] == "readiness.evidence" and entry["subject"] == "load_test" for entry in entries)


def test_every_line_that_takes_it_offers_it_and_no_other(world, look):
    lines = world.admin.get("/api/readiness").json()["lines"]
    seen = look().sign_in().go("/readiness")
    for each in lines:
        assert line(seen, each["question"]).get_by_role("button", name=TELL).count() == each["told"], each["id"]
    assert 0 < sum(each["told"] for each in lines) < len(lines)


def test_a_refusal_stays_in_the_form(world, look):
    seen = look("phone").sign_in().go("/readiness")
    line(seen, question_of(world, "evals")).get_by_role("button", name=TELL).click()
    dialog = seen.page.get_by_role("dialog")
    dialog.get_by_label("When").fill("1977-05-25")
    dialog.get_by_label("What came of it").fill("Long ago")
    dialog.get_by_role("button", name="Tell it").click()
    dialog.get_by_role("alert").wait_for()
    assert "before this century" in dialog.get_by_role("alert").inner_text() and dialog.get_by_label("What came of it").input_value() == "Long ago"
    assert seen.overflow() <= 0 and seen.page.evaluate(SPILLS) == []
    seen.picture("readiness-refused-phone")
    seen.page.keyboard.press("Escape")
    dialog.wait_for(state="detached")
    seen.complaints.clear()                     # of the refusal that was wanted


def test_a_reader_is_not_offered_it(look):
    seen = look().sign_in(READ_KEY).go("/readiness")
    assert seen.page.locator(".checklist li").count() > 10 and seen.page.get_by_role("button", name=TELL).count() == 0
