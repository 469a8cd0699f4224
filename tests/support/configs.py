"""Configurations of the tests, as values."""
from __future__ import annotations

from .fake_upstream import Upstream

INPUT, OUTPUT = 1.0, 2.0            # dollars per million tokens of every model below, unless a test says otherwise
PRICE = {"input": "$1", "output": "$2"}
TIMERS = {"connect": "1s", "headers": "1s", "first_token": "2s", "idle": "1s", "total": "20s"}


def provider(upstream: Upstream, **more) -> dict:
    return {"kind": "openai", "base_url": upstream.base_url, "key": "sk-upstream-secret", "timeouts": TIMERS, **more}


def two_providers(upstream: Upstream, *, route: dict | None = None, targets=None, models: dict | None = None,
                  **sections) -> dict:
    """`chat` goes to primary/alpha, then fallback/beta: two providers, so two breakers, at one fake upstream."""
    return {
        "providers": {"primary": provider(upstream), "fallback": provider(upstream)},
        "models": {
            "primary/alpha": {"price": PRICE, "context": 32768, "max_output": 4096},
            "fallback/beta": {"price": PRICE, "context": 32768, "max_output": 4096},
            **(models or {}),
        },
        "routes": {"chat": {"targets": targets or ["primary/alpha", "fallback/beta"],
                            "retries": {"attempts": 4, "deadline": "15s", "backoff": "50ms", "max_backoff": "500ms"},
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
