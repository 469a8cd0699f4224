"""A stream of events that the server sends for as long as somebody follows, on a socket of its own."""
from __future__ import annotations

import json
import socket
import time

from .page import Page


class Feed:
    """GET `path`, by a page's session or by a key; `read` gives what has come, event by event."""

    def __init__(self, who: Page | tuple[int, str], path: str = "/api/live"):
        port, says = (who.port, f"cookie: {who.cookie}\r\nsec-fetch-site: same-origin") if isinstance(who, Page) else (who[0], f"authorization: Bearer {who[1]}")
        self.socket = socket.create_connection(("127.0.0.1", port), 30)
        self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        self.socket.sendall(f"GET {path} HTTP/1.1\r\nhost: x\r\n{says}\r\n\r\n".encode())
        self.text, self.ended = "", False

    def status(self) -> int:
        self.read(lambda e: "\r\n\r\n" in self.text)
        return int(self.text.split(" ")[1])

    def read(self, until, seconds: float = 20) -> list[tuple[str, dict]]:
        end = time.monotonic() + seconds
        while time.monotonic() < end and not self.ended and not until(self.events()):
            self.socket.settimeout(max(0.1, end - time.monotonic()))
            try:
                piece = self.socket.recv(65536)
            except TimeoutError:
                break
            self.text += piece.decode()
            self.ended = not piece or self.text.endswith("\r\n0\r\n\r\n")
        return self.events()

    def events(self) -> list[tuple[str, dict]]:
        out = []
        for block in self.text.replace("\r\n", "\n").split("\n\n"):
            lines = block.split("\n")
            name = next((line[7:] for line in lines if line.startswith("event: ")), None)
            data = next((line[6:] for line in lines if line.startswith("data: ")), None)
            if name and data and data.endswith("}"):
                out.append((name, json.loads(data)))
        return out
