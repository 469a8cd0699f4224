"""A call's decision as it happens: told before the answer is, to whoever makes the call and to nobody else."""
from __future__ import annotations

import threading

import pytest

from support.client import Caller
from support.configs import two_providers
from support.fake_upstream import Gate, error, ok, words
from support.feed import Feed
from support.gateway import ADMIN_KEY
from support.page import Page

MINE, OTHERS = "sk-steps-mine-0123456789abcdef", "sk-steps-others-0123456789abcdef"
KEYS = [{"name": "mine", "value": MINE, "scopes": ["call", "usage"]}, {"name": "others", "value": OTHERS, "scopes": ["call", "usage"]}]
NAME = "0123456789abcdef0123456789abcdef"
MOMENTS = ("waiting", "asking", "answering")


def names(events) -> list[str]:
    return [data["step"] for event, data in events if event == "step"]


def asked(events) -> list[str]:
    return [data["target"] for event, data in events if event == "step" and data["step"] == "asking"]


def follow(g, key: str = MINE, name: str = NAME) -> Feed:
    feed = Feed((g.port, key), f"/api/steps?name={name}")
    assert feed.read(lambda e: e)[0] == ("hello", {"name": name})
    return feed


def ask(g, key: str = MINE, name: str = NAME, **more):
    """A call on a thread of its own: the thread, and where its reply will be."""
    replies = []
    thread = threading.Thread(target=lambda: replies.append(Caller(g.port, key).chat("chat", headers={"x-ballast-steps": name}, **more)))
    thread.start()
    return thread, replies


@pytest.mark.parametrize("stream", [False, True], ids=["whole", "stream"])
def test_the_steps_come_before_the_answer_does(upstream, gateway, stream):
    first, second = Gate(error(503)), Gate(ok(words(20, "b")))
    upstream.script("alpha", first)
    upstream.script("beta", second)
    g = gateway(two_providers(upstream, keys=KEYS))
    feed = follow(g)
    thread, replies = ask(g, stream=stream)
    assert names(feed.read(lambda e: "asking" in names(e)))[-1] == "asking", "the first is asked"
    first.open()
    told = feed.read(lambda e: "fallback/beta" in asked(e))
    assert {"attempt", "fail_over"} <= set(names(told)) and not replies, "the first has failed, the second is asked, and nobody has answered"
    second.open()
    told = feed.read(lambda e: e and e[-1][0] == "end")
    thread.join(20)
    [reply] = replies
    assert reply.succeeded() and reply.text().startswith("b0 ")
    call = reply.headers["x-ballast-call-id"]
    assert told[1] == ("call", {"call": call}) and told[-1] == ("end", {"call": call})
    assert ("answering" in names(told)) == stream
    record = g.decision(reply)["decision"]
    assert [data for event, data in told if event == "step" and data["step"] not in MOMENTS] == record, "word for word what is kept"
    assert not any(step["step"] in MOMENTS for step in record)
    feed.read(lambda e: False, 5)
    assert feed.ended


def test_nobody_hears_of_anothers_call(upstream, gateway):
    upstream.script("alpha", *[ok(words(5, "a"))] * 9)
    g = gateway(two_providers(upstream, keys=KEYS))
    feed = follow(g)
    for key in (OTHERS, ADMIN_KEY):                # another key that knows the name; also one that may do everything
        thread, replies = ask(g, key)
        thread.join(20)
        assert replies[0].succeeded()
    thread, replies = ask(g, MINE, "another-name-of-mine")
    thread.join(20)
    assert replies[0].succeeded()
    assert feed.read(lambda e: len(e) > 1, 1) == [("hello", {"name": NAME})]
    assert Feed((g.port, OTHERS), f"/api/steps?name={NAME}").status() == 409
    assert Feed((g.port, "sk-nobody"), f"/api/steps?name={NAME}").status() == 401
    assert Feed((g.port, MINE), "/api/steps?name=short").status() == 400
    thread, replies = ask(g)
    thread.join(20)
    assert names(feed.read(lambda e: e[-1][0] == "end"))[-1] == "settled", "one's own is heard yet"


def test_a_page_follows_its_own_call_and_hears_of_one_that_fails(upstream, gateway):
    upstream.script("alpha", *[error(400)] * 9)
    g = gateway(two_providers(upstream, targets=["primary/alpha"]))
    page = Page(g.port, ADMIN_KEY)
    feed = Feed(page, f"/api/steps?name={NAME}")
    assert feed.read(lambda e: e)[0][0] == "hello"
    answer = page.ask("POST", "/v1/chat/completions", Caller.body("chat", "Hello"), headers={"x-ballast-steps": NAME})
    assert answer.status == 400
    told = feed.read(lambda e: e[-1][0] == "end")
    assert told[1] == ("call", {"call": answer.headers["x-ballast-call-id"]}) and names(told)[-1] == "settled"


def test_who_waits_for_a_call_holds_up_no_end(upstream, gateway):
    g = gateway(two_providers(upstream, keys=KEYS))
    feed = follow(g)
    assert g.terminate(20) == 0
    feed.read(lambda e: False, 5)
    assert feed.events()[-1] == ("end", {"call": None}) and feed.ended
