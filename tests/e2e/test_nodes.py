"""Several processes on one PostgreSQL are nodes of one installation: they see each other, share what one of them does at a time, and go on when one dies,
stops for a while or leaves. And who may not be one is told why."""
from __future__ import annotations

import asyncio
import collections
import concurrent.futures
import contextlib
import fcntl
import json
import os
import pathlib
import signal
import socket
import subprocess
import threading
import time

import pytest

from support.configs import one_provider
from support.fake_upstream import ok, until as answers_after
from support.gateway import binary, free_port, wait_until

DUTIES = {"alerts", "anchors", "batches", "provider_batches", "rollups", "schedules", "sweeps"}
REFUSED, TAKEN_FOR_DEAD = 4, 75
FAKETIME = next(iter(pathlib.Path("/usr/lib").glob("*/faketime/libfaketime.so.1")), None)


@pytest.fixture
def nodes(upstream, postgres, gateway):
    """`nodes(n)`: so many of one installation; of another one's, if `url` is its."""
    def make(n: int, args: list[list[str]] = (), url: str = "", limits: list[dict] = (), **kw) -> list:
        url = url or postgres.fresh_url()
        return [gateway({"database": url, "drain": "20s", **one_provider(upstream, limits=list(limits))}, args=args[i] if args else [], **kw) for i in range(n)]
    return make


def seen_by(g) -> dict[str, dict]:
    """What this node sees, by address."""
    answer = g.admin.get("/api/nodes")
    assert answer.status == 200, answer.body
    return {n["address"]: n for n in answer.json()["nodes"]}


def of(g, other) -> dict:
    return seen_by(g).get(f"127.0.0.1:{other.port}", {})


def duties(g) -> dict[str, list[str]]:
    """Who has each, as this node sees it."""
    held: dict[str, list[str]] = {d: [] for d in DUTIES}
    for address, node in seen_by(g).items():
        for d in node["duties"] if node["state"] != "gone" else []:
            held[d].append(address)
    return held


def spread(g, nodes: list) -> bool:
    """Each duty has one holder, and nobody has two more than another."""
    held = duties(g)
    each = [sum([f"127.0.0.1:{n.port}"] == who for who in held.values()) for n in nodes]
    return sum(each) == len(DUTIES) and max(each) - min(each) <= 1


def not_a_member(g) -> bool:
    """By its own word, or it has ended what it was and is not yet anew."""
    try:
        return g.app.get("/readyz").json()["checks"]["member"] is False
    except OSError:
        return True


def until(check, seconds: float = 20) -> float:
    """How long it took."""
    began = time.monotonic()
    wait_until(check, seconds)
    return time.monotonic() - began


def test_nodes_see_each_other_share_duties_and_go_on_without_who_dies_or_leaves(nodes):
    a, b, c = all_ = nodes(3, args=[[], [], ["--drain-notice", "2s"]])
    for g in all_:
        until(lambda g=g: [n["state"] for n in seen_by(g).values()] == ["serving"] * 3)
    assert sorted(n["slot"] for n in seen_by(a).values()) == [0, 1, 2]
    assert len({json.dumps(sorted(n["name"] for n in seen_by(g).values())) for g in all_}) == 1
    load = of(a, b)["load"]
    assert load["memory_bytes"] > 1 << 20 and load["jobs"] == {"leased": 0, "ready": 0, "live": 0} and load["calls"] == 0 and load["database"]["queued"] >= 0
    until(lambda: spread(a, all_))
    assert a.metric("ballast_nodes", state="serving") == 3 and a.metric("ballast_node_beat_age_seconds") < 2
    until(lambda: sum(g.metric("ballast_node_duties") for g in all_) == len(DUTIES), 5)
    shown = a.command("nodes", "--config", str(a.file)).stdout
    assert all(f"127.0.0.1:{g.port}" in shown for g in all_) and shown.count("serving") == 3 and " *" in shown
    assert len(json.loads(a.command("nodes", "--json", "--config", str(a.file)).stdout)["nodes"]) == 3
    assert a.app.get("/api/nodes").status == 403

    had = set(of(a, b)["duties"])
    assert had
    b.kill()
    took = until(lambda: all(of(g, b)["state"] == "gone" for g in (a, c)) and spread(c, [a, c]))
    assert took < 6, f"dead, and its duties taken, after {took:.1f} s"        # 3 where the machine has nothing else to do: tests/chaos holds it to that
    until(lambda: spread(a, [a, c]))                      # of what c has just taken a hears with its next beat

    c.process.terminate()
    until(lambda: of(a, c)["state"] == "draining", 2)
    assert of(c, c)["state"] in ("draining", "serving") and c.app.chat("chat").succeeded(), "who has not heard of it is served"
    assert c.process.wait(30) == 0
    until(lambda: of(a, c)["state"] == "gone" and spread(a, [a]), 3)

    slot = of(a, b)["slot"]
    b.start()
    until(lambda: of(a, b).get("state") == "serving", 10)
    assert of(a, b)["slot"] == slot, "it is the same node again"


