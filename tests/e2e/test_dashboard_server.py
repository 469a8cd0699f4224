"""The dashboard's files as the binary serves them: kept, packed, and closed to everything of elsewhere."""
from __future__ import annotations

import gzip
import json
import re

from support.configs import one_provider
from support.gateway import ADMIN_KEY
from support.page import Page

SECRETS = ("sk-upstream-secret", ADMIN_KEY, "hunter2", "whsec_")


def test_the_page_and_its_files(upstream, gateway):
    g = gateway(one_provider(upstream))
    browser = Page(g.port)
    index = browser.get("/", accept="text/html", accept_encoding="gzip")
    assert index.status == 200 and index.headers["content-encoding"] == "gzip" and index.headers["cache-control"] == "no-cache"
    html = gzip.decompress(index.body).decode()
    assert html == browser.get("/calls/any?x=1", accept="text/html").body.decode(), "an address of the page's own"
    assert browser.get("/", accept="text/html", if_none_match=browser.get("/").headers["etag"]).status == 304
    head = browser.ask("HEAD", "/")
    assert head.status == 200 and head.body == b"" and int(head.headers["content-length"]) == len(html.encode())
    for answer in (index, browser.get("/calls", accept="text/html")):
        policy = dict(part.strip().split(" ", 1) for part in answer.headers["content-security-policy"].split(";"))
        assert policy["default-src"] == "'none'" and policy["script-src"] == policy["style-src"] == policy["connect-src"] == "'self'"
        assert policy["frame-ancestors"] == policy["base-uri"] == policy["form-action"] == "'none'"
        assert answer.headers["x-content-type-options"] == "nosniff" and answer.headers["referrer-policy"] == "no-referrer"
    assert not re.search(r"<script(?![^>]*\bsrc=)|<style|\son\w+=|style=|https?://", html), "nothing inline, nothing of elsewhere"
    files = re.findall(r'(?:src|href)="(/assets/[^"]+)"', html)
    assert files, html
    for path in files:
        file = browser.get(path, accept_encoding="gzip")
        assert file.status == 200 and "immutable" in file.headers["cache-control"], path
    assert browser.get("/assets/none.js").status == 404
    assert browser.get("/api/none", accept="text/html").headers["content-type"] == "application/problem+json"


def test_the_configuration_is_shown_without_its_secrets(upstream, gateway):
    g = gateway(one_provider(upstream, telemetry={"otlp": "http://127.0.0.1:9/", "headers": {"x-api-key": "hunter2"}}, webhooks={"secrets": {"main": {"value": "whsec_" + "A" * 32}}},
                             budgets=[{"name": "all", "scope": "system", "amount": "$5", "per": "day"}]))
    shown = Page(g.port, ADMIN_KEY).get("/api/config")
    assert shown.status == 200
    values = shown.json()
    assert values["providers"][0]["name"] == "up" and values["routes"][0]["targets"] == [{"target": "up/model", "weight": 1}]
    assert values["budgets"][0]["limit_usd"] == "5.000000000"
    for secret in SECRETS:
        assert secret not in json.dumps(values), secret
