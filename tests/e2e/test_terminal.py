"""What people see in a terminal: how far a command is, while they wait; and texts from servers and files, of which none steers the terminal."""
from __future__ import annotations

import fcntl
import json
import os
import pty
import re
import select
import signal
import sqlite3
import struct
import subprocess
import tempfile
import termios
import threading
import time
import unicodedata
import urllib.parse
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from support.gateway import binary

ATTACK = "\x1b[2J\x1b]0;owned\x07\x9b31m\r\n\u202egpj.exe\u2066\x7f漢字🙂עברית " + "long " * 60
LINE = re.compile(rb"\r\x1b\[K([^\r\x1b]*)")


class Shown:
    """A command with a terminal for its errors, or for all of it: what it printed, and the lines of its progress."""

    def __init__(self, folder, *args, stdin=None, columns: int = 100, all_of_it: bool = False, stop_at: float = 0):
        master, slave = pty.openpty()
        fcntl.ioctl(slave, termios.TIOCSWINSZ, struct.pack("HHHH", 24, columns, 0, 0))
        out = slave if all_of_it else tempfile.TemporaryFile()
        process = subprocess.Popen([binary(), *args], stdin=stdin or subprocess.DEVNULL, stdout=out, stderr=slave, cwd=folder, start_new_session=True,
                                   env={"PATH": os.environ["PATH"], "TERM": "xterm"})
        os.close(slave)
        if stop_at:                                # nothing is shown in the first second: stopped meanwhile, what is quick here takes as long
            time.sleep(stop_at)
            process.send_signal(signal.SIGSTOP)
            time.sleep(1.2)
            process.send_signal(signal.SIGCONT)
        self.screen, end = b"", time.monotonic() + 60
        while time.monotonic() < end:
            if not select.select([master], [], [], 0.1)[0]:
                continue
            try:
                self.screen += os.read(master, 65536)
            except OSError:                        # nobody has it any more
                break
        os.close(master)
        self.code = process.wait(30)
        self.stdout = ""
        if not all_of_it:
            out.seek(0)
            self.stdout = out.read().decode()
        self.progress = [line.decode() for line in LINE.findall(self.screen) if line]
        self.told = LINE.sub(b"", self.screen).decode()

    def assert_bar(self, what: str) -> None:
        assert any(re.search(rf"^{what} +\[[#.]+\] +\d+ %", line) for line in self.progress), (self.progress, self.told, self.stdout[-500:])
        self.assert_gone(what)

    def assert_gone(self, what: str) -> None:
        """The line is not left behind, nor mixed with what is told."""
        assert what not in self.stdout and "\x1b" not in self.told and "\x1b" not in self.stdout, self.screen[-300:]


@pytest.fixture
def server():
    """Answers what the test says, by path: (status, document), slowly if it says so, or a list of pieces with pauses."""
    answers: dict = {}

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self):
            self.rfile.read(int(self.headers.get("content-length", 0)))
            path = urllib.parse.urlsplit(self.path).path
            wait, status, said = answers.get(path, (0, 200, {}) if path == "/healthz" else (0, 404, {"detail": ATTACK, "title": "x", "status": 404}))
            pieces = said if isinstance(said, list) else None
            body = None if pieces else json.dumps(said).encode()
            if not pieces:
                time.sleep(wait)
            self.send_response(status)
            self.send_header("content-type", "application/json")
            self.send_header(*(("transfer-encoding", "chunked") if pieces else ("content-length", str(len(body)))))
            self.end_headers()
            for piece in pieces or []:
                time.sleep(wait)
                self.wfile.write(b"%x\r\n%s\r\n" % (len(piece), piece.encode()))
                self.wfile.flush()
            self.wfile.write(b"0\r\n\r\n" if pieces else body)

        do_POST = do_PUT = do_DELETE = do_PATCH = do_GET

        def log_message(self, *_):
            pass

    made = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=made.serve_forever, daemon=True).start()
    made.answers, made.url = answers, f"http://127.0.0.1:{made.server_address[1]}"
    yield made
    made.shutdown()