def test_who_is_stopped_in_the_middle_of_a_transaction_stops_nobody_else(nodes, postgres):
    """It holds the lock of its own row, which whoever declares it dead has to write, and those of the quotas."""
    a, b, c = nodes(3, limits=[{"scope": "key", "requests": "600/m"}])
    until(lambda: spread(a, [a, b, c]))
    assert all(g.app.chat("chat").succeeded() for g in (a, b, c))
    with subprocess.Popen([postgres.bin / "psql", "-X", "-q", "-h", postgres.folder, "-U", "ballast", "-d", postgres.name_of(a.config["database"])],
                          stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, bufsize=1) as session:
        session.stdin.write(f"BEGIN; SELECT 'held' FROM members WHERE address = '127.0.0.1:{b.port}' FOR UPDATE; SELECT 'held' FROM quotas FOR UPDATE;\n")
        waiting = "SELECT count(*) FROM pg_stat_activity WHERE wait_event_type = 'Lock' AND query ILIKE '%{}%'"
        wait_until(lambda: postgres.run(waiting.format("UPDATE members"), "postgres") == "1")
        wait_until(lambda: b.app.chat("chat") and postgres.run(waiting.format("FROM quotas"), "postgres") != "0")
        b.process.send_signal(signal.SIGSTOP)
        session.stdin.write("COMMIT;\n")
        session.stdin.close()
    try:
        until(lambda: of(a, b)["state"] == "gone" and spread(a, [a, c]))
        for g in (a, c):
            assert g.app.get("/readyz").status == 200 and g.app.chat("chat").succeeded()
            assert "taken_for_dead" not in g.log.read_text()
    finally:
        b.process.send_signal(signal.SIGCONT)
    until(lambda: of(a, b)["state"] == "serving", 60)


def test_who_was_taken_for_dead_ends_what_it_streams_and_starts_anew(upstream, nodes, tmp_path):
    """SIGSTOP is what a long pause of a virtual machine looks like: others go on without it, and it must not go on as if nothing had been."""
    upstream.script("model", ok(24, gap=0.25))
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as manager:
        manager.bind(str(tmp_path / "notify"))
        manager.setblocking(False)
        a, b, c = nodes(3, args=[[], [], ["--no-rejoin"]], env={"NOTIFY_SOCKET": str(tmp_path / "notify")})
        until(lambda: spread(a, [a, b, c]))
        told = []

        def ready() -> int:
            try:
                while True:
                    told.append(manager.recv(4096).decode())
            except BlockingIOError:
                return sum(t == f"READY=1\nSTATUS=serving on port {b.port}" for t in told)
        assert ready() == 1
        boot, before = of(a, b)["since"], open_files(b)

        async def stream():
            return await b.app.chat_async("chat", stream=True)

        async def pause():
            call = asyncio.create_task(stream())
            await asyncio.sleep(1)
            for g in (b, c):
                g.process.send_signal(signal.SIGSTOP)
            await asyncio.to_thread(until, lambda: all(of(a, g)["state"] == "gone" for g in (b, c)) and spread(a, [a]))
            for g in (b, c):
                g.process.send_signal(signal.SIGCONT)
            await asyncio.to_thread(until, lambda: call.done() or not_a_member(b))
            return await call
        reply = asyncio.run(pause())
        assert reply.succeeded(), "what was under way was ended first"
        until(lambda: of(a, b)["state"] == "serving" and of(a, b)["since"] > boot)
        until(lambda: ready() == 2)
    assert not any("STOPPING" in t for t in told), "for its service manager it went on"
    upstream.script("model", ok(3))
    assert b.alive() and b.app.get("/readyz").status == 200, "the same process, for whoever watches it"
    assert b.app.chat("chat").succeeded()
    until(lambda: all(n <= before[what] + 2 for what, n in open_files(b).items()), 10)
    assert not any(what.startswith("/proc/") for what in open_files(b))
    log = b.log.read_text()
    assert '"event":"taken_for_dead"' in log and log.count('"event":"started"') == 2
    assert c.process.wait(30) == TAKEN_FOR_DEAD
    c.process = None
    until(lambda: spread(a, [a, b]))


