"""The front end's own tests, its types and its lint, with the Node that builds it."""
from __future__ import annotations

import os
import subprocess

import pytest

from support.gateway import ROOT

UI = ROOT / "ui"
NODE = os.environ.get("BALLAST_NODE") or str(ROOT / "build" / "node" / "bin" / "node")


@pytest.mark.parametrize("what", [["vitest/vitest.mjs", "run"], ["typescript/bin/tsc", "--noEmit"], ["@biomejs/biome/bin/biome", "check", "."]], ids=["tests", "types", "lint"])
def test_the_front_end_passes_its_own(what):
    if not (UI / "node_modules" / ".installed").exists():
        pytest.skip("the packages of ui/ are not installed: build/ui was made elsewhere (tools/ui.sh installs them)")
    done = subprocess.run([NODE, f"node_modules/{what[0]}", *what[1:]], cwd=UI, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stdout[-4000:] + done.stderr[-4000:]


def test_its_types_are_those_that_the_server_publishes():
    if not (UI / "node_modules" / ".installed").exists():
        pytest.skip("the packages of ui/ are not installed")
    done = subprocess.run([NODE, "types.mjs", "--check"], cwd=UI, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stdout + done.stderr
