"""The short form of `make chaos`: three nodes and their database shaken by a seed while clients use them; an oracle outside judges (tests/chaos)."""
from __future__ import annotations

import os
import signal
import subprocess
import sys

import pytest

from support.gateway import ROOT
from support.postgres import binaries

SEED = os.environ.get("CHAOS_SEED", "0")


@pytest.mark.skipif(not binaries(), reason="PostgreSQL is not installed (apt-get install postgresql)")
def test_three_nodes_under_faults_lose_nothing_and_do_nothing_twice():
    run = subprocess.Popen([sys.executable, ROOT / "tests" / "chaos" / "run.py", "--seed", SEED, "--recovered-within", "6"],
                           stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, start_new_session=True)
    try:
        told, _ = run.communicate(timeout=300)
    finally:
        if run.poll() is None:
            os.killpg(run.pid, signal.SIGKILL)
    print(told)
    assert run.returncode == 0, told[-6000:]
