"""What is no conversation, through the gateway to the simulator: embeddings on a Gemini provider, and image edits; both accounted."""
from __future__ import annotations

import base64
import json
import struct
import subprocess
import urllib.request

import pytest

from support.gateway import binary, cost_nano, free_port, nano, wait_port


@pytest.fixture
def simulator(tmp_path):
    port, log = free_port(), tmp_path / "simulator.log"
    with open(log, "wb") as out:
        process = subprocess.Popen([binary(), "simulate", "--listen", f"127.0.0.1:{port}"], stdout=out, stderr=out)
    wait_port(port, process, log)
    yield port
    process.terminate()
    process.wait(10)


def test_embeddings_on_a_gemini_provider_are_translated_and_accounted(simulator, gateway):
    g = gateway({"providers": {"g": {"kind": "gemini", "base_url": f"http://127.0.0.1:{simulator}/v1beta", "key": "g-0123456789"}},
                 "models": {"g/sim-embed": {"price": {"input": "$3", "output": "$0"}}},
                 "routes": {"embed": {"targets": ["g/sim-embed"]}},
                 "budgets": [{"name": "all", "scope": "system", "amount": "$1", "per": "day"}]})
    asked = {"model": "embed", "input": ["first text", "second"]}
    reply = g.app.post("/v1/embeddings", asked)
    assert reply.status == 200, reply.body
    body = reply.json()
    assert [d["index"] for d in body["data"]] == [0, 1] and len(body["data"][0]["embedding"]) == 64
    tokens = 4 + 2  # a third of the bytes of each text, rounded up
    assert body["usage"] == {"prompt_tokens": tokens, "total_tokens": tokens, "estimated": True}
    packed = g.app.post("/v1/embeddings", asked | {"encoding_format": "base64"}).json()["data"][0]["embedding"]
    assert struct.unpack("<64f", base64.b64decode(packed)) == pytest.approx(body["data"][0]["embedding"], abs=1e-6)
    numbers = g.app.post("/v1/embeddings", asked | {"input": [[1, 2, 3]]})
    assert numbers.status == 400 and numbers.error()["param"] == "input[0]" and "text" in numbers.error()["message"]
    usage = g.usage()
    assert usage["input_tokens"] == 2 * tokens and usage["incurred"] == 2 * cost_nano(tokens, 0, 3, 0) == g.spent()


def form(fields: dict[str, str], files: dict[str, bytes], boundary: str = "edge") -> bytes:
    parts = [f'--{boundary}\r\nContent-Disposition: form-data; name="{k}"\r\n\r\n{v}\r\n'.encode() for k, v in fields.items()]
    parts += [f'--{boundary}\r\nContent-Disposition: form-data; name="{k}"; filename="{k}.png"\r\nContent-Type: image/png\r\n\r\n'.encode() + v + b"\r\n"
              for k, v in files.items()]
    return b"".join(parts) + f"--{boundary}--\r\n".encode()


def test_an_image_edit_passes_and_is_accounted(gateway):
    """The simulator inside the gateway, behind a route: the form's model is changed on the way, the image's bytes are not."""
    g = gateway({"providers": {"sim": {"kind": "simulator", "models": {"painter": {}}}},
                 "models": {"sim/painter": {"price": {"input": "$2", "output": "$8", "image_input": "$10", "image_output": "$40"}}},
                 "routes": {"paint": {"targets": ["sim/painter"]}}})
    body = form({"model": "paint", "prompt": "a red keel"}, {"image": bytes(range(256)), "mask": b"\x89PNG\r\n"})
    reply = g.app.post("/v1/images/edits", body, headers={"content-type": "multipart/form-data; boundary=edge"})
    assert reply.status == 200, reply.body
    assert reply.json()["data"][0]["b64_json"]
    assert reply.json()["usage"] == {"input_tokens": 515, "output_tokens": 256, "total_tokens": 771,
                                     "input_tokens_details": {"text_tokens": 3, "image_tokens": 512}}
    usage = g.usage()
    assert (usage["input_tokens"], usage["output_tokens"]) == (515, 256)
    assert usage["incurred"] == usage["billed"] == 3 * 2_000 + 512 * 10_000 + 256 * 40_000


def test_an_edit_without_an_image_is_refused_by_the_provider_and_costs_nothing(gateway):
    g = gateway({"providers": {"sim": {"kind": "simulator", "models": {"painter": {"price": {"input": "$2", "output": "$8"}}}}}})
    reply = g.app.post("/v1/images/edits", form({"model": "sim/painter", "prompt": "x"}, {}), headers={"content-type": "multipart/form-data; boundary=edge"})
    assert reply.status == 400 and reply.error()["message"]
    assert g.usage()["incurred"] == 0


def edit(n: int, images: int = 2, model: str = "edit") -> bytes:
    """`images` files under the one name that the SDKs give them."""
    return form({"model": model, "prompt": "a red keel", "n": str(n)}, {"image[]": b"PNG"}, boundary="edge").replace(
        b"--edge--\r\n", b"".join(b'--edge\r\nContent-Disposition: form-data; name="image[]"; filename="b.png"\r\n\r\nPNG\r\n' for _ in range(images - 1)) + b"--edge--\r\n")