def test_what_was_being_answered_when_its_node_died_for_good_is_asked_again_elsewhere(upstream, nodes):
    """The keys of its calls are nobody's any more: a job makes its call again, and who asks by his own key is told what a restart would have told him."""
    dead = threading.Event()
    upstream.script("model", answers_after(dead.is_set, ok(5, delay=60), ok(5)))
    a, b = nodes(2)
    until(lambda: len(seen_by(b)) == 2 and all(n["state"] == "serving" for n in seen_by(b).values()))
    job = a.app.post("/api/jobs", {"call": {"body": {"model": "chat", "messages": [{"role": "user", "content": "Say the words."}]}}}).json()["id"]
    key = {"idempotency-key": "order-9"}
    with concurrent.futures.ThreadPoolExecutor(1) as pool:
        asked = pool.submit(lambda: a.app.chat("chat", headers=key))
        wait_until(lambda: len(upstream.seen()) == 2)
        assert "under way on another node" in b.app.chat("chat", headers=key).error()["message"]
        dead.set()
        a.kill()
        assert asked.exception(30)
    began = time.monotonic()
    done = b.app.get(f"/api/jobs/{job}?wait=30s").json()
    print(f"done elsewhere after {time.monotonic() - began:.1f} s")
    assert (done["state"], done["attempt"]) == ("done", 2), done
    assert time.monotonic() - began < 10
    told = b.app.chat("chat", headers=key)
    assert told.status == 409 and "outcome is unknown" in told.error()["message"], told.body
    assert len(upstream.seen()) == 3


def pulled(g) -> set[str]:
    """The tasks that a worker gets there within a second."""
    got = g.admin.post("/api/workers/pull", {"worker": "w", "queues": ["images"], "max": 20, "wait": "1s", "lease": "60s"})
    assert got.status == 200, got.body
    return {t["id"] for t in got.json()["tasks"]}


@pytest.mark.parametrize("holding", ["a stream", "a job"])
def test_who_is_told_to_end_hands_its_jobs_over_at_once(upstream, nodes, holding):
    """However long it still has to do: what it streams is finished, and nobody's job waits for that."""
    upstream.script("model", ok(40, gap=0.25))                  # ten seconds
    a, b = nodes(2)
    until(lambda: spread(a, [a, b]) and spread(b, [a, b]))
    plain = [a.admin.post("/api/jobs", {"queue": "images", "task": "resize"}).json()["id"] for _ in range(10)]
    keyed = [a.admin.post("/api/jobs", {"queue": "images", "task": "resize", "concurrency": {"key": "k", "limit": 5}}).json()["id"] for _ in range(5)]
    later = a.admin.post("/api/jobs", {"queue": "images", "task": "resize", "delay": "1s"}).json()["id"]
    body = {"model": "chat", "stream": True, "messages": [{"role": "user", "content": "Say the words."}]}
    with concurrent.futures.ThreadPoolExecutor(1) as pool:
        if holding == "a job":
            held = a.app.post("/api/jobs", {"call": {"body": body}}).json()["id"]
            wait_until(lambda: a.app.get(f"/api/jobs/{held}").json()["state"] == "running")
        stream = pool.submit(lambda: a.app.chat("chat", stream=True))
        wait_until(lambda: len(upstream.seen()) == (2 if holding == "a job" else 1))
        wanted = set(plain) if holding == "a job" else {*plain, *keyed, later}
        began = time.monotonic()
        a.process.terminate()
        had, last = set(), 0.0
        while wanted - had and time.monotonic() < began + 8:
            new = pulled(b)
            assert not had & new, "each once"
            had |= new
            last = time.monotonic() - began
        print(f"{holding}: the last of {len(had)} jobs began elsewhere {last:.2f} s after SIGTERM")
        assert wanted <= had and last < 2.5, (len(wanted - had), last)
        until(lambda: spread(b, [b]), 3)
        assert not stream.done() and of(b, a)["state"] == "draining"
        assert stream.result(60).succeeded()
    assert a.process.wait(60) == 0
    if holding == "a job":
        done = b.app.get(f"/api/jobs/{held}?wait=30s").json()
        assert (done["state"], done["attempt"]) == ("done", 1), "it was let end"
        until(lambda: had.update(pulled(b)) or {*keyed, later} <= had, 15)


