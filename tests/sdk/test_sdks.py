"""The official SDKs, unchanged, by base URL alone: npm openai, @anthropic-ai/sdk, ai with @ai-sdk/openai and
@ai-sdk/anthropic; PyPI openai and anthropic.

Each SDK runs all its scenarios once, in one process; every (SDK, scenario) is then a test of its own. The provider
behind the gateway speaks OpenAI's chat protocol, so Anthropic's SDK and the responses API go through translation.
The packages are installed into build/sdk from the lock files; OFFLINE=1 skips these tests and says so.
"""
from __future__ import annotations

import importlib.metadata
import json
import os
import pathlib
import subprocess
import sys
import time

import pytest

from support import node
from support.configs import PRICE, provider
from support.fake_upstream import Upstream, count_prompt, delta, error, ok, usage_of, words
from support.gateway import APP_KEY, ROOT, Gateway

HERE = pathlib.Path(__file__).parent
POOR_KEY = "sk-ballast-e2e-poor-0123456789abcdef01234567"
TEXT = "".join(words(20))

COMMON = ["whole", "stream", "tools", "tools_stream", "abort", "retries", "stream_error", "unauthorized", "not_found", "budget"]
OPENAI = [*COMMON, "invalid", "responses", "responses_stream", "models", "embeddings"]
ANTHROPIC = [*COMMON, "invalid", "count_tokens"]
SDKS = {"python-openai": [*OPENAI, "batches"], "python-anthropic": ANTHROPIC, "node-openai": OPENAI, "node-anthropic": ANTHROPIC,
        "node-ai-openai": COMMON, "node-ai-openai-chat": COMMON, "node-ai-anthropic": COMMON}

pytestmark = pytest.mark.skipif(bool(os.environ.get("OFFLINE")), reason="OFFLINE is set: the SDKs come from the registries")


@pytest.fixture(scope="session")
def python_home():
    """Where the Python SDKs are, if not in this very environment (build/venv has them)."""
    folder = node.SDK_HOME / "python"
    folder.mkdir(parents=True, exist_ok=True)
    pinned = dict(line.split("==") for line in (HERE / "requirements.txt").read_text().split())
    try:
        if all(importlib.metadata.version(name) == version for name, version in pinned.items()):
            return folder
    except importlib.metadata.PackageNotFoundError:
        pass
    return node.installed(folder, HERE / "requirements.txt",
                          [sys.executable, "-m", "pip", "install", "--quiet", "--upgrade", "--target", ".", "-r", str(HERE / "requirements.txt")])


@pytest.fixture(scope="session")
def node_home():
    return node.node_home()


def provider_of_the_sdks() -> Upstream:
    """Chat completions with a weather tool, embeddings, a model that fails twice, one that is cut."""
    final = ok(["It", " is", " sunny."])

    async def tools(wire, seen):
        if any(m.get("role") == "tool" for m in seen.body["messages"]):
            return await final(wire, seen)
        call = {"id": "call_1", "type": "function", "function": {"name": "weather", "arguments": '{"city":"Paris"}'}}
        seen.prompt_tokens, seen.output_tokens = count_prompt(seen.body), 9
        if not seen.body.get("stream"):
            return await wire.json(200, {"id": "chatcmpl-fake", "object": "chat.completion", "created": 1700000000, "model": seen.model,
                                         "choices": [{"index": 0, "finish_reason": "tool_calls", "message": {
                                             "role": "assistant", "content": None, "tool_calls": [call]}}], "usage": usage_of(seen)})
        await wire.start_stream()
        await wire.event(delta(seen, {"role": "assistant", "content": None}))
        await wire.event(delta(seen, {"tool_calls": [{"index": 0, **call, "function": {"name": "weather", "arguments": ""}}]}))
        for piece in ('{"ci', 'ty":', '"Paris"}'):
            await wire.event(delta(seen, {"tool_calls": [{"index": 0, "function": {"arguments": piece}}]}))
        await wire.event(delta(seen, {}, "tool_calls"))
        await wire.event({**delta(seen, {}), "choices": [], "usage": usage_of(seen)})
        await wire.event("[DONE]")
        await wire.end_stream()

    async def vector(wire, seen):
        await wire.json(200, {"object": "list", "model": seen.model, "data": [{"object": "embedding", "index": 0, "embedding": [0.5] * 8}],
                              "usage": {"prompt_tokens": 1, "total_tokens": 1}})
    upstream = Upstream()
    upstream.script("words", ok(20))
    upstream.script("tools", tools)
    upstream.script("vector", vector)
    upstream.script("slow", ok(400, gap=0.02))
    upstream.script("cut", ok(60, cut_after=40, gap=0.002))
    upstream.script("flaky", error(503), error(503), ok(20))
    return upstream


