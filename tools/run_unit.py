#!/usr/bin/env python3
"""The tests of a build folder: each room's binary in a few processes, as many at once as there are cores (or `-j`).

A process runs some tens of tests, not one: under AddressSanitizer a start and an end take longer than most tests do. What fails is printed with all
that it said; a process that dies, or stands still for `--limit` seconds, fails the test it was at, and the rest of its share runs in another one.
The last line adds up. Exit code 1 if anything failed."""
from __future__ import annotations

import argparse
import concurrent.futures
import dataclasses
import os
import pathlib
import re
import subprocess
import sys
import tempfile
import time

SHARE = 40                      # tests a process
SLOWEST = 10
GIST = 12                       # lines
BEGUN = re.compile(rb"^\[ RUN      \] (\S+)", re.M)
ENDED = re.compile(rb"^\[ +(OK|FAILED|SKIPPED) +\] ([^\s,]+)[^\n]*?\((\d+) ms\)", re.M)


@dataclasses.dataclass
class Outcome:
    """Of a share of a binary's tests: how long each took, by what became of it; what the failed ones said."""
    passed: dict[str, float] = dataclasses.field(default_factory=dict)
    skipped: list[str] = dataclasses.field(default_factory=list)
    failed: dict[str, str] = dataclasses.field(default_factory=dict)


def tests_of(program: pathlib.Path) -> list[str]:
    listed = subprocess.run([program, "--gtest_list_tests"], capture_output=True, text=True, check=True).stdout
    out, suite = [], ""
    for line in listed.splitlines():
        word = line.partition("#")[0].rstrip()
        if not word.startswith(" "):
            suite = word if word.endswith(".") else ""
        elif suite and not word.strip().startswith("DISABLED_") and not suite.startswith("DISABLED_"):
            out.append(suite + word.strip())
    return out


def read(said: bytes, outcome: Outcome) -> str:
    """Adds what one process said to `outcome`; the test that had begun and not ended, or ''."""
    begun = [(m.start(), m[1].decode()) for m in BEGUN.finditer(said)]
    ended = {m[2].decode(): (m[1], int(m[3]) / 1000, m.end()) for m in ENDED.finditer(said)}
    for at, name in begun:
        if name not in ended:
            return name
        what, seconds, end = ended[name]
        if what == b"OK":
            outcome.passed[name] = seconds
        elif what == b"SKIPPED":
            outcome.skipped.append(name)
        else:
            outcome.failed[name] = said[at:end].decode(errors="replace")
    return ""


def run(program: pathlib.Path, tests: list[str], limit: float) -> Outcome:
    outcome, left = Outcome(), tests
    while left:
        with tempfile.TemporaryFile() as out:
            process = subprocess.Popen([program, "--gtest_filter=" + ":".join(left)], stdout=out, stderr=subprocess.STDOUT, stdin=subprocess.DEVNULL, cwd=program.parent)
            ending, seen, still = None, 0, time.monotonic()
            while ending is None:
                try:
                    ending = process.wait(1)
                except subprocess.TimeoutExpired:
                    size = os.fstat(out.fileno()).st_size
                    if size != seen:
                        seen, still = size, time.monotonic()
                    elif time.monotonic() - still > limit:
                        process.kill()
            out.seek(0)
            said = out.read()
        at = read(said, outcome)
        told = outcome.passed.keys() | set(outcome.skipped) | outcome.failed.keys()
        # Nothing had begun, or all had ended, and yet it failed: a leak found at the end, or a binary that does not start.
        if ending != 0 and not at and not (outcome.failed.keys() & set(left)):
            at = next((t for t in left if t not in told), f"{program.name} at its end")
        if at:
            outcome.failed[at] = f"{program.name} ended with {ending}\n" + said.decode(errors="replace")[-20_000:]
        rest = [t for t in left if t not in told and t != at]
        if not at and rest:
            outcome.failed[rest[0]] = f"{program.name} did not run it"
            rest = rest[1:]
        left = rest
    return outcome


def gist(said: str) -> list[str]:
    """Of what a failed test said, what tells most: from where the first expectation failed or a sanitizer spoke; else its last lines."""
    lines = [line[:300] for line in said.splitlines() if line.strip() and not line.startswith("{")]
    at = next((i for i, line in enumerate(lines) if re.search(r": Failure$|ERROR: |runtime error: |C\+\+ exception|terminate called|Assertion", line)), max(0, len(lines) - GIST))
    return lines[at:at + GIST]


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=pathlib.Path)
    parser.add_argument("-j", type=int, default=os.cpu_count())
    parser.add_argument("--limit", type=float, default=300, help="seconds that a process may say nothing")
    parser.add_argument("--room", action="append", default=[], help="only test_ROOM; may be given several times")
    parser.add_argument("--filter", default="", help="a regular expression of tests' names")
    args = parser.parse_args()
    shares = []
    for program in sorted((args.folder.resolve() / "tests").glob("test_*")):
        if program.is_file() and os.access(program, os.X_OK) and (not args.room or program.name.removeprefix("test_") in args.room):
            tests = [t for t in tests_of(program) if re.search(args.filter, t)]
            count = -(-len(tests) // SHARE)
            shares += [(program, tests[i::count]) for i in range(count)]       # every so many-th: what is long often stands together
    if not shares:
        print(f"no tests in {args.folder}", file=sys.stderr)
        return 1
    whole = Outcome()
    with concurrent.futures.ThreadPoolExecutor(args.j) as pool:
        for one in concurrent.futures.as_completed([pool.submit(run, *share, args.limit) for share in shares]):
            got = one.result()
            whole.passed |= got.passed
            whole.skipped += got.skipped
            whole.failed |= got.failed
            for name, said in got.failed.items():
                print(f"\n---- {name}\n{said}", flush=True)
    print("slowest: " + ", ".join(f"{name} {seconds:.1f} s" for name, seconds in sorted(whole.passed.items(), key=lambda t: -t[1])[:SLOWEST]))
    if whole.skipped:
        print("skipped: " + ", ".join(sorted(whole.skipped)))
    for name, said in sorted(whole.failed.items()):
        print("\n    ".join([f"FAILED {name}", *gist(said)]))
    print(f"{len(whole.passed)} passed, {len(whole.failed)} failed, {len(whole.skipped)} skipped")
    return 1 if whole.failed else 0


if __name__ == "__main__":
    sys.exit(main())
