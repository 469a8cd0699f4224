"""What the benchmarks share: the machine's clocks, cores and stolen time, medians of samples, and numbers as people read them."""
from __future__ import annotations

import contextlib
import os
import pathlib
import socket
import statistics
import sys

TICKS = os.sysconf("SC_CLK_TCK")


def free_port() -> int:
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return s.getsockname()[1]


def children(pid: int) -> list[int]:
    """A process and all that it has started."""
    out = [pid]
    try:
        for task in os.listdir(f"/proc/{pid}/task"):
            for child in pathlib.Path(f"/proc/{pid}/task/{task}/children").read_text().split():
                out += children(int(child))
    except FileNotFoundError:
        pass
    return out


def cpu_seconds(pid: int) -> float:
    """User and system time of a process and its children so far."""
    total = 0
    for p in children(pid):
        try:
            fields = pathlib.Path(f"/proc/{p}/stat").read_text().rsplit(")", 1)[1].split()
            total += int(fields[11]) + int(fields[12])
        except FileNotFoundError:
            pass
    return total / TICKS


def stolen() -> tuple[int, int]:
    """Ticks that the host of a virtual machine took from it, and all ticks, since it started."""
    fields = [int(x) for x in open("/proc/stat").readline().split()[1:]]
    return fields[7], sum(fields[:8])


def stolen_since(before: tuple[int, int]) -> str:
    """What a report says of it: a share, and whether the figures can be trusted."""
    taken, ticks = (b - a for a, b in zip(before, stolen()))
    return f"The host took {taken / max(1, ticks):.1%} of the machine's time" + (": do not trust these figures." if taken > ticks / 50 else ".")


class Undisturbed:
    """Measures again what the host of a virtual machine disturbed: a stall of 30 ms alone makes a p99 of a few seconds' calls.
    The same for every case, so that none is favoured; the last try counts whatever the host did."""

    def __init__(self, share: float = 0.005, tries: int = 5):
        self.share, self.tries = share, tries
        self.measured = self.again = self.disturbed = 0

    def __call__(self, measure):
        """What `measure()` returned when the host took at most `share` of the machine's time meanwhile."""
        self.measured += 1
        for more in reversed(range(self.tries)):
            before = stolen()
            result = measure()
            taken, ticks = (b - a for a, b in zip(before, stolen()))
            if taken <= ticks * self.share:
                break
            if more:
                self.again += 1
                print(f"  the host took {taken / ticks:.1%} of the machine's time: measured again", file=sys.stderr, flush=True)
            else:
                self.disturbed += 1
        return result

    def told(self) -> str:
        return (f"{self.measured} measurements; {self.again} more were discarded since the host took over {self.share:.1%} of the machine's time, "
                f"{self.disturbed} stand although it did.")


@contextlib.contextmanager
def on_cores(cores: set[int] | None):
    """What is started within runs on these cores only, with all it starts; None: wherever the scheduler likes."""
    before = os.sched_getaffinity(0)
    os.sched_setaffinity(0, cores or before)
    try:
        yield
    finally:
        os.sched_setaffinity(0, before)


class Results:
    """Samples by (case, test) and name of the value; a report prints their medians."""

    def __init__(self):
        self.samples: dict[tuple[str, str], dict[str, list[float]]] = {}

    def add(self, case: str, test: str, **values: float) -> None:
        row = self.samples.setdefault((case, test), {})
        for k, v in values.items():
            row.setdefault(k, []).append(v)

    def median(self, case: str, test: str, value: str) -> float | None:
        got = self.samples.get((case, test), {}).get(value)
        return statistics.median(got) if got else None

    def rows(self) -> list[dict]:
        """Every sample, to be written as JSON."""
        return [{"case": c, "test": t, **v} for (c, t), v in self.samples.items()]


def number(v: float | None) -> str:
    if v is None:
        return "–"
    return f"{v:,.0f}" if abs(v) >= 100 else f"{v:.1f}" if abs(v) >= 10 else f"{v:.2f}"
