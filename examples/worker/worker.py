#!/usr/bin/env python3
"""A worker of Ballast in Python's standard library: pulls tasks, keeps their leases, tells of progress, completes or fails them with their fence.

    BALLAST_KEY=sk-… BALLAST_QUEUES=images python3 worker.py      # a key of scope work; BALLAST_URL, if it is not http://127.0.0.1:8080
"""
import http.client, json, os, signal, socket, threading, time, urllib.error, urllib.request

URL, KEY = os.environ.get("BALLAST_URL", "http://127.0.0.1:8080"), os.environ["BALLAST_KEY"]
QUEUES, LEASE = os.environ.get("BALLAST_QUEUES", "default").split(","), float(os.environ.get("BALLAST_LEASE", 30))
held = {}                                              # tasks that are ours, by id; each may go LEASE seconds without a heartbeat


class Lost(Exception): "The lease is over: the task was cancelled, or is another worker's now. What was made of it is for nobody."
class Stop(BaseException): "SIGTERM."


def work(task, progress):
    """Yours. It may run twice (a machine may die between its end and `complete`), so let its effects bear that."""
    steps = task["payload"]["steps"]
    for n in range(steps):
        time.sleep(task["payload"]["seconds"] / steps)
        progress({"step": n + 1, "of": steps})
    return {"steps": steps}


def call(action, body, patience=float("inf")):
    """Asks again, slower and slower, while the server is away: the fence makes that safe."""
    request = urllib.request.Request(f"{URL}/api/workers/{action}", json.dumps(body).encode(), {"authorization": f"Bearer {KEY}"})
    pause, until = 0.2, time.monotonic() + patience
    while True:
        try:
            with urllib.request.urlopen(request, timeout=60) as answer:
                return json.load(answer)["tasks"]
        except (OSError, http.client.HTTPException) as e:
            if (isinstance(e, urllib.error.HTTPError) and e.code < 500 and e.code != 429) or time.monotonic() > until: raise
        time.sleep(pause)
        pause = min(pause * 2, 5)


def tell(action, task, patience=float("inf"), **more):
    [answer] = call(action, {"tasks": [{"id": task["id"], "fence": task["fence"], **more}]}, patience)
    if "error" in answer: raise Lost(answer["error"]["message"])


def heartbeats():
    while not time.sleep(LEASE / 3):
        if mine := list(held.values()):
            call("heartbeat", {"lease": f"{LEASE}s", "tasks": [{"id": t["id"], "fence": t["fence"]} for t in mine]})


def run(task):
    try:
        tell("complete", task, output=work(task, lambda said: tell("progress", task, attempt=task["attempt"], progress=said)))
    except Lost as e:
        print(f"{task['id']}: {e}", flush=True)
    except Exception as e:
        try: tell("fail", task, error={"message": f"{type(e).__name__}: {e}"})
        except Lost: pass


def main():
    def stop(*_): raise Stop
    signal.signal(signal.SIGTERM, stop)
    threading.Thread(target=heartbeats, daemon=True).start()
    try:
        while True:
            for task in call("pull", {"worker": f"{socket.gethostname()}:{os.getpid()}", "queues": QUEUES, "wait": "20s", "lease": f"{LEASE}s"}):
                held[task["id"]] = task
                run(task)
                del held[task["id"]]
    except Stop:                                                                 # what is under way goes back: no attempt is counted
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
        for task in list(held.values()):
            try: tell("release", task, patience=5)
            except (Lost, OSError): pass


if __name__ == "__main__": main()
