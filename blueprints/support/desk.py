#!/usr/bin/env python3
"""The support desk at a terminal: shows what waits for a person, oldest first, and takes the answer. Standard library only.

    python3 desk.py            # one after the other; an empty answer leaves a ticket for later, "close" closes it without one
"""
from __future__ import annotations

import json
import os
import sys
import urllib.error
import urllib.request

URL = os.environ.get("BALLAST_SERVER", "http://127.0.0.1:8080").rstrip("/")
KEY = os.environ.get("DESK_KEY", "sk-desk-of-this-example-only")


def call(method: str, path: str, body=None):
    data = None if body is None else json.dumps(body).encode()
    request = urllib.request.Request(URL + path, data, {"authorization": f"Bearer {KEY}", "content-type": "application/json"}, method=method)
    with urllib.request.urlopen(request, timeout=60) as answer:
        return json.load(answer)


def decide(ticket: dict, said: str) -> None:
    """Names the digest of what was shown: if the ticket has changed or a colleague was faster, the server refuses."""
    body = {"digest": ticket["digest"]}
    action = "reject"
    if said != "close":
        action, body["value"] = "edit", ticket["shown"] | {"reply": said}
    try:
        call("POST", f"/api/approvals/{ticket['id']}/{action}", body)
        print("closed\n" if said == "close" else "answered\n")
    except urllib.error.HTTPError as e:
        print(f"not taken: {json.load(e).get('detail', e)}\n")


def main() -> None:
    waiting = call("GET", "/api/approvals?limit=1000")["approvals"]
    print(f"{len(waiting)} waiting\n")
    for row in reversed(waiting):
        ticket = call("GET", f"/api/approvals/{row['id']}")
        shown = ticket["shown"]
        print(f"{row['id']}  from {shown['name'] or 'a customer'}, until {row['expires']}\n\n{shown['ticket']}\n\nsummary  {shown['summary']}\ntags     "
              f"{', '.join(shown['tags'])}\nguess    {shown['guess']} ({shown['confidence']:.0%})\ndraft    {shown['reply'].strip() or '-'}\n")
        print("your answer> ", end="", flush=True)
        said = sys.stdin.readline().strip()
        if said:
            decide(ticket, said)


if __name__ == "__main__":
    main()
