"""Without a mouse: from page to page, through lists, along a flow; and a person's answer in the inbox."""
from __future__ import annotations

import pytest

from support.gateway import wait_until


@pytest.fixture
def hands(look):
    return look().sign_in().go("/")


def press(seen, *keys: str) -> None:
    for key in keys:
        seen.page.keyboard.press(key)


def heading(seen, name: str) -> None:
    seen.page.get_by_role("heading", level=1, name=name).wait_for()
    seen.settled()


def tab_to(seen, name: str) -> None:
    """Tab, until the button of this name has the focus."""
    for _ in range(40):
        press(seen, "Tab")
        if seen.page.evaluate("document.activeElement.textContent").strip().startswith(name):
            return
    raise AssertionError(f"no way to {name!r} by Tab")


def test_two_letters_lead_to_every_page_of_the_menu(hands):
    titles = {}
    for link in hands.page.locator("nav a[title^='g ']").all():
        titles[link.get_attribute("title").split()[1]] = link.inner_text().split("\n")[-1].strip()
    assert len(titles) >= 12 and len(set(titles)) == len(titles)
    for letter in titles:
        press(hands, "g", letter)
        hands.page.locator(f"nav a[title='g {letter}'][aria-current=page]").wait_for()
        hands.settled()


def test_help_and_search_are_a_key_away(hands):
    press(hands, "?")
    hands.page.get_by_role("dialog").wait_for()
    assert "g" in hands.page.get_by_role("dialog").inner_text()
    press(hands, "Escape")
    hands.page.get_by_role("dialog").wait_for(state="detached")
    press(hands, "g", "j")
    heading(hands, "Jobs")
    press(hands, "/")
    assert hands.page.evaluate("document.activeElement.matches('[data-search]')")


def test_j_k_and_enter_walk_a_list_and_open_its_row(hands):
    press(hands, "g", "j")
    heading(hands, "Jobs")
    rows = hands.page.locator("[data-row]")
    rows.nth(2).wait_for()
    press(hands, "j", "j", "j", "k")
    assert rows.nth(1).evaluate("row => row === document.activeElement")
    press(hands, "Enter")
    hands.page.wait_for_url("**/jobs/job_*")


def test_a_run_is_walked_stage_by_stage(world, hands):
    hands.go(f"/jobs/{world.jobs['done']}")
    first = hands.page.locator(".gantt li button").first
    first.focus()
    press(hands, "ArrowDown", "Enter")
    hands.page.locator("section.stage").wait_for()
    second = hands.page.locator(".gantt li button").nth(1)
    assert second.get_attribute("aria-pressed") == "true" and "Output" in hands.page.locator("section.stage").inner_text()


def test_a_flow_is_walked_along_its_edges_and_told_in_words(hands):
    hands.go("/flows/order-desk")
    hands.page.locator("[data-stage=intake]").focus()
    press(hands, "End", "ArrowLeft", "Enter")
    stage = hands.page.locator("section.stage")
    stage.wait_for()
    assert stage.get_by_role("heading").inner_text() == "ok" and "draft" in stage.inner_text()
    hands.page.get_by_text("The flow in words").click()
    told = hands.page.locator("details ol li").all_inner_texts()
    assert len(told) == 10 and any(line.startswith("long (template), after facts, size") for line in told)


def test_approvals_are_given_edited_and_refused_by_keyboard_alone(world, hands):
    made = [world.app.post("/api/jobs", {"flow": "order-desk", "input": {"text": f"Keyboard {n}"}}).json()["id"] for n in range(3)]
    wait_until(lambda: all(world.asked(job) for job in made))
    approvals = [world.asked(job)[0]["id"] for job in made]

    def state(id: str) -> dict:
        return world.admin.get(f"/api/approvals/{id}").json()
    press(hands, "g", "i")
    heading(hands, "Inbox")
    hands.page.locator("[data-row]").nth(2).wait_for()
    press(hands, "j", "Enter")                                  # the newest is the first
    hands.page.wait_for_url(f"**/inbox/{approvals[2]}")
    hands.page.locator("#asked:focus").wait_for()
    assert "Keyboard 2" in hands.page.locator("article").inner_text(), "what will happen is shown"
    press(hands, "a")
    hands.page.wait_for_url(f"**/inbox/{approvals[1]}")         # on to the next
    wait_until(lambda: state(approvals[2])["state"] == "approved")
    hands.page.locator("#asked:focus").wait_for()
    press(hands, "e")
    field = hands.page.locator("article textarea")
    field.wait_for()
    press(hands, "Control+A")
    hands.page.keyboard.type("Said anew")
    tab_to(hands, "Approve as edited")
    press(hands, "Enter")
    wait_until(lambda: state(approvals[1])["state"] == "edited")
    assert state(approvals[1])["value"]["text"] == "Said anew" and state(approvals[1])["value"]["to"] == "customer"
    hands.page.wait_for_url(f"**/inbox/{approvals[0]}")
    hands.page.locator("#asked:focus").wait_for()
    press(hands, "r")
    hands.page.keyboard.type("Not like this")
    tab_to(hands, "Reject")
    press(hands, "Enter")
    wait_until(lambda: state(approvals[0])["state"] == "rejected")
    assert state(approvals[0])["note"] == "Not like this"
    wait_until(lambda: [world.state(job) for job in made] == ["dead", "done", "done"])