# ---- progress ----

TEXT = json.dumps("The quick brown fox jumps over the lazy dog, 1234567 times; größer 漢字. " * 20)


def file_of(folder, name: str, line: str, size: int):
    path = folder / name
    path.write_text((line + "\n") * (size // (len(line) + 1)))
    return path


def test_bulk_on_standard_input_has_a_bar_of_the_files_bytes(tmp_path):
    with open(file_of(tmp_path, "texts.jsonl", TEXT, 40_000_000), "rb") as texts:
        shown = Shown(tmp_path, "tokens", "--jsonl", "--count", stdin=texts, stop_at=0.2)
    assert shown.code == 0
    shown.assert_bar("counting")
    assert re.search(r"MB/s  \d+:\d\d left", "\n".join(shown.progress))
    row = json.dumps({"schema": {"type": "object", "required": ["a"]}, "instance": {"a": list(range(50))}})
    shown = Shown(tmp_path, "schema", "validate", "--jsonl", str(file_of(tmp_path, "rows.jsonl", row, 60_000_000)), stop_at=0.2)
    assert shown.code == 0 and set(shown.stdout.split()) == {"valid"}
    shown.assert_bar("judging")


def test_bulk_whose_answers_go_to_the_terminal_shows_them_alone(tmp_path):
    with open(file_of(tmp_path, "texts.jsonl", TEXT, 8_000_000), "rb") as texts:
        shown = Shown(tmp_path, "tokens", "--jsonl", "--count", stdin=texts, all_of_it=True, stop_at=0.1)
    assert shown.code == 0 and shown.progress == [] and b"\x1b" not in shown.screen


def examples(folder) -> str:
    path = folder / "examples.jsonl"
    path.write_text("".join(json.dumps({"label": f"label {n % 40}", "text": f"please do thing {n % 40} for order {n * 7919 % 10007} on day {n % 31} thank you"}) + "\n" for n in range(12_000)))
    return str(path)


def test_training_has_a_bar_of_its_parts(tmp_path):
    shown = Shown(tmp_path, "intents", "train", "--examples", examples(tmp_path), "--out", "model.bin", stop_at=0.3)
    assert shown.code == 0, shown.told
    shown.assert_bar("training")
    quiet = Shown(tmp_path, "intents", "train", "--examples", examples(tmp_path), "--out", "model.bin", "--json", stop_at=0.3)
    assert quiet.code == 0 and quiet.screen == b"" and json.loads(quiet.stdout)["seconds"] > 0


def test_a_check_that_trains_classifiers_has_a_bar_of_their_parts(tmp_path):
    examples(tmp_path)
    (tmp_path / "ballast.yaml").write_text("classifiers: {intents: {examples: examples.jsonl}}\n")
    shown = Shown(tmp_path, "check", stop_at=0.3)
    assert shown.code == 0, shown.told
    shown.assert_bar("training classifiers")


def test_verifying_the_trail_has_a_bar_of_its_entries(tmp_path):
    (tmp_path / "ballast.yaml").write_text("database: sqlite:trail.db\ndata_dir: data\n")
    (tmp_path / "trail.db").touch()
    assert Shown(tmp_path, "audit", "verify").code == 0
    rows = [("job_a", n, n, "a", "job.submitted", "s", b"\0" * 32, "x", b"\0" * 32, b"\1" * 32) for n in range(1, 25_001)]
    with sqlite3.connect(tmp_path / "trail.db") as db:
        db.executemany("INSERT INTO audit_entries VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)", rows)
        db.execute("INSERT INTO audit_heads VALUES ('job_a', 25000, ?)", (b"\1" * 32,))
    shown = Shown(tmp_path, "audit", "verify", stop_at=0.2)
    assert shown.code == 1 and "25000 entries" in shown.stdout
    shown.assert_bar("reading the trail")


def test_an_export_has_a_bar_of_its_calls(tmp_path, server):
    server.answers |= {"/api/usage": (0, 200, {"rows": [{"calls": 8}]}), "/api/calls/export": (0.3, 200, ['{"id":1}\n'] * 8)}
    out = tmp_path / "calls.jsonl"
    shown = Shown(tmp_path, "export", "--calls", "--out", str(out), "--server", server.url)
    assert shown.code == 0 and out.read_text().count("\n") == 8
    shown.assert_bar("exporting")
    server.answers["/api/export/user"] = (0.3, 200, ["x" * 9999 + "\n"] * 6)
    shown = Shown(tmp_path, "export", "--user", "ann", "--server", server.url)
    assert shown.code == 0 and len(shown.stdout) == 60_000
    assert any(re.search(r"^exporting  \d+ kB  \d+ kB/s  0:0\d", line) for line in shown.progress), "nobody knows how much it is: what came, and how fast"


def test_a_contract_has_a_bar_of_its_inputs(tmp_path, server):
    (tmp_path / "inputs.jsonl").write_text("".join(f'"{n}"\n' for n in range(5)))
    server.answers |= {"/v1/chat/completions": (0.4, 200, {"choices": [{"message": {"role": "assistant", "content": "{\"a\": 1}"}, "finish_reason": "stop"}]})}
    shown = Shown(tmp_path, "contract", "record", "c.json", "--model", "m", "--inputs", "inputs.jsonl", "--server", server.url)
    assert shown.code == 0, (shown.told, shown.stdout)
    shown.assert_bar("asking")


@pytest.mark.parametrize("args,path", [(["keys", "list"], "/api/keys"), (["check", "--production"], "/api/readiness"), (["usage"], "/api/usage")], ids=lambda v: v[0] if isinstance(v, list) else "")
def test_who_waits_for_a_server_is_told_how_long(tmp_path, server, args, path):
    server.answers[path] = (1.6, 200, {"data": [], "rows": [], "lines": [], "passed": 0, "failed": 0, "unproven": 0})
    shown = Shown(tmp_path, *args, "--server", server.url)
    assert shown.code == 0, shown.told
    assert any(re.search(r"^waiting for the \w+.*  0:01$", line) for line in shown.progress), shown.progress
    shown.assert_gone("waiting")
    assert Shown(tmp_path, *args, "--server", server.url, "--json").progress == []


# ---- texts of others ----

ROW = {"id": ATTACK, ATTACK: ATTACK, "name": ATTACK, "n": 12345678, "spent_usd": "12.000000001"}
ALERT = {"id": "a", "since": ATTACK, "state": ATTACK, "severity": ATTACK, "rule": ATTACK, "title": ATTACK, "labels": {ATTACK: ATTACK}, "until": ATTACK, "by": ATTACK, "note": ATTACK}
RULE = {"name": ATTACK, "kind": ATTACK, "severity": ATTACK, "by": [ATTACK], "off": True}
VERDICT = {"group": ATTACK, "good": 1, "bad": 2, "satisfaction": 0.5, "satisfaction_low": 0.1, "satisfaction_high": 0.9, "incurred_usd": "1.5", "usd_per_good": "1.5",
           "at": ATTACK, "call": ATTACK, "verdict": ATTACK, "user": ATTACK, "comment": ATTACK}
APPROVAL = {name: ATTACK for name in ("id", "flow", "stage", "state", "policy", "expires", "by")} | {"assignees": [ATTACK]}
RECORD = {"stage": ATTACK, "what": ATTACK, "at": ATTACK, "error": {"message": ATTACK}, "output": {"intent": {ATTACK: ATTACK}, "sql": ATTACK, "question": ATTACK}}
TABLES = [(["keys", "list"], "/api/keys", {"data": [ROW] * 3}), (["jobs", "list"], "/api/jobs", {"jobs": [ROW | {"error": {"code": ATTACK, "message": ATTACK}}] * 3, "next": ATTACK}),
          (["jobs", "dead"], "/api/dead", {"groups": [ROW]}), (["queues", "list"], "/api/queues", {"queues": [ROW]}), (["schedules", "list"], "/api/schedules", {"schedules": [APPROVAL | {"name": ATTACK, "why": ATTACK}]}),
          (["inbox", "list"], "/api/approvals", {"approvals": [APPROVAL], "next": ATTACK}), (["alerts", "list"], "/api/alerts", {"alerts": [ALERT], "silences": [ALERT]}),
          (["alerts", "rules"], "/api/alerts", {"rules": [RULE], "alerts": [], "silences": []}), (["usage"], "/api/usage", {"rows": [ROW], "next_offset": ATTACK}),
          (["budgets", "unknown"], "/api/budgets/unknown", {"calls": [ROW], "next": ATTACK}), (["flows", "list"], "/api/flows", {"flows": [ROW | {"nested": {ATTACK: [ATTACK]}}]}),
          (["feedback", "report"], "/api/feedback", {"rows": [VERDICT], "recent": [VERDICT], "cut": ATTACK}),
          (["jobs", "show", "job_0123456789abc"], "/api/jobs/job_0123456789abc", ROW | {"deep": {ATTACK: [ATTACK]}}), (["explain", "job_1"], "/api/jobs/job_1/stages", {"id": ATTACK, "flow": ATTACK, "records": [RECORD]}),
          (["explain", "call_1"], "/api/decisions/call_1", ROW | {"tokens": {ATTACK: ATTACK}, "charges": {ATTACK: ATTACK}, "decision": [{"at_us": 1, "step": ATTACK, ATTACK: ATTACK}]}),
          (["check", "--production"], "/api/readiness", {"lines": [{n: ATTACK for n in ("group", "state", "question", "evidence", "todo")}], "passed": 1, "failed": 0, "unproven": 0})]


def assert_harmless(text: str) -> None:
    for c in text:
        assert c == "\n" or (unicodedata.category(c) not in ("Cc", "Cs", "Zl", "Zp") and c not in "\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069\u200e\u200f\u061c"), (hex(ord(c)), text[:300])


def columns_of(line: str) -> int:
    return sum(0 if unicodedata.combining(c) else 2 if unicodedata.east_asian_width(c) in "WF" else 1 for c in line)


@pytest.mark.parametrize("args,path,answer", TABLES, ids=[" ".join(t[0]) for t in TABLES])
def test_stored_texts_do_not_steer_the_terminal(tmp_path, server, args, path, answer):
    server.answers[path] = (0, 200, answer)
    for columns in (80, 40, 0):                                     # 0: in a pipe
        shown = Shown(tmp_path, *args, "--server", server.url, columns=columns or 80, all_of_it=columns > 0)
        text = (shown.screen.decode() if columns else shown.stdout + shown.told).replace("\r\n", "\n")
        assert shown.code in (0, 1) and "?[2J" in text, (shown.code, text)
        assert_harmless(text)
        if columns and any(word in args for word in ("list", "dead", "rules", "unknown", "usage", "report")):
            told = [line for line in text.split("\n") if not line.startswith(("from the server", "there may be more")) and "long long" not in line[-40:]]
            assert told and all(columns_of(line) <= columns for line in told), max(told, key=columns_of)


def test_an_error_that_a_server_tells_does_not_either(tmp_path, server):
    for args in (["keys", "list"], ["jobs", "show", "job_0123456789abc"], ["explain", "call_1"], ["export", "--user", "ann"], ["usage"], ["top"], ["check", "--production"]):
        shown = Shown(tmp_path, *args, "--server", server.url, all_of_it=True)
        text = shown.screen.decode().replace("\r\n", "\n")
        assert shown.code == 1 and "ballast: " in text, (args, text)
        assert_harmless(text)
