"""The playground while a call goes on: each step of its decision is there before the answer is, and at the end the record takes their place."""
from __future__ import annotations

import re

import pytest

from support.configs import two_providers
from support.fake_upstream import Gate, error, ok, words
from support.gateway import ADMIN_KEY, Gateway, wait_until
from world import HOSTILE, READ_KEY

CALL_ONLY = "sk-ballast-call-only-0123456789abcdef01234"


@pytest.fixture
def gates(upstream):
    """The first target fails once its gate opens, the second answers once its own does."""
    both = Gate(error(503, message=HOSTILE)), Gate(ok(words(20, "b"), gap=0.02))
    upstream.script("alpha", both[0])
    upstream.script("beta", both[1])
    yield both
    for gate in both:
        gate.open()


@pytest.fixture
def playing(tmp_path, upstream, gates, look):
    keys = [{"name": "asker", "value": CALL_ONLY, "scopes": ["call"]}, {"name": "reader", "value": READ_KEY, "scopes": ["read"]}]
    server = Gateway(tmp_path / "own", two_providers(upstream, keys=keys)).start()
    made = []

    def make(name: str = "light", key: str = ADMIN_KEY):
        seen = look(name)
        seen.site = f"http://127.0.0.1:{server.port}"
        made.append(seen)
        return seen.sign_in(key).go("/playground?model=chat")
    yield make
    for seen in made:
        seen.close()                            # before the server goes
    server.stop()


def story(seen) -> list[str]:
    return [re.sub(r"\s+", " ", text) for text in seen.page.locator(".story li bdi").all_inner_texts()]


def ask(seen) -> None:
    seen.page.get_by_label("Message").fill("How do you do?")
    seen.page.keyboard.press("Enter")


def comes(seen, part: str) -> None:
    seen.page.locator(".story li", has_text=part).last.wait_for()


@pytest.mark.parametrize("dress", ["light", "dark", "phone"])
def test_the_steps_come_before_the_answer(playing, gates, dress):
    seen = playing(dress)
    ask(seen)
    comes(seen, "asks primary/alpha")
    gates[0].open()
    comes(seen, "asks fallback/beta")
    told = story(seen)
    assert any("went on to fallback/beta" in line for line in told) and not any("asks primary/alpha" in line for line in told), "what is over is told as what came of it"
    assert seen.page.locator(".bubble-answer .bubble-text").inner_text().strip() == "…", "nobody has answered yet"
    seen.picture(f"playground-under-way-{dress}")
    assert seen.overflow() <= 0 and (dress == "phone" or seen.violations() == [])
    gates[1].open()
    comes(seen, "the answer of fallback/beta begins")
    comes(seen, "settled: ok")
    seen.page.get_by_role("log").wait_for(state="detached")
    settled = story(seen)
    assert not any("asks " in line or "begins" in line for line in settled) and settled[-1] == "settled: ok", "the record, as it is kept"
    assert [line for line in told if "asks " not in line] == settled[:len([line for line in told if "asks " not in line])], "and what was told is what it says"
    assert "b19" in seen.page.locator(".bubble-answer .bubble-text").inner_text()
    seen.picture(f"playground-settled-{dress}")


def test_a_call_that_fails_has_its_story_too(playing, gates):
    gates[1].then = error(400, message=HOSTILE)
    seen = playing()
    ask(seen)
    comes(seen, "asks primary/alpha")
    for gate in gates:
        gate.open()
    comes(seen, "settled")
    seen.page.get_by_role("log").wait_for(state="detached")
    assert seen.page.locator(".story li").last.inner_text().endswith("settled: provider_rejected") and seen.errors_shown() != []
    seen.page.get_by_role("link", name="The call").click()
    seen.page.get_by_role("heading", name="Call", exact=True).wait_for()
    seen.complaints.clear()                     # of the answer that was meant to fail


def test_one_that_is_stopped_ends_in_the_story(playing, gates):
    seen = playing()
    ask(seen)
    comes(seen, "asks primary/alpha")
    seen.page.get_by_role("button", name="Stop").click()
    gates[0].open()                             # what was asked is heard to its end, for what it cost
    comes(seen, "settled: caller_cancelled")
    seen.page.get_by_role("log").wait_for(state="detached")
    assert seen.errors_shown() == []
    ask(seen)                                   # and the next call is followed as the first was
    comes(seen, "asks fallback/beta")
    gates[1].open()
    comes(seen, "settled: ok")


def test_who_may_not_look_calls_without_the_story(playing, gates):
    for gate in gates:
        gate.open()
    seen = playing(key=CALL_ONLY)
    ask(seen)
    wait_until(lambda: seen.page.wait_for_timeout(50) or "b19" in seen.page.locator(".bubble-answer .bubble-text").inner_text(), 20)
    seen.settled()
    assert not [path for _, path in seen.asked if path == "/api/steps" or path.startswith("/api/decisions/")]
