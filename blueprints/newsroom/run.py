#!/usr/bin/env python3
"""Sends a text through the newsroom and tells of each stage as it comes.

    python3 run.py sources/ferry.txt                    # the first line is the title
    python3 run.py sources/ferry.txt --approval by-risk
    python3 run.py --follow job_…                       # an earlier run, from its beginning

It waits where an editor is asked and says how to answer; Ctrl-C leaves the run to itself.
"""
from __future__ import annotations

import argparse
import hashlib
import json
import os
import pathlib
import sys
import time
import urllib.error
import urllib.request

URL = os.environ.get("BALLAST_SERVER", "http://127.0.0.1:8080").rstrip("/")
WIRE = os.environ.get("WIRE_KEY", "sk-wire-of-this-example-only")
ENDED = ("done", "dead", "cancelled")


def call(method: str, path: str, body=None, headers: dict | None = None):
    data = None if body is None else json.dumps(body).encode()
    request = urllib.request.Request(URL + path, data, {"authorization": f"Bearer {WIRE}", "content-type": "application/json", **(headers or {})}, method=method)
    return urllib.request.urlopen(request, timeout=90)


def submit(file: str, flags) -> str:
    title, _, text = pathlib.Path(file).read_text(encoding="utf-8").strip().partition("\n")
    story = {"title": title.strip(), "text": text.strip()}
    if flags.approval:
        story["approval"] = flags.approval
    # The same text is the same run, also if this is started twice: --again makes another.
    key = hashlib.sha256(json.dumps(story, sort_keys=True).encode()).hexdigest() + (str(time.time_ns()) if flags.again else "")
    with call("POST", "/api/jobs", {"flow": "newsroom", "input": story, "tags": ["newsroom"]}, {"idempotency-key": key}) as answer:
        return json.load(answer)["id"]


def tell(job: str) -> dict:
    """Follows the run's events to its end, over a restart of the server too."""
    last, told = "", set()
    while True:
        try:
            with call("GET", f"/api/jobs/{job}/events", headers={"last-event-id": last} if last else {}) as events:
                kind = ""
                for line in events:
                    name, _, value = line.decode().rstrip("\n").partition(": ")
                    if name == "id":
                        last = value
                    elif name == "event":
                        kind = value
                    elif name == "data" and kind == "stage":
                        stage(json.loads(value), told)
            with call("GET", f"/api/jobs/{job}") as answer:
                state = json.load(answer)
            if state["state"] in ENDED:
                return state
        except urllib.error.HTTPError as e:
            if e.code < 500:
                raise SystemExit(f"{e.code}: {e.read().decode()[:300]}")
        except OSError:
            pass
        time.sleep(1)


def stage(s: dict, told: set) -> None:
    line = f"  {s['stage']:14} {s['what']}"
    if "confidence" in s:
        line += f"   confidence {s['confidence']:.2f}"
    if "error" in s:
        line += f"   attempt {s['attempt']}: {s['error']['message']}"
    print(line, flush=True)
    if s["stage"] == "approval" and s["what"] == "started" and "approval" not in told:
        told.add("approval")
        print("                 an editor is asked:  ballast inbox list,  then  ballast inbox show ID  and  ballast inbox approve ID --digest DIGEST", flush=True)


def main() -> None:
    ask = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    ask.add_argument("file", nargs="?")
    ask.add_argument("--approval", choices=["always", "by-risk", "by-sample", "never"])
    ask.add_argument("--again", action="store_true", help="a new run, although this text had one")
    ask.add_argument("--follow", metavar="ID")
    flags = ask.parse_args()
    if bool(flags.file) == bool(flags.follow):
        ask.error("name a text, or a run with --follow")
    job = flags.follow or submit(flags.file, flags)
    print(job, flush=True)
    try:
        end = tell(job)
    except KeyboardInterrupt:
        sys.exit(f"\nthe run goes on; python3 run.py --follow {job}")
    if end["state"] != "done":
        sys.exit(f"{end['state']}: {json.dumps(end.get('error'))}")
    print(json.dumps(end["output"], indent=1))


if __name__ == "__main__":
    main()