@pytest.fixture(scope="module")
def world(tmp_path_factory):
    results: dict[str, dict] = {}
    homes: dict[str, pathlib.Path] = {}

    def run(sdk: str, request) -> dict:
        if sdk in results:
            return results[sdk]
        language, _, name = sdk.partition("-")
        home = homes.get(language) or homes.setdefault(language, request.getfixturevalue(f"{language}_home"))
        upstream = provider_of_the_sdks()
        models = ("words", "tools", "vector", "slow", "cut", "flaky")
        g = Gateway(tmp_path_factory.mktemp(sdk), {
            "providers": {"up": provider(upstream)},
            "models": {f"up/{m}": {"price": PRICE, "context": 32768, "max_output": 4096} for m in models},
            "routes": {m: {"targets": [f"up/{m}"], "retries": {"attempts": 1}, "stream": {"rescue": "error", "hold_back": 0}} for m in models},
            "read_on_disconnect": "200ms",
            "budgets": [{"scope": "key", "match": "poor", "amount": "$0.000000001", "per": "day"}],
            "keys": [{"name": "app", "value": APP_KEY, "scopes": ["call"]}, {"name": "poor", "value": POOR_KEY, "scopes": ["call"]}],
        }).start()
        try:
            arguments = [name, str(g.port), APP_KEY, POOR_KEY]
            if language == "python":
                command = [sys.executable, str(HERE / "scenarios.py"), *arguments]
                env = os.environ | {"PYTHONPATH": str(home)}
            else:
                command = [node.node(), str(HERE / "node" / "scenarios.mjs"), *arguments]
                env = os.environ | {"SDK_HOME": str(home)}
            done = subprocess.run(command, capture_output=True, text=True, timeout=120, env=env)
            assert done.returncode == 0, done.stderr[-3000:]
            found = json.loads(done.stdout.strip().splitlines()[-1])
            time.sleep(0.8)  # a caller that left is read on for 200 ms
            found["poor_calls"] = g.usage_by("key")["config:poor"]["calls"]
            found["seen"] = {m: len(upstream.seen(m)) for m in models}
            found["slow_finished"] = [s.finished for s in upstream.seen("slow")]
            found["prompt_tokens"] = {m: [s.prompt_tokens for s in upstream.seen(m)] for m in models}
            assert g.alive(), g.log.read_text()[-2000:]
        finally:
            g.stop()
            upstream.stop()
        return results.setdefault(sdk, found)
    return run


def check_whole(r, all_):
    assert r["text"] == TEXT and r["usage"][1] == 20
    assert r["usage"][0] in all_["prompt_tokens"]["words"]
    assert r["finish"] in ("stop", "end_turn")


def check_stream(r, all_):
    assert r["text"] == TEXT and r["usage"][1] == 20 and r["events"] >= 20
    assert r["usage"][0] in all_["prompt_tokens"]["words"]


def check_tools(r, all_):
    assert r["name"] == "weather" and r["arguments"] == {"city": "Paris"} and r["text"] == "It is sunny."
    assert r["finish"] in ("tool_calls", "tool_use", "tool-calls")


def check_tools_stream(r, all_):
    assert r["name"] == "weather" and r["arguments"] == {"city": "Paris"} and r.get("text", "It is sunny.") == "It is sunny."


def check_abort(r, all_):
    assert r["ok"] and all_["slow_finished"] == [False], "the provider went on speaking to nobody"


def check_retries(r, all_):
    assert r["text"] == TEXT and all_["seen"]["flaky"] == 3, "the SDK's own two retries"


def check_stream_error(r, all_):
    assert r["error"], "a cut stream looked like a whole one"


def check_unauthorized(r, all_):
    assert r["status"] == 401 and r["error"] in ("AuthenticationError", "AI_APICallError")


def check_not_found(r, all_):
    assert r["status"] == 404 and r["error"] in ("NotFoundError", "AI_APICallError") and "nonexistent" in r["message"]


def check_invalid(r, all_):
    assert r["status"] == 400 and r["error"] == "BadRequestError" and "role" in r["message"]


def check_budget(r, all_):
    assert r["status"] == 429 and r["error"] in ("RateLimitError", "AI_APICallError") and "budget" in r["message"].lower()
    assert all_["poor_calls"] == 1, "the SDK tried again what a retry cannot mend"


# What a reply repeats of its request, and the defaults of the rest.
REPEATED = {"instructions": "Be brief.", "metadata": {"feature": "sdk"}, "temperature": 0.5, "tools": ["weather"], "tool_choice": "none",
            "top_p": 1, "truncation": "disabled"}


def check_responses(r, all_):
    assert r["text"] == TEXT and r["status"] == "completed" and r["usage"][1] == 20
    assert r["repeated"] == [REPEATED]


def check_responses_stream(r, all_):
    assert r["text"] == TEXT and r["last"] == "response.completed" and r["usage"][1] == 20
    assert r["repeated"] == [REPEATED] * 3, "created, in_progress and completed"


def check_models(r, all_):
    assert {"words", "tools"} <= set(r["ids"])


def check_embeddings(r, all_):
    assert r["length"] == 8


def check_batches(r, all_):
    assert r["first"] == "validating" and r["status"] == "completed" and r["counts"] == {"total": 3, "completed": 2, "failed": 1}
    assert r["text"] == [TEXT, TEXT] and r["errors"] == [404] and r["output_tokens"] == 40
    assert r["listed"] and r["files"] == 3 and r["deleted"]


def check_count_tokens(r, all_):
    assert 3 <= r["tokens"] <= 60


@pytest.mark.parametrize("sdk,scenario", [(s, c) for s, names in SDKS.items() for c in names])
def test_sdk(world, request, sdk, scenario):
    found = world(sdk, request)
    assert scenario in found
    assert "crashed" not in found[scenario], found[scenario]["crashed"]
    globals()[f"check_{scenario}"](found[scenario], found)
