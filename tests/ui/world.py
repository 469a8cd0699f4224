"""A server with something of everything on it, hostile words in every field that takes any, and callers who do not stop."""
from __future__ import annotations

import concurrent.futures
import json
import pathlib
import threading
import urllib.parse

from support.client import Caller
from support.gateway import ADMIN_KEY, APP_KEY, Gateway, wait_until

READ_KEY = "sk-ballast-read-0123456789abcdef0123456789"
EDITOR_KEY = "sk-ballast-editor-0123456789abcdef01234567"
HOSTILE_KEY = "sk-ballast-hostile-0123456789abcdef0123456"
WORK_KEY = "sk-ballast-work-0123456789abcdef0123456789"
# Were any of it taken for more than text, `window.__pwned` would be there; the last letter turns what follows it around.
HOSTILE = """<img src=x onerror="window.__pwned=1"><script>window.__pwned=1</script><svg onload=window.__pwned=1>'"><a href="javascript:window.__pwned=1">{{7*7}}</a>\u202e"""
LONG = "A_long_word_without_an_end_" * 40

FLOWS = {
    # Wide and deep: branches, a map, a choice, a person, something that is done outside.
    "order-desk": """
flow: order-desk
version: 7
input: {schema: {type: object, required: [text], properties: {text: {type: string}, lines: {type: array}}}}
output: '{answer: (.stages.publish.output.value // null), priced: .stages.lines.output}'
stages:
  intake:   {transform: '{text: .input.text, words: (.input.text | split(" ") | length)}'}
  triage:
    model: {route: chat, prompt: "Sort this: {{ .stages.intake.output.text }}"}
    retry: {attempts: 2}
  facts:    {model: {route: chat, prompt: "Facts of {{ .stages.intake.output.text }}"}}
  lines:
    map: {over: '.input.lines // [1, 2, 3]', as: line, limit: 2, stages: {price: {transform: '{line: .line, price: 12}'}}, output: '.stages.price.output'}
  size:     {choose: [{when: '.stages.intake.output.words > 40', then: long}, {else: brief}]}
  long:     {template: "A long one: {{ .stages.facts.output }}"}
  brief:    {template: "A short one: {{ .stages.triage.output }}"}
  draft:    {transform: '{to: "customer", text: (.stages.long.output // .stages.brief.output), subject: .input.text}', after: [facts, triage]}
  ok:       {approve: {show: '.stages.draft.output', when: always, expires: 24h, edit: [text], assignees: ["group:editors"]}}
  publish:  {transform: '{value: .stages.ok.output.value}', needs: ok}
""",
    "thumbnails": """
flow: thumbnails
output: '.stages.shout.output'
stages:
  cut:   {worker: {task: cut, queue: images, input: '{name: .input.name}'}, timeout: 1h}
  shout: {transform: '.stages.cut.output.done'}
""",
    "fragile": """
flow: fragile
output: '.stages.sum.output'
stages:
  first: {transform: '{n: (.input.n + 1)}'}
  sum:   {transform: '.stages.first.output.n / .input.by'}
  after: {template: "{{ .stages.sum.output }}"}
""",
}

CONFIG = {
    "providers": {"sim": {"kind": "simulator", "models": {
        "small": {"ttft": "5ms", "tokens_per_second": 0, "output_tokens": 40, "price": {"input": "$0.25", "output": "$2"}, "answers": [{"match": "Say it", "text": HOSTILE}]},
        "large": {"ttft": "20ms", "tokens_per_second": 0, "output_tokens": 80, "price": {"input": "$2", "output": "$10"}},
        "slow": {"ttft": "200ms", "tokens_per_second": 40, "output_tokens": 60},
        "broken": {"faults": [{"kind": "http_503"}]}}}},
    "routes": {"chat": {"targets": ["sim/small", "sim/large"]}, "careful": {"targets": ["sim/broken", "sim/large"]},
               "never": {"targets": ["sim/broken"]}, "kept": {"targets": ["sim/small"], "record": "full"}},
    "budgets": [{"scope": "system", "amount": "$80", "per": "day"}, {"scope": "key", "amount": "$30", "per": "day"}],
    "webhooks": {"allow": ["127.0.0.1"]},
}