def open_files(g) -> collections.Counter:
    """How many of each kind the process has: files by name, sockets and the rest by what they are."""
    kinds = collections.Counter()
    for fd in pathlib.Path(f"/proc/{g.process.pid}/fd").iterdir():
        with contextlib.suppress(OSError):
            kinds[os.readlink(fd).partition(":[")[0]] += 1
    return kinds


def refusal(config: dict, folder: pathlib.Path, env: dict[str, str] | None = None) -> str:
    """What a node that is refused says on standard error."""
    folder.mkdir(exist_ok=True)
    file = folder / "ballast.yaml"
    file.write_text(json.dumps(config))
    done = subprocess.run([binary(), "serve", "--config", str(file)], capture_output=True, text=True, timeout=60, cwd=folder, env=os.environ | (env or {}))
    assert done.returncode == REFUSED, (done.returncode, done.stdout[-2000:], done.stderr)
    assert done.stderr.startswith("ballast: "), done.stderr
    return done.stderr.splitlines()[-1]


def test_who_may_not_be_a_node_is_told_what_to_do(nodes, postgres, tmp_path):
    [a] = nodes(1)
    url, free = a.config["database"], f"127.0.0.1:{free_port()}"

    twice = refusal({**a.config, "listen": free}, tmp_path / "twice")
    assert "runs already, at 127.0.0.1:" + str(a.port) in twice and "a data_dir of its own" in twice
    assert a.alive() and of(a, a)["state"] == "serving"

    other = postgres.fresh_url()
    assert a.terminate() == 0
    a.config["database"], a.config["data_dir"] = other, str(tmp_path / "elsewhere")
    a.write_config()
    a.start()                                             # makes another installation
    stranger = refusal({**a.config, "listen": free, "data_dir": str(a.folder / "data")}, tmp_path / "stranger")
    assert stranger.startswith("ballast: database: ") and "belongs to the installation inst_" in stranger and "Name the right database" in stranger

    tables = postgres.run("SELECT count(*) FROM schema_migrations", postgres.name_of(url))
    postgres.run("INSERT INTO schema_migrations (module, version, name, checksum, applied_ms) VALUES ('cluster', 99, 'of tomorrow', 'x', 0)", postgres.name_of(url))
    newer = refusal({**a.config, "listen": free, "database": url, "data_dir": str(tmp_path / "newer")}, tmp_path / "newer")
    assert "written by a newer Ballast" in newer
    assert int(postgres.run("SELECT count(*) FROM schema_migrations", postgres.name_of(url))) == int(tables) + 1
    postgres.run("UPDATE schema_migrations SET oldest_beside = 1 WHERE version = 99", postgres.name_of(url))
    [b] = nodes(1, url=url)                               # its steps only add: one who does not know them runs beside it
    assert b.app.chat("chat").succeeded() and "schema_newer" in b.log.read_text()


