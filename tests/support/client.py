"""A plain HTTP/1.1 client on asyncio streams: every byte and every moment of the exchange is visible to the test."""
from __future__ import annotations

import asyncio
import json
import time
from dataclasses import dataclass


@dataclass
class Reply:
    status: int
    headers: dict[str, str]
    body: bytes
    seconds: float
    first_byte: float = 0.0
    complete: bool = True       # the message ended as HTTP says it must

    def json(self):
        return json.loads(self.body)

    def events(self) -> list[tuple[str, str]]:
        """(event name, data) of a server-sent event stream."""
        out, name, data = [], "", []
        for line in self.body.decode().replace("\r\n", "\n").split("\n"):
            if not line:
                if data:
                    out.append((name, "\n".join(data)))
                name, data = "", []
            elif line.startswith("event:"):
                name = line[6:].strip()
            elif line.startswith("data:"):
                data.append(line[5:].removeprefix(" "))
        return out

    def chunks(self) -> list[dict]:
        return [json.loads(d) for _, d in self.events() if d != "[DONE]"]

    def done(self) -> bool:
        return any(d == "[DONE]" for _, d in self.events())

    def is_stream(self) -> bool:
        return "text/event-stream" in self.headers.get("content-type", "")

    def text(self) -> str:
        """The assistant's words, of a chat completion or of its stream."""
        if not self.is_stream():
            return self.json()["choices"][0]["message"]["content"]
        return "".join((c.get("delta") or {}).get("content") or "" for k in self.chunks() for c in k.get("choices") or [])

    def finish(self) -> str | None:
        if not self.is_stream():
            return self.json()["choices"][0]["finish_reason"]
        found = [c["finish_reason"] for k in self.chunks() for c in k.get("choices") or [] if c.get("finish_reason")]
        return found[-1] if found else None

    def usage(self) -> dict | None:
        if not self.is_stream():
            return self.json().get("usage")
        found = [k["usage"] for k in self.chunks() if k.get("usage")]
        return found[-1] if found else None

    def error(self) -> dict | None:
        """The error of the body, or of an error event inside a stream."""
        if self.is_stream():
            found = [k["error"] for k in self.chunks() if "error" in k]
            return found[-1] if found else None
        try:
            return self.json().get("error")
        except ValueError:
            return None

    def succeeded(self) -> bool:
        if self.status != 200 or not self.complete or self.error():
            return False
        return self.finish() is not None and (self.done() if self.is_stream() else True)


def request_bytes(method: str, path: str, headers: dict[str, str], body: bytes | None, port: int) -> bytes:
    lines = [f"{method} {path} HTTP/1.1", f"host: 127.0.0.1:{port}"]
    lines += [f"{k}: {v}" for k, v in headers.items()]
    if body is not None:
        lines.append(f"content-length: {len(body)}")
    return ("\r\n".join(lines) + "\r\n\r\n").encode() + (body or b"")


async def read_reply(reader: asyncio.StreamReader, started: float, leave_after: int | None = None, hear=None) -> Reply:
    """Reads one reply. `leave_after`: stop once so many body bytes came (the caller then closes). `hear`: told each chunk."""
    head = await reader.readuntil(b"\r\n\r\n")
    lines = head.decode("latin-1").split("\r\n")
    headers = {k.strip().lower(): v.strip() for k, v in (l.split(":", 1) for l in lines[1:] if ":" in l)}
    reply = Reply(int(lines[0].split(" ")[1]), headers, b"", 0.0, time.monotonic() - started)
    try:
        if headers.get("transfer-encoding", "").lower() == "chunked":
            while True:
                size_line = await reader.readline()
                if not size_line.endswith(b"\n"):
                    raise asyncio.IncompleteReadError(size_line, None)
                size = int(size_line.split(b";")[0], 16)
                if size == 0:
                    await reader.readline()
                    break
                chunk = (await reader.readexactly(size + 2))[:-2]
                reply.body += chunk
                if hear:
                    hear(chunk)
                if leave_after is not None and len(reply.body) >= leave_after:
                    reply.complete = False
                    break
        elif "content-length" in headers:
            reply.body = await reader.readexactly(int(headers["content-length"]))
        elif reply.status not in (204, 304):
            reply.body = await reader.read()
    except (asyncio.IncompleteReadError, ConnectionError) as e:
        reply.body += getattr(e, "partial", b"") or b""
        reply.complete = False
    reply.seconds = time.monotonic() - started
    return reply


async def fetch(port: int, method: str, path: str, *, headers: dict[str, str] | None = None, body: bytes | None = None,
                raw: bytes | None = None, timeout: float = 90.0, leave_after: int | None = None,
                hear=None, host: str = "127.0.0.1") -> Reply:
    """One exchange on a fresh connection."""
    started = time.monotonic()

    async def go() -> Reply:
        reader, writer = await asyncio.open_connection(host, port, limit=1 << 27)
        try:
            writer.write(raw if raw is not None else request_bytes(method, path, headers or {}, body, port))
            try:
                await writer.drain()
            except ConnectionError:
                pass  # refused while still sending: the answer may be there all the same
            return await read_reply(reader, started, leave_after, hear)
        finally:
            writer.close()
    return await asyncio.wait_for(go(), timeout)


class Caller:
    """A caller with one key, in OpenAI's protocol unless said otherwise."""

    def __init__(self, port: int, key: str, host: str = "127.0.0.1"):
        self.port, self.key, self.host = port, key, host

    def headers(self, extra: dict[str, str] | None = None) -> dict[str, str]:
        return {"content-type": "application/json", "authorization": f"Bearer {self.key}", **(extra or {})}

    @staticmethod
    def body(model: str, text: str = "Say the words.", **more) -> dict:
        return {"model": model, "messages": [{"role": "user", "content": text}], **more}

    async def chat_async(self, model: str, text: str = "Say the words.", *, headers=None, timeout=90.0,
                         leave_after=None, hear=None, **more) -> Reply:
        return await fetch(self.port, "POST", "/v1/chat/completions", headers=self.headers(headers),
                           body=json.dumps(self.body(model, text, **more)).encode(), timeout=timeout,
                           leave_after=leave_after, hear=hear, host=self.host)

    def chat(self, model: str, text: str = "Say the words.", **kw) -> Reply:
        return asyncio.run(self.chat_async(model, text, **kw))

    def post(self, path: str, value, *, headers=None, timeout=90.0) -> Reply:
        body = value if isinstance(value, bytes) else json.dumps(value).encode()
        return asyncio.run(fetch(self.port, "POST", path, headers=self.headers(headers), body=body, timeout=timeout, host=self.host))

    def get(self, path: str, *, headers=None, timeout=90.0) -> Reply:
        return asyncio.run(fetch(self.port, "GET", path, headers=self.headers(headers), timeout=timeout, host=self.host))

    def put(self, path: str, value, *, headers=None, timeout=90.0) -> Reply:
        return asyncio.run(fetch(self.port, "PUT", path, headers=self.headers(headers), body=json.dumps(value).encode(), timeout=timeout, host=self.host))

    def delete(self, path: str, *, headers=None, timeout=90.0) -> Reply:
        return asyncio.run(fetch(self.port, "DELETE", path, headers=self.headers(headers), timeout=timeout, host=self.host))

    def raw(self, data: bytes, *, timeout=90.0) -> Reply:
        return asyncio.run(fetch(self.port, "", "", raw=data, timeout=timeout))