class Aside(Caller):
    """Asks on a thread of its own: the browser's driver has the event loop of this one."""

    def _aside(self, how, *args, **kw):
        with concurrent.futures.ThreadPoolExecutor(1) as thread:
            return thread.submit(how, *args, **kw).result()

    def chat(self, *args, **kw):
        return self._aside(super().chat, *args, **kw)

    def get(self, *args, **kw):
        return self._aside(super().get, *args, **kw)

    def post(self, *args, **kw):
        return self._aside(super().post, *args, **kw)

    def put(self, *args, **kw):
        return self._aside(super().put, *args, **kw)


class World(Gateway):
    """`jobs`: what was made, by what became of it; `calls`: those with hostile words, by what was asked for."""

    def __init__(self, folder: pathlib.Path, **sections):
        super().__init__(folder, {**CONFIG, **sections})
        self.config["keys"] = [*self.config["keys"],
                               {"name": "reader", "value": READ_KEY, "scopes": ["read"]},
                               {"name": "worker", "value": WORK_KEY, "scopes": ["work"]},
                               {"name": "editor", "value": EDITOR_KEY, "scopes": ["approve"], "user": "ann", "team": "editors"},
                               {"name": HOSTILE[:60], "value": HOSTILE_KEY, "scopes": ["call"], "team": "<b>team</b>", "user": HOSTILE}]
        self.write_config()
        (folder / "flows").mkdir(exist_ok=True)
        for name, text in FLOWS.items():
            (folder / "flows" / f"{name}.yaml").write_text(text)
        self.jobs: dict[str, str] = {}
        self.calls: dict[str, str] = {}
        self._stop = threading.Event()
        self._callers: list[threading.Thread] = []
        self.answered = [0] * 2                     # of each caller

    @property
    def app(self) -> Caller:
        return Aside(self.port, APP_KEY)

    @property
    def admin(self) -> Caller:
        return Aside(self.port, ADMIN_KEY)

    @property
    def hostile(self) -> Caller:
        return Aside(self.port, HOSTILE_KEY)

    @property
    def worker(self) -> Caller:
        return Aside(self.port, WORK_KEY)

    def caller(self, key: str) -> Caller:
        return Aside(self.port, key)

    def fill(self) -> "World":
        self._calls()
        self._jobs()
        self._clock_and_batches()
        self.settled()
        return self

    def _calls(self) -> None:
        words = {"x-ballast-user": "<b>user</b><script>window.__pwned=1</script>", "x-ballast-feature": "feature\"><img src=x onerror=window.__pwned=1>"}
        with concurrent.futures.ThreadPoolExecutor(8) as pool:      # those that go wrong take some seconds
            models = ["never"] * 4 + ["chat", "sim/large", "careful"] * 2
            answers = pool.map(lambda model: self.hostile.chat(model, "Say it: " + HOSTILE, headers=words), models)
            self.calls = {model: answer.headers["x-ballast-call-id"] for model, answer in zip(models, answers)}
        self.app.chat("chat", stream=True)
        self.app.chat("no-such-<script>window.__pwned=1</script>-model")
        self.app.chat(LONG[:200])

    def _jobs(self) -> None:
        def submit(caller: Caller, **job) -> str:
            made = caller.post("/api/jobs", job)
            assert made.status in (200, 202), made.body
            return made.json()["id"]
        ask = {"text": "Please: " + HOSTILE, "lines": [HOSTILE, {"deep": [1, {"er": LONG}]}, 3]}
        done = submit(self.app, flow="order-desk", input={"text": "Where is my order 4711?"}, tags=["night", "<i>tag</i>"], user="<u>user</u>", feature="desk")
        self.approve(done)
        self.jobs["done"] = done
        self.jobs["asks"] = submit(self.app, flow="order-desk", input=ask, tags=["hostile"])
        for n in range(3):
            submit(self.app, flow="order-desk", input={"text": f"Question {n}"})
        self.jobs["dead"] = submit(self.app, flow="fragile", input={"n": 1, "by": 0})
        submit(self.app, flow="fragile", input={"n": HOSTILE, "by": 1})
        task = submit(self.app, task=HOSTILE[:100], queue="images", payload={"of": HOSTILE}, attempts=1, webhook=f"http://127.0.0.1:{self.port}/nobody/hears")
        [taken] = self.worker.post("/api/workers/pull", {"worker": "w", "queues": ["images"], "max": 1, "wait": "10s", "lease": "30s"}).json()["tasks"]
        self.worker.post("/api/workers/fail", {"tasks": [{"id": taken["id"], "fence": taken["fence"], "error": HOSTILE}]})
        self.jobs["failed"] = task
        self.jobs["running"] = submit(self.app, flow="thumbnails", input={"name": "sunset"})
        self.jobs["called"] = submit(self.app, call={"body": Caller.body("chat", "Say it")})
        cancelled = submit(self.app, task="later", queue="night", delay="1h", payload=1)
        self.app.post(f"/api/jobs/{cancelled}/cancel", {})
        self.jobs["cancelled"] = cancelled
        self.jobs["delayed"] = submit(self.app, task="later", queue="night", delay="2h", priority=2, payload={"when": "at night"})
        wait_until(lambda: self.state(self.jobs["dead"]) == "dead" and len(self.asked()) >= 4)

    def _clock_and_batches(self) -> None:
        job = {"task": "report", "queue": "night", "payload": {"for": HOSTILE}}
        for name, cron, enabled in (("nightly-report", "15 2 * * *", True), ("paused.one", "every 15m", False)):
            made = self.admin.put(f"/api/schedules/{name}", {"cron": cron, "timezone": "Europe/Berlin", "job": job, "enabled": enabled})
            assert made.status in (200, 201), made.body
        paused = self.admin.put("/api/queues/night", {"paused": True, "concurrency": 4})
        assert paused.status == 200, paused.body
        lines = "".join(json.dumps({"custom_id": f"<b>{n}</b>", "method": "POST", "url": "/v1/chat/completions", "body": Caller.body("chat", f"Line {n}")}) + "\n" for n in range(5))
        form = (f"--x\r\ncontent-disposition: form-data; name=\"purpose\"\r\n\r\nbatch\r\n--x\r\ncontent-disposition: form-data; name=\"file\"; filename=\"<b>in</b>.jsonl\"\r\n\r\n"
                f"{lines}\r\n--x--\r\n")
        file = self.admin.post("/v1/files", form.encode(), headers={"content-type": "multipart/form-data; boundary=x"})
        assert file.status == 200, file.body
        made = self.admin.post("/v1/batches", {"input_file_id": file.json()["id"], "endpoint": "/v1/chat/completions", "completion_window": "24h", "metadata": {"<b>why</b>": HOSTILE}})
        assert made.status == 200, made.body

    def state(self, job: str) -> str:
        return self.admin.get(f"/api/jobs/{job}").json()["state"]

    def cause(self, name: str) -> str:
        """A group of dead letters as the page's address names it."""
        group = next(g for g in self.admin.get("/api/dead").json()["groups"] if g["name"] == name)
        return urllib.parse.quote(json.dumps([group["queue"], group["name"], group["code"]], separators=(",", ":")))

    def asked(self, job: str = "") -> list[dict]:
        return self.admin.get("/api/approvals" + (f"?job={job}" if job else "")).json()["approvals"]

    def approve(self, job: str) -> None:
        wait_until(lambda: self.asked(job))
        [asked] = self.asked(job)
        whole = self.admin.get(f"/api/approvals/{asked['id']}").json()
        done = Aside(self.port, EDITOR_KEY).post(f"/api/approvals/{asked['id']}/approve", {"digest": whole["digest"], "note": "Fine. <b>Really</b>"})
        assert done.status == 200, done.body
        wait_until(lambda: self.state(job) == "done")

    # ---- load ----

    def callers(self) -> None:
        """Callers who go on until the world ends, some dozens of calls a second."""
        def call(number: int) -> None:
            models = ("chat", "sim/large", "careful", "chat")
            turn = number
            while not self._stop.is_set():
                turn += 1
                who = self.hostile if turn % 5 == 0 else self.app
                answer = who.chat(models[turn % 4], f"Turn {turn}", headers={"x-ballast-user": f"user-{turn % 7}", "x-ballast-feature": "load"})
                self.answered[number] += answer.status == 200
                self._stop.wait(0.05)
        self._callers = [threading.Thread(target=call, args=(n,), daemon=True) for n in range(len(self.answered))]
        for thread in self._callers:
            thread.start()

    def stop(self) -> None:
        self._stop.set()
        for thread in self._callers:
            thread.join(60)
        super().stop()


__all__ = ["ADMIN_KEY", "EDITOR_KEY", "HOSTILE", "LONG", "READ_KEY", "World"]