def test_nodes_of_one_machine_may_share_a_port(upstream, postgres, gateway):
    url, listen = postgres.fresh_url(), f"127.0.0.1:{free_port()}"
    both = []
    for _ in range(2):
        g = gateway({"database": url, "listen": listen, "share_port": True, **one_provider(upstream)}, start=False)
        g.port = int(listen.rpartition(":")[2])
        both.append(g.start())
    g = both[0]
    wait_until(lambda: [n["state"] for n in g.admin.get("/api/nodes").json()["nodes"]] == ["serving"] * 2, 20)
    assert all(g.app.chat("chat").succeeded() for _ in range(40))
    wait_until(lambda: g.usage()["calls"] == 40)
    served = {g.admin.get("/api/nodes").json()["self"] for _ in range(40)}
    assert len(served) == 2, "the kernel deals connections out"
    g.kill()
    wait_until(lambda: both[1].app.chat("chat").succeeded())
    assert all(both[1].app.chat("chat").succeeded() for _ in range(10)), "the kernel gives the dead one's nothing"


@pytest.mark.skipif(not FAKETIME, reason="libfaketime is not installed (apt-get install libfaketime)")
@pytest.mark.parametrize("shift,word", [("-60s", "behind"), ("+60s", "ahead of")])
def test_a_wrong_clock_is_refused(postgres, tmp_path, shift, word):
    env = {"LD_PRELOAD": str(FAKETIME), "FAKETIME": shift, "FAKETIME_DONT_FAKE_MONOTONIC": "1"}
    said = refusal({"listen": f"127.0.0.1:{free_port()}", "database": postgres.fresh_url(), "data_dir": str(tmp_path / "data")}, tmp_path / "wrong", env)
    assert said.startswith("ballast: clock: ") and word in said and "NTP" in said


def test_one_file_is_one_node_which_does_everything(upstream, gateway):
    g = gateway(one_provider(upstream))
    [node] = seen_by(g).values()
    assert (node["slot"], node["state"], set(node["duties"])) == (0, "serving", DUTIES)
    assert g.metric("ballast_nodes", state="serving") == 1 and g.metric("ballast_node_duties") == len(DUTIES) and g.metric("ballast_node_beat_age_seconds") == 0
    threads = {(pathlib.Path(t) / "comm").read_text().strip() for t in pathlib.Path(f"/proc/{g.process.pid}/task").iterdir()}
    assert "cluster" not in threads, "nothing beats"


def test_what_a_node_left_is_found_though_its_next_process_died_before_it_began(nodes):
    """The second process of the folder has the node's place and nothing of its jobs: they are still of the first, whom no node knows any more."""
    [b] = nodes(1)
    job = b.admin.post("/api/jobs", {"queue": "images", "task": "resize"}).json()["id"]
    b.kill()
    with open(b.folder / "data" / "journal" / "lock") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        second = b.command("serve", "--config", str(b.file), check=False)
    assert second.returncode not in (0, REFUSED) and "journal" in second.stderr, second.stderr
    [c] = nodes(1, url=b.config["database"])
    [task] = c.admin.post("/api/workers/pull", {"worker": "w", "queues": ["images"], "max": 1, "wait": "20s", "lease": "30s"}).json()["tasks"]
    assert task["id"] == job


def test_a_job_comes_to_the_worker_that_waits_for_it_on_another_node(nodes):
    """The balancer sends the submitter here and the worker there: he gets it, and what he says of it through the first is heard at the second."""
    a, b = nodes(2)
    until(lambda: len(seen_by(a)) == 2 and all(n["state"] == "serving" for n in seen_by(a).values()))
    with concurrent.futures.ThreadPoolExecutor(1) as pool:
        waits = pool.submit(lambda: b.admin.post("/api/workers/pull", {"worker": "w", "queues": ["images"], "max": 1, "wait": "20s", "lease": "30s"}).json()["tasks"])
        job = a.admin.post("/api/jobs", {"queue": "images", "task": "resize", "payload": {"n": 1}}).json()["id"]
        [task] = waits.result(30)
    assert task["id"] == job and task["task"] == "resize"
    assert a.admin.post("/api/workers/heartbeat", {"tasks": [{"id": job, "fence": task["fence"]}], "lease": "60s"}).status == 200
    done = a.admin.post("/api/workers/complete", {"tasks": [{"id": job, "fence": task["fence"], "output": {"ok": True}}]}).json()["tasks"]
    assert done[0]["state"] == "done", done
    for g in (a, b):
        assert g.admin.get(f"/api/jobs/{job}").json()["output"] == {"ok": True}
