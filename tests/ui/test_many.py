"""Sixty models with long names, and calls of known length and cost: what is drawn is where it belongs, and nothing leaves its place."""
from __future__ import annotations

import concurrent.futures
import datetime

import pytest

from support.gateway import wait_until
from spills import SPILLS
from world import World

NAMES = [f"model-{n:02}-of-a-family-with-a-name-that-does-not-end-{'x' * (n % 40)}" for n in range(60)]
HEDGED = {"hedge": {"after": "400ms", "max": 1}}
MANY = {
    "providers": {
        "sim": {"kind": "simulator", "models": {
            **{name: {"ttft": "0", "tokens_per_second": 0, "output_tokens": 5 + n, "price": {"input": "$1", "output": f"${1 + n}"}} for n, name in enumerate(NAMES)},
            "late": {"latency": "1500ms", "ttft": "0", "tokens_per_second": 0, "output_tokens": 10},
            "prompt": {"ttft": "300ms", "tokens_per_second": 0, "output_tokens": 10, "price": {"input": "$1", "output": "$1000"}},
            "shaky": {"latency": "300ms", "ttft": "0", "tokens_per_second": 0, "output_tokens": 10, "faults": [{"kind": "http_503", "first": 1}]}}}},
    "routes": {"hedged": {"targets": ["sim/late", "sim/prompt"], **HEDGED}, "retried": {"targets": ["sim/shaky"], "retries": {"attempts": 2, "backoff": "400ms", "max_backoff": "400ms"}},
               **{f"route-{n}-{'y' * 30}": {"targets": [f"sim/{NAMES[n]}"]} for n in range(20)}},
}


@pytest.fixture(scope="module")
def crowd(tmp_path_factory):
    w = World(tmp_path_factory.mktemp("crowd"), **MANY).start()
    try:
        with concurrent.futures.ThreadPoolExecutor(8) as pool:
            answers = list(pool.map(lambda name: w.app.chat(f"sim/{name}", headers={"x-ballast-user": f"u-{name}", "x-ballast-feature": f"f-{name}"}), NAMES))
        assert all(answer.status == 200 for answer in answers)
        for name in ("hedged", "retried"):
            answer = w.app.chat(name, stream=True)
            assert answer.succeeded(), answer.body
            w.calls[name] = answer.headers["x-ballast-call-id"]
        w.settled()
        wait_until(lambda: all(w.admin.get(f"/api/decisions/{call}").status == 200 for call in w.calls.values()))
        yield w
    finally:
        w.stop()


@pytest.fixture
def site(crowd):
    return f"http://127.0.0.1:{crowd.port}"


@pytest.mark.parametrize("dress", ["light", "phone"])
@pytest.mark.parametrize("path", ["/", "/?range=15m&compare=before", "/calls", "/money", "/money?by=feature", "/money?by=user", "/system", "/settings", "/playground", "/alerts"])
def test_sixty_models_stay_in_their_place(crowd, look, path, dress):
    seen = look(dress).sign_in()
    if dress == "phone":
        seen.page.set_viewport_size({"width": 360, "height": 780})
    seen.go(path)
    if path.startswith("/money"):
        seen.page.locator("main table tbody tr").nth(40).wait_for()
        assert 3 <= seen.page.locator("main .chart .legend, main .legend").count() <= 15, "a legend that one can read: the largest, and the others as one"
    seen.picture("many-" + (path.strip("/").replace("?", "-").replace("=", "-").replace("&", "-") or "overview") + f"-{dress}")
    assert seen.overflow() <= 0 and seen.page.evaluate(SPILLS) == []


def lanes(seen) -> list[dict]:
    """Of each attempt, as it is drawn: where its bar begins and ends and where its first token lies, as shares of its lane."""
    seen.page.locator(".lane").first.wait_for()
    return seen.page.evaluate("""() => [...document.querySelectorAll('.attempt')].map((attempt) => {
        const lane = attempt.querySelector('.lane').getBoundingClientRect(), bar = attempt.querySelector('.lane-bar').getBoundingClientRect(), mark = attempt.querySelector('.lane-mark')?.getBoundingClientRect()
        const share = (x) => (x - lane.left) / lane.width
        return {name: attempt.querySelector('b').textContent, from: share(bar.left), to: share(bar.right), first: mark ? share(mark.left) : null,
                good: attempt.querySelector('.lane-good') !== null, text: attempt.innerText}
      })""")


