"""Configurations of the tests, as values."""
from __future__ import annotations

from .fake_upstream import Upstream

INPUT, OUTPUT = 1.0, 2.0            # dollars per million tokens of every model below, unless a test says otherwise
PRICE = {"input": "$1", "output": "$2"}
# Timers that a healthy provider keeps on a machine whose cores are all held by others. A test of a timer shortens that one.
TIMERS = {"connect": "20s", "headers": "30s", "first_token": "30s", "idle": "30s", "total": "90s"}
PROMPTLY = 20.0                     # seconds: far above what slow machines need, far below what a forgotten timer takes


def provider(upstream: Upstream, timers: dict | None = None, **more) -> dict:
    return {"kind": "openai", "base_url": upstream.base_url, "key": "sk-upstream-secret", "timeouts": TIMERS | (timers or {}), **more}


def two_providers(upstream: Upstream, *, route: dict | None = None, targets=None, models: dict | None = None,
                  timers: dict | None = None, **sections) -> dict:
    """`chat` goes to primary/alpha, then fallback/beta: two providers, so two breakers, at one fake upstream.
    `timers` are the primary's."""
    return {
        "providers": {"primary": provider(upstream, timers), "fallback": provider(upstream)},
        "models": {
            "primary/alpha": {"price": PRICE, "context": 32768, "max_output": 4096},
            "fallback/beta": {"price": PRICE, "context": 32768, "max_output": 4096},
            **(models or {}),
        },
        "routes": {"chat": {"targets": targets or ["primary/alpha", "fallback/beta"],
                            "retries": {"attempts": 4, "deadline": "60s", "backoff": "50ms", "max_backoff": "500ms"},
                            **(route or {})}},
        **sections,
    }


def one_provider(upstream: Upstream, *, price: dict | None = None, route: dict | None = None, **sections) -> dict:
    """`chat` goes to up/model and nowhere else."""
    return {
        "providers": {"up": provider(upstream)},
        "models": {"up/model": {"price": price or PRICE, "context": 32768, "max_output": 4096}},
        "routes": {"chat": {"targets": ["up/model"], **(route or {})}},
        **sections,
    }
