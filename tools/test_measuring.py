"""What a benchmark discards: bench/measuring.py."""
from __future__ import annotations

import pathlib
import sys

import pytest

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "bench"))
import measuring  # noqa: E402: found by then


@pytest.fixture
def host(monkeypatch):
    """Takes as many of each hundred ticks as it is told, in turn; nothing afterwards."""
    taken: list[int] = []
    clock = [0, 0]

    def tick():
        clock[0] += taken.pop(0) if taken else 0
        clock[1] += 100

    monkeypatch.setattr(measuring, "stolen", lambda: tuple(clock))
    return taken, tick


def measure(host, shares: list[int], **options):
    taken, tick = host
    taken[:] = shares
    count = iter(range(100))

    def once():
        tick()
        return next(count)

    undisturbed = measuring.Undisturbed(**options)
    return undisturbed(once), undisturbed


def test_what_nobody_disturbed_counts_at_once(host):
    result, undisturbed = measure(host, [0])
    assert result == 0 and (undisturbed.measured, undisturbed.again, undisturbed.disturbed) == (1, 0, 0)


def test_what_the_host_disturbed_is_measured_again(host):
    result, undisturbed = measure(host, [20, 3, 0])
    assert result == 2 and (undisturbed.measured, undisturbed.again, undisturbed.disturbed) == (1, 2, 0)


def test_the_last_try_counts_and_is_told_of(host):
    result, undisturbed = measure(host, [20, 20, 20], tries=3)
    assert result == 2 and (undisturbed.measured, undisturbed.again, undisturbed.disturbed) == (1, 2, 1)
    assert "1 stand although it did" in undisturbed.told()


def test_up_to_its_share_the_host_may_take(host):
    result, undisturbed = measure(host, [1], share=0.01)
    assert result == 0 and undisturbed.again == 0
