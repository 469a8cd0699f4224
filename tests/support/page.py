"""A browser signed in to the dashboard, as far as HTTP sees it: its cookie, its CSRF token, its headers."""
from __future__ import annotations

import http.client
import json


class Answer:
    def __init__(self, response: http.client.HTTPResponse):
        self.status = response.status
        self.headers = {k.lower(): v for k, v in response.getheaders()}
        self.body = response.read()

    def json(self):
        return json.loads(self.body)


class Page:
    def __init__(self, port: int, key: str | None = None):
        self.port, self.cookie, self.csrf = port, "", ""
        if key:
            self.signed_in = self.sign_in(key)
            assert self.signed_in.status == 200, self.signed_in.body
            self.cookie = self.signed_in.headers["set-cookie"].split(";")[0]
            self.csrf = self.signed_in.json()["csrf"]

    def sign_in(self, key: str, **headers: str) -> Answer:
        return self.ask("POST", "/api/session", {"key": key}, headers=headers)

    def ask(self, method: str, path: str, body=None, *, headers: dict[str, str] | None = None, csrf: bool = True) -> Answer:
        sent = {"sec-fetch-site": "same-origin"}
        if self.cookie:
            sent["cookie"] = self.cookie
        if self.csrf and csrf:
            sent["x-ballast-csrf"] = self.csrf
        if body is not None:
            sent["content-type"] = "application/json"
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=60)
        try:
            connection.request(method, path, None if body is None else json.dumps(body), sent | (headers or {}))
            return Answer(connection.getresponse())
        finally:
            connection.close()

    def get(self, path: str, **headers: str) -> Answer:
        return self.ask("GET", path, headers={k.replace("_", "-"): v for k, v in headers.items()})
