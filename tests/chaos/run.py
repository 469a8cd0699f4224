"""Chaos over three nodes: `make chaos`, or `python tests/chaos/run.py [--long] [--seed N]`. Says what it does; exit code 1 if anything was lost, done twice or
counted wrong. A run is repeated by its seed; what the machine makes of the moments is not."""
from __future__ import annotations

import argparse
import pathlib
import random
import shutil
import signal
import sys
import tempfile
import time

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1]))
from chaos import ground  # noqa: E402: found by then
from chaos.clients import Crowd  # noqa: E402
from chaos.fleet import Fleet, Server, Shop  # noqa: E402
from chaos.oracle import SHARED, Oracle, seconds  # noqa: E402
from chaos.storm import Storm, long_plan, short_plan  # noqa: E402
from support.fake_upstream import Behaviour, Seen, Upstream, Wire, ok  # noqa: E402


def arguments() -> argparse.Namespace:
    p = argparse.ArgumentParser(description=__doc__)
    p.add_argument("--long", action="store_true", help="10,000 jobs and as many calls, two faults at once, the database's replica promoted")
    p.add_argument("--seed", type=int, default=0, help="of the faults and the clients (0: any)")
    p.add_argument("--rounds", type=int, default=90, help="of the long form")
    p.add_argument("--calls", type=int, default=0)
    p.add_argument("--jobs", type=int, default=0)
    p.add_argument("--recovered-within", type=float, default=3.0, help="seconds from a node's death to its job in another's hands, at most")
    p.add_argument("--keep", action="store_true", help="leave the nodes' folders, with their logs")
    p.add_argument("--no-shared", action="store_true", help="without a budget and a limit that all nodes share")
    p.add_argument("--no-namespaces", action="store_true", help="loopback addresses and relays, as where the machine allows no namespaces")
    p.add_argument("--inside", action="store_true", help=argparse.SUPPRESS)
    return p.parse_args()


def slow(chance: random.Random) -> Behaviour:
    """A provider that takes its time, so that there is something to cut."""
    async def behave(wire: Wire, seen: Seen) -> None:
        await ok(20, delay=chance.uniform(0.0, 0.5), gap=0.005)(wire, seen)
    return behave


def configure(fleet: Fleet, storm: Storm) -> None:
    """A schedule that fires each second."""
    put = fleet.nodes[0].app.put("/api/schedules/beat", {"cron": "every 1s", "overlap": "allow", "catch_up": "none", "job": {"task": "ballast.noop", "tags": ["beat"], "attempts": 40}})
    assert put.status == 200, put.body
    storm.first_slot = seconds(put.json()["next"][0])


def main() -> int:
    args = arguments()
    if not args.inside and not args.no_namespaces and ground.allowed():
        ground.run_inside(sys.argv)
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    args.seed = args.seed or random.SystemRandom().randrange(1, 1 << 30)
    place = (ground.Namespaces if args.inside else ground.Loopback)(3)
    print(f"chaos, {'long' if args.long else 'short'}: --seed {args.seed}; {place.what}", flush=True)
    chance = random.Random(args.seed)
    plan = long_plan(chance, args.rounds, failover=True) if args.long else short_plan(chance)
    length = 6.5 * args.rounds if args.long else 22.0
    calls, jobs = args.calls or (10_000 if args.long else 600), args.jobs or (10_000 if args.long else 300)
    folder = pathlib.Path(tempfile.mkdtemp(prefix="ballast-chaos-"))
    upstream = Upstream(slow(random.Random(args.seed)), host=place.world)
    shop, server, fleet, wrong = Shop(place.world, args.seed), None, None, ["it broke off"]
    try:
        server = Server(place.database, replica=args.long)
        fleet = Fleet(place, server, upstream, shop, folder, {} if args.no_shared else SHARED)
        assert fleet.whole(60), "the nodes do not come up:\n" + fleet.nodes[0].log.read_text()[-2000:]
        crowd = Crowd(fleet.nodes, args.seed, calls, jobs, length, capped=0 if args.no_shared else 120)
        storm = Storm(fleet, server, place, crowd)
        configure(fleet, storm)
        crowd.begin()
        storm.run(plan)
        storm.say("calm")
        oracle = Oracle(fleet, server, upstream, shop, crowd, storm, not args.no_shared, args.recovered_within)
        fleet.nodes[0].app.put("/api/schedules/beat", {"cron": "every 1s", "job": {"task": "ballast.noop"}, "enabled": False})
        oracle.wait(max(60.0, length))
        wrong = oracle.judge()
        storm.say(f"{len(crowd.books.calls)} calls and {len(crowd.books.jobs)} jobs; tries that failed: {dict(crowd.books.tries)}; the longest wait {crowd.books.slowest:.1f} s; "
                  f"processes ended: {dict(fleet.ends)}")
        print("\n".join(f"WRONG: {w}" for w in wrong[:40]) or "nothing was lost, done twice or counted wrong", flush=True)
        return 1 if wrong else 0
    finally:
        for part in (fleet, shop, upstream, server, place):
            if part:
                part.stop()
        if args.keep or wrong:
            print(f"--seed {args.seed}; the nodes' folders: {folder}")
        else:
            shutil.rmtree(folder, ignore_errors=True)


if __name__ == "__main__":
    sys.exit(main())
