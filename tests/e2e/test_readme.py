"""The README's examples do what it says, as they are pasted."""
from __future__ import annotations

import json
import os
import re
import subprocess

import pytest

from support.gateway import ADMIN_KEY, APP_KEY, ROOT, binary

BLOCK = re.compile(r"^```(\w+)\n(.*?)^```", re.M | re.S)
CONFIG = {"providers": {"sim": {"kind": "simulator"}}, "routes": {"chat": {"targets": ["sim/sim-small"]}}}


def blocks(language: str) -> list[str]:
    found = [text for kind, text in BLOCK.findall((ROOT / "README.md").read_text()) if kind == language]
    assert found, f"the README has no example in {language}"
    return found


def calls() -> list[str]:
    return [text for text in blocks("sh") if text.startswith("curl ")]


def commands() -> list[str]:
    return [line.split("#")[0].strip() for text in blocks("sh") for line in text.splitlines() if line.startswith("ballast ")]


@pytest.mark.parametrize("n", range(len(calls())))
def test_its_calls_work_as_pasted(gateway, n):
    g = gateway(CONFIG, start=False)
    g.config["webhooks"] = {"allow": [f"127.0.0.1:{g.port}"]}      # the README's receiver is of the world outside
    g.write_config()
    g.start()
    text = re.sub(r"(http://127\.0\.0\.1|localhost):8080", f"127.0.0.1:{g.port}", calls()[n]).replace("https://app.example", f"http://127.0.0.1:{g.port}")
    assert str(g.port) in text and ".example" not in text
    ran = subprocess.run(["bash", "-c", text.replace("curl ", "curl -sS --fail-with-body ", 1)], capture_output=True, text=True, timeout=60,
                         env=os.environ | {"BALLAST_KEY": APP_KEY})
    assert ran.returncode == 0, ran.stdout + ran.stderr
    assert "id" in json.loads(ran.stdout)


def test_its_commands_exist(gateway):
    g = gateway(CONFIG)
    call = g.app.chat("chat").headers["x-ballast-call-id"]
    for command in commands():
        words = [call if word.startswith("call_") else word for word in command.split()]
        ran = subprocess.run([binary(), *words[1:]], capture_output=True, stdin=subprocess.DEVNULL, text=True, timeout=60, cwd=g.folder,
                             env=os.environ | {"BALLAST_SERVER": f"http://127.0.0.1:{g.port}", "BALLAST_ADMIN_KEY": ADMIN_KEY})
        assert ran.returncode == 0, command + "\n" + ran.stdout + ran.stderr


def test_its_configuration_and_its_flow_pass_the_check(tmp_path):
    config, *flows = blocks("yaml")
    (tmp_path / "flows").mkdir()
    (tmp_path / "ballast.yaml").write_text(config)
    for n, flow in enumerate(flows):
        (tmp_path / "flows" / f"{n}.yaml").write_text(flow)
    ran = subprocess.run([binary(), "check", "--config", "ballast.yaml"], capture_output=True, text=True, timeout=60, cwd=tmp_path,
                         env=os.environ | {name: "sk-of-the-test" for name in re.findall(r"\$\{(\w+)\}", config)})
    assert ran.returncode == 0, ran.stdout + ran.stderr
