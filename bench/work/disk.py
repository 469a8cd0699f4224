"""The disk's own limit: how often a second what was appended can be made to last. Every durable figure lives below it.

It is measured before each repetition and once at the end: a disk whose figures lie far apart was somebody else's too."""
from __future__ import annotations

import os
import pathlib
import time

from measuring import Results

BLOCK = b"x" * 4096
SPAN = 32 << 20   # of the preallocated file, written round and round


def syncs(folder: pathlib.Path, seconds: float, sync, preallocated: bool) -> tuple[float, float]:
    """(a second, median in microseconds) of 4 KiB written and synced, one after the other, to a file in `folder`."""
    path = folder / "sync"
    file = os.open(path, os.O_CREAT | os.O_TRUNC | os.O_WRONLY, 0o600)
    try:
        if preallocated:   # written once, so that its extents are initialised
            for _ in range(SPAN >> 20):
                os.write(file, bytes(1 << 20))
            os.fsync(file)
        took, offset, begin = [], 0, time.perf_counter()
        before = begin
        while before - begin < seconds:
            os.pwrite(file, BLOCK, offset)
            sync(file)
            after = time.perf_counter()
            took.append(after - before)
            before, offset = after, offset + len(BLOCK)
            if preallocated:
                offset %= SPAN
        return len(took) / (before - begin), sorted(took)[len(took) // 2] * 1e6
    finally:
        os.close(file)
        path.unlink()


def measure(folder: pathlib.Path, results: Results, seconds: float) -> None:
    for test, sync, preallocated in (("fsync, growing file", os.fsync, False), ("fdatasync, growing file", os.fdatasync, False),
                                     ("fdatasync, preallocated file", os.fdatasync, True)):
        rate, median_us = syncs(folder, seconds, sync, preallocated)
        results.add("disk", test, per_second=rate, p50_us=median_us)