def expected(call: dict) -> list[tuple[float, float]]:
    arrived = datetime.datetime.fromisoformat(call["arrived"])
    out = []
    for a in call["attempts"]:
        began = (datetime.datetime.fromisoformat(a["started"]) - arrived).total_seconds() * 1e6 / call["latency_us"]
        out.append((began, min(1, began + a["latency_us"] / call["latency_us"])))
    return out


def test_a_hedge_is_drawn_beside_what_it_hedges(crowd, look):
    call = crowd.admin.get(f"/api/decisions/{crowd.calls['hedged']}").json()
    seen = look().sign_in().go(f"/calls/{call['id']}")
    first, second = lanes(seen)
    for drawn, (began, ended) in zip((first, second), expected(call)):
        assert abs(drawn["from"] - began) < 0.01 and abs(drawn["to"] - ended) < 0.02, (drawn, began, ended)
    assert first["name"] == "sim/late" and second["name"] == "sim/prompt" and "hedged" in second["text"] and second["good"]
    assert "overtaken" in first["text"] and not first["good"], "it has not failed: another was quicker"
    assert first["from"] < 0.05 and second["from"] > 0.25 and first["to"] > second["from"], "they ran at once"
    assert second["from"] < second["first"] <= second["to"] + 0.01, "the first token lies within the attempt"
    seen.picture("call-hedged")


def test_a_retry_is_drawn_after_what_it_repeats(crowd, look):
    call = crowd.admin.get(f"/api/decisions/{crowd.calls['retried']}").json()
    seen = look("phone").sign_in().go(f"/calls/{call['id']}")
    first, second = lanes(seen)
    for drawn, (began, ended) in zip((first, second), expected(call)):
        assert abs(drawn["from"] - began) < 0.02 and abs(drawn["to"] - ended) < 0.02, (drawn, began, ended)
    assert not first["good"] and second["good"] and first["to"] < second["from"], "one after the other, with the wait between"
    seen.picture("call-retried-phone")


def numbers(seen, column: str) -> list[float]:
    """A column of the calls as numbers: dollars, or milliseconds."""
    scale = {"ms": 1, "s": 1000, "µs": 0.001, "min": 60_000}
    out = []
    for text in seen.page.locator(f"table[aria-label=Calls] td[data-label='{column}']").all_inner_texts():
        figure, _, unit = text.replace("$", "").replace(",", "").partition(" ")
        out.append(float(figure) * scale[unit] if unit else float(figure))
    return out


def fill(seen, label: str, value: str) -> None:
    seen.page.get_by_label(label, exact=True).fill(value)
    seen.page.keyboard.press("Enter")


def count_of(crowd, **wanted) -> int:
    return len(crowd.admin.get("/api/calls?view=row&limit=1000&" + "&".join(f"{k}={v}" for k, v in wanted.items())).json()["calls"])


@pytest.mark.parametrize("label,name,value,column,fits", [
    ("Cost from $", "min_cost", "0.001", "Cost", lambda x: x >= 0.001), ("Cost to $", "max_cost", "0.0005", "Cost", lambda x: x <= 0.0005),
    ("Latency from ms", "min_latency", "500", "Took", lambda x: x >= 500), ("Latency to ms", "max_latency", "400", "Took", lambda x: x <= 400)])
def test_calls_are_narrowed_by_cost_and_latency(crowd, look, label, name, value, column, fits):
    seen = look().sign_in().go("/calls")
    table = seen.page.get_by_role("table", name="Calls", exact=True)
    table.locator("tbody tr").first.wait_for()
    fill(seen, label, value)
    seen.page.wait_for_url(f"**/calls?{name}={value}")
    seen.settled()
    table.locator("tbody tr").first.wait_for()
    shown = numbers(seen, column)
    assert 0 < len(shown) == min(50, count_of(crowd, **{name: value})) and all(map(fits, shown)), shown
    assert "not narrowed by cost and latency" in seen.page.locator("main").inner_text(), "the charts know neither, and say so"
    fill(seen, label, "dear")
    assert seen.page.get_by_label(label).get_attribute("aria-invalid") == "true" and seen.page.url.endswith(f"{name}={value}"), "nonsense is not asked for"
