"""What flows and configuration take from the environment goes where it is sent, and nowhere else: not into the database, the log, the trail or an answer."""
import json
import urllib.parse

import pytest

from support.fake_upstream import error
from support.local_server import LocalServer
from test_effects import effects, ended, submit

# None of them looks like a credential.
PATH, QUERY, HEADER, BODY = "plain word/97 in a path", "queried-violets", "Heading for \"the\" hills", "bodily-lilies-of-old"
WORDS = {"PATH_KEY": PATH, "QUERY_KEY": QUERY, "HEADER_KEY": HEADER, "BODY_KEY": BODY}
FLOW = """
flow: tell
output: '.stages.tell.output.body'
stages:
  tell:
    http:
      url: '${SHOP}/hooks/{{ "${PATH_KEY}" | @uri }}/now?q=${QUERY_KEY}'
      method: POST
      headers: {X-Word: '${HEADER_KEY}'}
      body: '{n: .input.n, word: "${BODY_KEY}"}'
      idempotency: none
    retry: {attempts: 1}
    compensate: none
"""
LOUD = """
flow: loud
stages:
  loud: {transform: '"it is ${BODY_KEY}" | error'}
"""
HOOK = """
flow: hook
stages:
  hook: {http: {url: "${HOOK}", method: POST, body: '.input', idempotency: key}, compensate: none}
"""


class Parrot(LocalServer):
    """Answers with all that it was asked, in `status`."""

    def __init__(self):
        self.asked: list[dict] = []
        self.status = 200
        super().__init__()

    def answer(self, method, path, headers, body):
        self.asked.append({"path": path, "headers": headers, "body": body.decode()})
        return self.status, {}, json.dumps(self.asked[-1]).encode()


@pytest.fixture
def parrot():
    made = Parrot()
    yield made
    made.stop()


@pytest.fixture
def house(gateway, parrot):
    g = gateway({"providers": {"sim": {"kind": "simulator"}}, "webhooks": {"allow": [parrot.url.removeprefix("http://")]}}, start=False,
                env={"SHOP": parrot.url, "HOOK": f"{parrot.url}/services/T01/an-unlikely-place", **WORDS})
    (g.folder / "flows").mkdir()
    for text in (FLOW, LOUD, HOOK):
        (g.folder / "flows" / (text.split("flow:")[1].split()[0] + ".yaml")).write_text(text)
    return g.start()


def forms(word: str) -> set[bytes]:
    """As it is, in a URL, and in JSON."""
    return {f.encode() for f in (word, urllib.parse.quote(word, safe=""), urllib.parse.quote(word), json.dumps(word)[1:-1])}


def kept(g) -> dict[str, bytes]:
    """All that the process has written: database, journal, trail, log."""
    return {str(p): p.read_bytes() for p in [*g.folder.rglob("*"), g.log] if p.is_file() and p.suffix != ".yaml"}


def shown(g, id: str) -> bytes:
    told = [g.app.get(f"/api/jobs/{id}{more}").body for more in ("", "/stages", "/effects")]
    told += [g.command(*words, id, check=False).stdout.encode() for words in (("jobs", "show"), ("jobs", "stages"), ("jobs", "effects"), ("audit", "show"))]
    return b"\n".join(told)


def test_what_a_call_carries_from_the_environment_is_kept_nowhere(house, parrot):
    fine = submit(house, "tell", {"n": 1})
    assert ended(house, fine)["state"] == "done"
    parrot.status = 500
    lost = submit(house, "tell", {"n": 2})
    assert ended(house, lost)["state"] == "dead"
    loud = submit(house, "loud", {})
    assert "[redacted:BODY_KEY]" in ended(house, loud)["error"]["message"]
    for asked, n in zip(parrot.asked, (1, 2), strict=True):
        assert asked["path"] == f"/hooks/{urllib.parse.quote(PATH, safe='')}/now?q={QUERY}" and asked["headers"]["x-word"] == HEADER, "what is sent is exact"
        assert json.loads(asked["body"]) == {"n": n, "word": BODY}
    target = f"POST {parrot.url}/hooks/[redacted:PATH_KEY]/now"
    assert [effects(house, id)[0]["target"] for id in (fine, lost)] == [target, target]
    assert target in ended(house, lost)["error"]["message"], "an effect in doubt is named all the same"
    assert ended(house, fine)["output"]["headers"]["x-word"] == "[redacted:HEADER_KEY]", "what comes back of it is no data"
    for id in (fine, lost, loud):
        for word in WORDS.values():
            assert not [f for f in forms(word) if f in shown(house, id)], (id, word)
    house.stop()
    for where, content in kept(house).items():
        for word in WORDS.values():
            assert not [f for f in forms(word) if f in content], (where, word)


def test_of_a_url_the_origin_is_no_secret(house, parrot):
    id = submit(house, "hook", {})
    assert ended(house, id)["state"] == "done" and parrot.asked[0]["path"] == "/services/T01/an-unlikely-place"
    assert effects(house, id)[0]["target"] == f"POST {parrot.url}/[redacted:HOOK]"


def test_a_provider_that_repeats_its_credentials_is_not_repeated(gateway, upstream):
    upstream.script("model", error(400, "invalid_value", "invalid_request_error", "no: violets-for-the-key, lilies-for-the-header"))
    g = gateway({"providers": {"up": {"kind": "openai", "base_url": upstream.base_url, "key": "violets-for-the-key", "headers": {"X-Word": "Bearer lilies-for-the-header"}}}})
    reply = g.app.post("/v1/chat/completions", {"model": "up/model", "messages": [{"role": "user", "content": "Say it."}]})
    assert reply.status == 400 and b"[redacted:key], [redacted:X-Word]" in reply.body, reply.body
    g.stop()
    for where, content in kept(g).items():
        assert b"violets" not in content and b"lilies" not in content, where
