"""Stands outside and judges a run by the books of the clients, of the providers and of the shop, against what the nodes say when all is calm again."""
from __future__ import annotations

import collections
import datetime
import itertools
import random
import re
import time

from support.configs import INPUT, OUTPUT
from support.fake_upstream import Upstream
from support.gateway import cost_nano, nano

from .clients import Books, Crowd
from .fleet import Fleet, Server, Shop
from .storm import Storm

ENDED = ("done", "dead", "cancelled")
CAP, CAP_NANO, LIMIT = "$0.002", 2_000_000, 30       # of the feature `capped`; requests a minute of `limited`
SHARED = {"budgets": [{"name": "capped", "scope": "feature", "match": "capped", "amount": CAP, "per": "day"}],
          "limits": [{"scope": "feature", "match": "limited", "requests": f"{LIMIT}/m"}]}


class Oracle:
    def __init__(self, fleet: Fleet, server: Server, upstream: Upstream, shop: Shop, crowd: Crowd, storm: Storm, shared: bool, recovered_within: float):
        self.fleet, self.server, self.upstream, self.shop, self.crowd, self.storm = fleet, server, upstream, shop, crowd, storm
        self.shared, self.recovered_within = shared, recovered_within
        self.books: Books = crowd.books
        self.wrong: list[str] = []

    def check(self, holds: bool, what: str) -> None:
        if not holds:
            self.wrong.append(what)

    def same(self, what: str, a, b) -> None:
        self.check(a == b, f"{what}: {a!r} is not {b!r}")

    # ---- what the nodes say

    def node(self):
        return self.fleet.nodes[0]

    def pages(self, node, path: str, member: str) -> list[dict]:
        out, before = [], ""
        while True:
            got = node.admin.get(f"{path}{'&' if '?' in path else '?'}limit=1000" + (f"&before={before}" if before else ""))
            assert got.status == 200, got.body[:500]
            out += got.json()[member]
            before = got.json().get("next", "")
            if not before:
                return out

    def jobs(self, node) -> dict[str, dict]:
        listed = self.pages(node, "/api/jobs", "jobs")
        self.same("a job is listed once", len({j["id"] for j in listed}), len(listed))
        return {j["id"]: j for j in listed}

    # ---- when all is calm

    def wait(self, seconds: float) -> None:
        """Until every client has what it wants and every job that can end has."""
        until = time.monotonic() + seconds
        while not self.crowd.idle.is_set() and time.monotonic() < until:
            time.sleep(0.1)
        self.check(self.crowd.idle.is_set(), f"clients still wait {seconds:.0f} s after the storm: {len(self.books.calls)} of {self.crowd.calls} calls answered, "
                                             f"{len(self.books.jobs)} of {self.crowd.jobs} jobs accepted; tries {dict(self.books.tries)}")
        while time.monotonic() < until and self.open_jobs():
            time.sleep(0.2)
        self.check(not self.open_jobs(), f"jobs that never ended: {self.open_jobs()[:10]}")
        self.crowd.finish()
        self.check(self.fleet.whole(30), "the nodes do not all serve")
        for node in self.fleet.nodes:
            try:
                node.settled()
            except AssertionError:
                self.wrong.append(f"the journal of {node.folder.name} is not wholly imported")

    def open_jobs(self) -> list[str]:
        rows = self.server.rows("SELECT id, kind, state, name FROM jobs WHERE live = 1 AND name <> 'later' ORDER BY id LIMIT 20")
        return [" ".join(r) for r in rows]

    def judge(self) -> list[str]:
        self.wrong += self.crowd.broken + self.books.refused + self.storm.wrong + self.fleet.bad_ends
        for check in (self.acknowledged, self.effects, self.leases, self.keys, self.schedule, self.ledger, self.agreement, self.recovery, self.sums, self.boards):
            try:
                check()
            except Exception as e:                         # an answer that cannot be read is a finding, and hides no other
                self.wrong.append(f"{check.__name__}: {e!r}"[:800])
        return self.wrong

    def acknowledged(self) -> None:
        """Every job that was accepted is there once, under one id, and done."""
        for n, ids in self.books.ids.items():
            self.same(f"one Idempotency-Key is one job: job-{n}", len(ids), 1)
        found = self.jobs(self.node())
        mine = {id for id, j in found.items() if "storm" in j.get("tags", [])}
        self.same("jobs that were accepted and that are there", {id for _, id in self.books.jobs.values()} ^ mine, set())
        not_done = collections.Counter()
        example = ""
        for n, (kind, id) in self.books.jobs.items():
            state = found.get(id, {}).get("state", "lost")
            if state != ("queued" if kind == "later" else "done"):
                not_done[f"{kind} {state}"] += 1
                example = f"{id}: {found.get(id, {}).get('error')}"
        self.check(not not_done, f"accepted and not done: {dict(not_done)}, such as {example}")
        calls = {r.headers.get("x-ballast-call-id") for r in self.books.calls.values()}
        self.same("each caller has a call of its own", len(calls), len(self.books.calls))

    def effects(self) -> None:
        """Each thing that a flow does outside is done once by its key, whoever asked how often, and under fences that rise."""
        expected = {"/charge": "charge", "/pay": "pay", "/told": "mixed"}
        again = 0
        by = collections.defaultdict(list)
        for at, path, key, n, fence in sorted(self.shop.asked):
            by[path, n].append((key, fence))
        for (path, n), asked in by.items():
            again += len(asked) > 1
            self.same(f"keys of {path} of job {n}", len({key for key, _ in asked}), 1)
            fences = [f for _, f in asked]
            self.check(fences == sorted(fences), f"{path} of job {n} was asked for under fences that fall: {fences}")
        for path, kind in expected.items():
            self.same(f"{path} was asked for by its jobs alone", {n for p, n in by if p == path} ^ {n for n, (k, _) in self.books.jobs.items() if k == kind}, set())
        keys = [next(iter({k for k, _ in asked})) for asked in by.values()]
        self.same("keys of effects are each of one", len(set(keys)), len(keys))
        print(f"         {len(by)} effects, {again} asked for more than once under their key")

    def leases(self) -> None:
        """Fences of a job rise; one word of its end counts, and it is the one that is kept."""
        by = collections.defaultdict(list)
        for lease in self.books.leases:
            by[lease.job].append(lease)
        for job, held in by.items():
            fences = [lease.fence for lease in sorted(held, key=lambda lease: lease.began)]
            self.check(fences == sorted(set(fences)), f"the fences of {job} do not rise: {fences}")
            done = [lease for lease in held if lease.told == "done"]
            self.check(len(done) <= 1, f"{job} was completed {len(done)} times")
        finals = {id: n for n, (kind, id) in self.books.jobs.items() if kind in ("task", "keyed-task")}
        for job in random.Random(1).sample(sorted(finals), min(60, len(finals))):
            output = self.node().admin.get(f"/api/jobs/{job}").json().get("output")
            self.same(f"the output of {job}", (output or {}).get("n"), finals[job])
            done = [lease for lease in by[job] if lease.told == "done"]
            if done and output:
                self.same(f"whose word of {job} was kept", output["fence"], str(done[0].fence))
        told = collections.Counter(lease.told or "nothing" for lease in self.books.leases)
        print(f"         {len(self.books.leases)} leases of workers: {dict(told)}")

    def keys(self) -> None:
        """What has a concurrency key of one never ran twice at once: in workers' hands, and at the provider."""
        spans = collections.defaultdict(list)
        for lease in self.books.leases:
            if lease.key and lease.told != "died":
                spans["task " + lease.key].append((lease.began, lease.ended or lease.began, lease.job, ""))
        keyed = {n for n, (kind, _) in self.books.jobs.items() if kind == "keyed-call"}
        for seen in self.upstream.seen():
            n = number_of(seen, "j")
            if n in keyed and seen.until:
                spans[f"call k{n % 5}"].append((seen.at, seen.until, str(n), seen.headers.get("authorization", "")[-1:]))
        for key, held in spans.items():
            held.sort()
            for a, b in itertools.pairwise(held):
                self.check(b[0] >= a[1], f"{key} ran twice at once: {a[2]} of {a[3]} until {a[1]:.3f}, {b[2]} of {b[3]} from {b[0]:.3f}")
        print(f"         {sum(map(len, spans.values()))} held a concurrency key")

    def schedule(self) -> None:
        told = self.node().app.get("/api/schedules/beat").json()
        made = [j for j in self.jobs(self.node()).values() if j.get("origin") == "schedule"]
        slots = seconds(told["last"]) - self.storm.first_slot + 1
        self.check(0.3 * slots <= len(made) <= slots, f"{len(made)} jobs of {slots:.0f} slots")
        print(f"         {len(made)} jobs of {slots:.0f} slots of a schedule")

    def ledger(self) -> None:
        """Each call once; what is known to the nano-dollar, and what nobody knows is a call that a fault cut, at its ceiling."""
        rows = self.pages(self.node(), "/api/calls?view=row", "calls")
        self.same("a call is recorded once", len({r["id"] for r in rows}), len(rows))
        unknown = collections.defaultdict(list)
        for u in self.pages(self.node(), "/api/budgets/unknown", "unknown"):
            unknown[u["call"]].append(nano(u["charged_usd"]))
        asked = collections.defaultdict(list)
        for seen in self.upstream.seen():
            asked[seen.body["messages"][-1]["content"].split()[0]].append(cost_nano(seen.prompt_tokens, seen.output_tokens, INPUT, OUTPUT))
        known, held = collections.Counter(), 0
        cut = collections.Counter()
        for r in rows:
            who = r["user"]
            at_ceiling = unknown.get(r["id"], [])
            cut[who] += len(at_ceiling)
            held += sum(at_ceiling)
            known[who] += nano(r["incurred_usd"]) - sum(at_ceiling)
        for who in {*known, *cut} - {""}:
            costs = sorted(asked.get(who, []))
            # Of those that were asked, as many as were cut may be missing from what is known.
            possible = {sum(costs) - sum(lost) for k in range(min(cut[who], len(costs)) + 1) for lost in itertools.combinations(costs, k)}
            self.check(known[who] in possible, f"{who}: {known[who]} nano-dollars are known, the provider charged {costs}, {cut[who]} attempts were cut")
        self.same("nobody paid for what is in no book", {w for w in asked if w[0] in "cj"} - {*known, *cut}, set())
        total = sum(known.values()) + held
        usage = self.node().usage()
        self.same("the ledger's total", usage["incurred"], total)
        ids = {r["id"] for r in rows}
        self.same("answered calls that the ledger does not have", [r.headers["x-ballast-call-id"] for r in self.books.calls.values() if r.headers["x-ballast-call-id"] not in ids], [])
        kept = {r["user"] for r in rows if r["status"] == "ok"}
        self.same("answered calls that are not recorded as answered", sorted({f"c{n}" for n, r in self.books.calls.items() if r.status == 200} - kept)[:5], [])
        answered = sum(len(v) for v in asked.values())
        print(f"         {len(rows)} calls recorded, {answered} answered by the provider, {sum(map(len, unknown.values()))} attempts of unknown cost; {usage['incurred'] / 1e9:.9f} dollars, to the nano-dollar")

    def agreement(self) -> None:
        """Whomever one asks, the answer is the same."""
        told = [(n.usage(), {i: j["state"] for i, j in self.jobs(n).items()}, sorted((m["name"], m["state"]) for m in n.admin.get("/api/nodes").json()["nodes"])) for n in self.fleet.nodes]
        for what, values in zip(("usage", "jobs", "nodes"), zip(*told)):
            self.check(all(v == values[0] for v in values), f"nodes do not agree about {what}")

    def recovery(self) -> None:
        for what, took in (("a dead node's job", self.storm.recoveries), ("the job of one that was told to end", self.storm.handovers)):
            if took:
                print(f"         {what} was in another's hands after {sorted(took)[len(took) // 2]:.2f} s (median), {max(took):.2f} s (worst of {len(took)})")
                self.check(max(took) <= self.recovered_within, f"{what} waited {max(took):.2f} s")

    def sums(self) -> None:
        """What one budget and one limit let through on all nodes together."""
        if not self.shared:
            return
        rows = self.pages(self.node(), "/api/calls?view=row&feature=capped", "calls")
        spent = sum(nano(r["incurred_usd"]) for r in rows)
        self.check(CAP_NANO / 4 < spent <= CAP_NANO, f"a budget of {CAP_NANO} nano-dollars let {spent} through")
        limited = {r["id"] for r in self.pages(self.node(), "/api/calls?view=row&feature=limited", "calls")}
        passed = sorted(s.at for s in self.upstream.seen() if number_of(s, "x") is not None and number_of(s, "x") % 2 == 0)
        for i, j in itertools.combinations(range(len(passed)), 2):
            most = LIMIT + LIMIT * (passed[j] - passed[i]) / 60 + 2
            if j - i + 1 > most:
                self.wrong.append(f"a limit of {LIMIT} a minute let {j - i + 1} through in {passed[j] - passed[i]:.1f} s")
                break
        self.check(self.books.over_budget > 0 and self.books.over_limit > 0, "nobody met the budget or the limit")
        print(f"         a budget of {CAP_NANO} let {spent} through, a limit of {LIMIT} a minute {len(passed)} of {len(limited)}")

    def boards(self) -> None:
        """What still waits is on one board each: as many as there are, and each can be called off through any node."""
        later = [id for kind, id in self.books.jobs.values() if kind == "later"]

        def live() -> int:
            return sum(m["load"]["jobs"]["live"] for m in self.node().admin.get("/api/nodes").json()["nodes"] if m["state"] == "serving")
        until = time.monotonic() + 5
        while live() != len(later) and time.monotonic() < until:
            time.sleep(0.2)
        self.same("jobs on all boards together, and jobs that wait", live(), len(later))
        for i, id in enumerate(later):
            done = self.fleet.nodes[i % 3].app.post(f"/api/jobs/{id}/cancel", {})
            self.check(done.status == 200, f"{id} cannot be called off: {done.status} {done.body[:200]!r}")
        until = time.monotonic() + 5
        while live() and time.monotonic() < until:
            time.sleep(0.2)
        self.same("jobs on boards when all have ended", live(), 0)


def number_of(seen, who: str) -> int | None:
    """Of the job or the call that a request to the provider is for."""
    found = re.match(rf"{who}(\d+) ", seen.body["messages"][-1]["content"])
    return int(found[1]) if found else None


def seconds(text: str) -> float:
    return datetime.datetime.fromisoformat(text.replace("Z", "+00:00")).timestamp()
