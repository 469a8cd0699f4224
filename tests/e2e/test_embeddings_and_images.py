"""What is no conversation, through the gateway to the simulator: embeddings on a Gemini provider, and image edits; both accounted."""
from __future__ import annotations

import base64
import struct
import subprocess

import pytest

from support.gateway import binary, cost_nano, free_port, wait_port


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