MULTIPART = {"content-type": "multipart/form-data; boundary=edge"}


def far_simulator(tmp_path, models: dict):
    """A simulator of its own process, whose books are told over HTTP."""
    port, log, config = free_port(), tmp_path / "far.log", tmp_path / "far.yaml"
    config.write_text(json.dumps({"providers": {"sim": {"kind": "simulator", "models": models}}}))
    with open(log, "wb") as out:
        process = subprocess.Popen([binary(), "simulate", "--config", str(config), "--listen", f"127.0.0.1:{port}"], stdout=out, stderr=out)
    wait_port(port, process, log)

    def counts() -> dict:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/sim/counts") as reply:
            return json.load(reply)
    return port, process, counts


@pytest.mark.parametrize("price", ["per image", "per token"])
def test_four_edits_do_not_fit_a_budget_for_three_and_three_cost_what_the_provider_counts(tmp_path, gateway, price):
    """The form's `n`, its files and the model's price bound the call before it is sent; the provider's own books say what it cost."""
    priced = {"per_image": "$0.04"} if price == "per image" else {"price": {"input": "$5", "output": "$40"}}
    port, process, counts = far_simulator(tmp_path, {"painter": priced})
    try:
        def gateway_with(amount: str):
            return gateway({"providers": {"far": {"kind": "openai", "base_url": f"http://127.0.0.1:{port}/v1", "key": "sk-0123456789abcdef"}},
                            "models": {"far/painter": priced | ({} if price == "per image" else {"image_tokens": 256})},
                            "routes": {"edit": {"targets": ["far/painter"]}},
                            "budgets": [{"name": "all", "scope": "system", "amount": amount, "per": "day"}]})
        # Per image: $0.04 each. Per token: 256 tokens out, and 2 files of at most 50,000 tokens and the prompt in, each time.
        g = gateway_with("$0.13" if price == "per image" else "$1.60")
        refused = g.app.post("/v1/images/edits", edit(4), headers=MULTIPART)
        assert refused.status == 429 and refused.headers["x-ballast-error"] == "policy_budget_exceeded", refused.body
        assert "painter" not in counts() and g.spent() == 0, "nothing was sent, nothing is held"
        served = g.app.post("/v1/images/edits", edit(3), headers=MULTIPART)
        assert served.status == 200 and len(served.json()["data"]) == 3, served.body
        told = counts()["painter"]
        assert told["images"] == 3
        assert g.spent() == g.usage()["incurred"] == nano(told["cost_usd"]) > 0
        assert g.spent() == (3 * 40_000_000 if price == "per image" else told["input_tokens"] * 5_000 + 3 * 256 * 40_000)
    finally:
        process.terminate()
        process.wait(10)


def test_an_image_call_that_nothing_bounds_is_refused_by_name_where_a_budget_applies(gateway):
    """A form that two readers might read differently never reaches the provider either."""
    g = gateway({"providers": {"sim": {"kind": "simulator", "models": {"painter": {"price": {"input": "$2", "output": "$8"}}}}},
                 "models": {"sim/painter": {"price": {"input": "$2", "output": "$8"}}},
                 "budgets": [{"name": "all", "scope": "system", "amount": "$100", "per": "day"}]})
    unbounded = g.app.post("/v1/images/generations", {"model": "sim/painter", "prompt": "x"})
    assert unbounded.headers["x-ballast-error"] == "policy_unbounded_cost"
    assert "sim/painter: set image_tokens" in unbounded.error()["message"] and unbounded.error()["param"] == "model"
    for body, field in ((edit(11, model="sim/painter"), "n"), (edit(1, model="sim/painter").replace(b"\r\n", b"\n"), "body"),
                        (form({"model": "sim/painter", "n[]": "9"}, {"image": b"PNG"}), "n")):
        reply = g.app.post("/v1/images/edits", body, headers=MULTIPART)
        assert reply.status == 400 and reply.error()["param"] == field, reply.body
    assert g.usage()["incurred"] == g.spent() == 0


def test_a_stream_of_images_is_passed_on_with_its_accounting(gateway):
    g = gateway({"providers": {"sim": {"kind": "simulator", "models": {"painter": {"price": {"input": "$2", "output": "$8"}}}}},
                 "budgets": [{"name": "all", "scope": "system", "amount": "$1", "per": "day"}]})
    reply = g.app.post("/v1/images/generations", {"model": "sim/painter", "prompt": "keel", "stream": True, "partial_images": 2})
    assert reply.status == 200 and reply.headers["content-type"].startswith("text/event-stream"), reply.body
    assert reply.body.count(b"event: image_generation.partial_image") == 2 and reply.body.count(b"event: image_generation.completed") == 1
    assert g.spent() == g.usage()["incurred"] == cost_nano(1, 256, 2, 8)
