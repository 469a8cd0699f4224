"""`bench/gateway/run` for the other programs that measure a gateway: `run` is that program as a module. And the part of a configuration that they share."""
from __future__ import annotations

import importlib.machinery
import importlib.util
import pathlib

_loader = importlib.machinery.SourceFileLoader("gateway_run_program", str(pathlib.Path(__file__).resolve().parent / "gateway" / "run"))
run = importlib.util.module_from_spec(importlib.util.spec_from_loader("gateway_run_program", _loader))
_loader.exec_module(run)


def in_front_of(upstream: int, **provider) -> dict:
    """One thread before the benchmark's upstream at that port, which has a price; `provider` adds to what is said of it."""
    return {"threads": 1, "log": {"level": "warn"},
            "providers": {"up": {"kind": "openai", "base_url": f"http://127.0.0.1:{upstream}/v1", "key": "sk-upstream-0123456789", **provider}},
            "models": {f"up/{run.MODEL}": {"price": {"input": "$0.15", "output": "$0.60"}, "context": 128000, "max_output": 16384}}}
