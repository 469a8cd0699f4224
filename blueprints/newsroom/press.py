#!/usr/bin/env python3
"""The press: takes pages and announcements over HTTP and shows them. Standard library only; stands in for your CMS.

    python3 press.py                        # http://127.0.0.1:8090, its state in press.db

What your own receiver should do like this one: note the Idempotency-Key in the same transaction as the effect, and answer a key that it knows with
what it answered then. A publisher that died between sending and hearing may then send again, and nothing is published twice.
"""
from __future__ import annotations

import argparse
import datetime
import html
import http.server
import json
import re
import sqlite3
import threading

SCHEMA = """
CREATE TABLE IF NOT EXISTS answers (key TEXT PRIMARY KEY, request TEXT NOT NULL, status INTEGER NOT NULL, body TEXT NOT NULL);
CREATE TABLE IF NOT EXISTS pages (slug TEXT PRIMARY KEY, title TEXT NOT NULL, html TEXT NOT NULL, published TEXT NOT NULL, times INTEGER NOT NULL DEFAULT 1);
CREATE TABLE IF NOT EXISTS announcements (n INTEGER PRIMARY KEY, channel TEXT NOT NULL, title TEXT NOT NULL, url TEXT NOT NULL);
CREATE TABLE IF NOT EXISTS log (n INTEGER PRIMARY KEY, at TEXT NOT NULL, what TEXT NOT NULL);
"""
LARGEST = 4 << 20
SLUG = re.compile(r"[a-z0-9][a-z0-9-]{0,99}")


class Refused(Exception):
    def __init__(self, status: int, why: str):
        super().__init__(why)
        self.status = status


class Press:
    """One connection, one at a time: small, and every request is a transaction that is on the disk before it is answered."""

    def __init__(self, path: str):
        self.db = sqlite3.connect(path, check_same_thread=False, isolation_level=None)
        self.db.execute("PRAGMA journal_mode=WAL")
        self.db.execute("PRAGMA synchronous=FULL")
        self.db.executescript(SCHEMA)
        self.lock = threading.Lock()

    def once(self, key: str, request: str, effect) -> tuple[int, dict]:
        """Does `effect` and remembers its answer under the key; or gives the answer that the key had."""
        with self.lock:
            self.db.execute("BEGIN IMMEDIATE")
            try:
                known = self.db.execute("SELECT request, status, body FROM answers WHERE key = ?", (key,)).fetchone() if key else None
                if known and known[0] != request:
                    raise Refused(422, "this Idempotency-Key came with another request before")
                if known:
                    self.note(f"again {request.split(' ')[0]} {key}")
                    status, body = known[1], json.loads(known[2])
                else:
                    status, body = effect()
                    if key:
                        self.db.execute("INSERT INTO answers VALUES (?, ?, ?, ?)", (key, request, status, json.dumps(body)))
                self.db.execute("COMMIT")
                return status, body
            except BaseException:
                self.db.execute("ROLLBACK")
                raise

    def note(self, what: str) -> None:
        self.db.execute("INSERT INTO log (at, what) VALUES (?, ?)", (datetime.datetime.now(datetime.timezone.utc).isoformat(timespec="seconds"), what))

    def publish(self, page: dict, base: str) -> tuple[int, dict]:
        if not SLUG.fullmatch(page["slug"]):
            raise Refused(422, "slug must be letters a to z, digits and -")
        now = datetime.datetime.now(datetime.timezone.utc).isoformat(timespec="seconds")
        self.db.execute("INSERT INTO pages (slug, title, html, published) VALUES (?, ?, ?, ?) ON CONFLICT (slug) DO UPDATE SET title = excluded.title, "
                        "html = excluded.html, published = excluded.published, times = times + 1", (page["slug"], page["title"], page["html"], now))
        self.note(f"published {page['slug']}")
        return 201, {"slug": page["slug"], "url": f"{base}/{page['slug']}"}

    def unpublish(self, slug: str) -> tuple[int, dict]:
        gone = self.db.execute("DELETE FROM pages WHERE slug = ?", (slug,)).rowcount
        self.note(f"unpublished {slug}")
        return (200, {"slug": slug}) if gone else (404, {"error": "no such page"})

    def announce(self, a: dict) -> tuple[int, dict]:
        n = self.db.execute("INSERT INTO announcements (channel, title, url) VALUES (?, ?, ?)", (a["channel"], a["title"], a["url"])).lastrowid
        self.note(f"announced {a['channel']}")
        return 201, {"n": n}

    def read(self, sql: str, *args) -> list[tuple]:
        with self.lock:
            return self.db.execute(sql, args).fetchall()


class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    press: Press

    def log_message(self, *_) -> None:
        pass

    def answer(self, status: int, body, kind: str = "application/json") -> None:
        data = body.encode() if isinstance(body, str) else json.dumps(body).encode()
        self.send_response(status)
        self.send_header("content-type", kind + "; charset=utf-8")
        self.send_header("content-length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)

    def body(self) -> tuple[str, dict]:
        length = int(self.headers.get("content-length") or 0)
        if length > LARGEST:
            self.close_connection = True
            raise Refused(413, "too large")
        text = self.rfile.read(length).decode()
        value = json.loads(text)
        if not isinstance(value, dict):
            raise Refused(422, "must be an object")
        return text, value

    def change(self, effect_of) -> None:
        try:
            self.answer(*effect_of())
        except Refused as e:
            self.answer(e.status, {"error": str(e)})
        except (KeyError, ValueError, UnicodeDecodeError) as e:
            self.answer(422, {"error": f"not understood: {e}"})

    def do_POST(self) -> None:
        def effect():
            key = self.headers.get("idempotency-key", "")
            text, value = self.body()
            base = f"http://{self.headers.get('host', '127.0.0.1')}"
            makes = {"/pages": lambda: self.press.publish(value, base), "/announcements": lambda: self.press.announce(value)}.get(self.path)
            if not makes:
                raise Refused(404, "POST /pages or /announcements")
            return self.press.once(key, f"{self.path} {text}", makes)
        self.change(effect)

    def do_DELETE(self) -> None:
        slug = self.path.removeprefix("/pages/")
        self.change(lambda: self.press.once("", self.path, lambda: self.press.unpublish(slug)))

    def do_GET(self) -> None:
        if self.path == "/log":
            return self.answer(200, [{"at": at, "what": what} for at, what in self.press.read("SELECT at, what FROM log ORDER BY n")])
        if self.path == "/":
            pages = self.press.read("SELECT slug, title, published FROM pages ORDER BY published DESC")
            rows = "".join(f'<li><a href="/{slug}">{html.escape(title)}</a> <small>{at}</small></li>' for slug, title, at in pages)
            return self.answer(200, f"<!doctype html><title>Press</title><h1>Published</h1><ul>{rows}</ul>", "text/html")
        found = self.press.read("SELECT html FROM pages WHERE slug = ?", self.path.lstrip("/"))
        return self.answer(200, found[0][0], "text/html") if found else self.answer(404, {"error": "no such page"})


def main() -> None:
    ask = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    ask.add_argument("--port", type=int, default=8090)
    ask.add_argument("--state", default="press.db")
    flags = ask.parse_args()
    Handler.press = Press(flags.state)
    server = http.server.ThreadingHTTPServer(("127.0.0.1", flags.port), Handler)
    print(f"the press is at http://127.0.0.1:{server.server_port}, what came in at /log", flush=True)
    try:
        server.serve_forever()
    except KeyboardInterrupt:
        pass


if __name__ == "__main__":
    main()
