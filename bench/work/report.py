"""The figures as tables, with each one's durability mode, and against the goals."""
from __future__ import annotations

import ballast
import bullmq
import restate
import skiplocked
from measuring import Results, number

# Case → durability mode, in the order of the tables.
MODES = {"bullmq": bullmq.MODE, "skiplocked": skiplocked.MODE, "restate": restate.MODE,
         **{f"ballast {name}": mode for name, mode in ballast.MODES.items()}}
NAMES = {"bullmq": "BullMQ", "skiplocked": "SKIP LOCKED", "restate": "Restate", "ballast sqlite": "Ballast", "ballast postgres": "Ballast"}
FLOWS = [*ballast.CLIENTS, "in bulk"]
ACCEPTED, COMPLETED = "accepted_per_second", "completed_per_second"
# Where each case keeps (accepted, completed, full life) a second: a test's name and its values' names.
NOOP = [("bullmq", f", {bullmq.WORKERS} processes", "noop", "add", "process"),
        ("skiplocked", f", {skiplocked.CLIENTS} clients, batches of {skiplocked.BATCH}", "noop", "enqueue", "dequeue"),
        *[(f"ballast {d}", how, test, ACCEPTED, COMPLETED) for d in ballast.MODES
          for how, test in ((", in process", "noop in process"), (", external workers", "noop external"), (", 8 clients, batches of 10", "noop in tens"))]]


class Report:
    def __init__(self, results: Results):
        self.m, self.out, self.missed = results.median, [], []
        self.results = results

    def table(self, title: str, head: list[str], rows: list[list[str]]) -> None:
        """Rows without a figure are left out, and so is a table without rows."""
        rows = [r for r in rows if any(c != "–" for c in r[2:])]
        if rows:
            self.out += [f"\n**{title}**\n", "| " + " | ".join(head) + " |", "|" + "---|" * len(head)]
            self.out += ["| " + " | ".join(r) + " |" for r in rows]

    def figures(self, title: str, tests: dict[str, str], values: dict[str, str]) -> None:
        """`tests`: name → what to call it; `values`: name → head of its column."""
        self.table(title, ["", "durability", *values.values()],
                   [[NAMES[case] + called, mode, *[number(self.m(case, test, v)) for v in values]]
                    for case, mode in MODES.items() for test, called in tests.items()])

    def goal(self, what: str, value: float | None, better: str, goal: float, unit: str) -> None:
        if value is None:
            return
        good = value >= goal if better == "≥" else value <= goal
        self.out.append(f"| {what} | {number(value)} {unit} | {better} {goal:,g} | {'reached' if good else '**missed**'} |")
        if not good:
            self.missed.append(what)

    def ratio(self, case: str, test: str, value: str, peer: float | None) -> float | None:
        mine = self.m(case, test, value)
        return mine / peer if mine and peer else None

    def beside_restate(self) -> None:
        """How many times Restate's figure Ballast's is (of times: Ballast's its), so that more is better everywhere."""
        what = [*[(how, "flows a second", f"flow, {how}", "per_second") for how in ballast.CLIENTS],
                *[("one client", f"{v[:3]} of a flow", "flow, one client", v) for v in ("p50_ms", "p99_ms")],
                ("the server killed", "until what it held runs again", "kill of the server", "again_s")]
        rows = []
        for how, called, test, value in what:
            ratios = [self.ratio(f"ballast {d}", test, value, self.m("restate", test, value)) for d in ballast.MODES]
            rows.append([how, called, *[number(v and (v if value == "per_second" else 1 / v)) for v in ratios]])
        self.table("Ballast: how many times as good as Restate", ["", "", *[mode.split(",")[0] for mode in ballast.MODES.values()]], rows)

    def goals(self) -> None:
        m, lite, postgres = self.m, "ballast sqlite", "ballast postgres"
        # BullMQ's better figure: that of processing what was added before.
        peer = max((v for v in (m("bullmq", "noop", "per_second"), m("bullmq", "noop", "process")) if v), default=None)
        self.out += ["\n**Ballast against its goals**\n", "| what | measured | goal | |", "|---|---|---|---|"]
        before = len(self.out)
        for how, test in (("in process", "noop in process"), ("external workers", "noop external")):
            self.goal(f"no-op jobs, full life, {how}, SQLite", self.ratio(lite, test, "per_second", peer), "≥", 3, "× BullMQ")
        self.goal("accepting on PostgreSQL, 8 clients, tens", self.ratio(postgres, "noop in tens", ACCEPTED, m("skiplocked", "noop", "enqueue")),
                  "≥", .5, "× SKIP LOCKED")
        self.goal("completing on PostgreSQL, 8 clients, tens", self.ratio(postgres, "noop in tens", COMPLETED, m("skiplocked", "noop", "dequeue")),
                  "≥", .5, "× SKIP LOCKED")
        self.goal("end to end at 200/s, median", m(lite, "latency 200/s", "p50_ms"), "≤", .6, "ms")
        self.goal("three pure stages, one client, median", m(lite, "flow, one client", "p50_ms"), "≤", 1.5, "ms")
        flows = [v for v in (m(lite, f"flow, {how}", "per_second") for how in FLOWS[1:]) if v]
        self.goal("three pure stages, saturated", max(flows, default=None), "≥", 7000, "flows/s")
        for case, mode in MODES.items():
            if case.startswith("ballast"):
                for what in ("a worker", "the server"):
                    self.goal(f"again after the kill of {what}, {mode.split(',')[0]}", m(case, f"kill of {what}", "again_s"), "≤", 2, "s")
        if len(self.out) == before:
            del self.out[-3:]


def text(results: Results) -> tuple[str, list[str]]:
    """The whole report, and the goals that were missed."""
    r = Report(results)
    r.table("The disk: 4 KiB written and synced, one after the other", ["", "a second", "lowest to highest", "median µs"],
            [[test, number(r.m("disk", test, "per_second")), " to ".join(number(f(values["per_second"])) for f in (min, max)),
              number(r.m("disk", test, "p50_us"))] for (case, test), values in results.samples.items() if case == "disk"])
    r.table("No-op jobs a second, 200 bytes each", ["", "durability", "accepted", "completed", "full life"],
            [[NAMES[case] + how, MODES[case], *[number(r.m(case, test, v)) for v in (accepted, completed, "per_second")]]
             for case, how, test, accepted, completed in NOOP])
    r.figures("At 200 jobs a second, open loop, ms", {"latency 200/s": "", "latency 200/s, a worker": ", a worker outside"},
              {"begun_p50_ms": "a worker has it, p50", "p50_ms": "the submitter knows it is done, p50", "p99_ms": "p99"})
    r.figures("A flow of three pure stages", {f"flow, {how}": f", {how}" for how in FLOWS},
              {"per_second": "flows a second", "p50_ms": "p50 ms", "p99_ms": "p99 ms"})
    r.figures("After SIGKILL, seconds", {"kill of a worker": ", a worker", "kill of the server": ", the server"},
              {"ready_s": "it answers again", "again_s": "what it held has run again", "done_s": f"{ballast.KILL_BACKLOG:,} jobs are done"})
    r.beside_restate()
    r.goals()
    return "\n".join(r.out), r.missed
