"""A model provider made of raw sockets, in OpenAI's shape, that misbehaves to the byte.

`Upstream` listens on a free port of the loopback and runs on its own thread. What it answers is scripted per model
name: a list of behaviours, one per request, the last of which repeats. It keeps its own books (`requests`), so that a
test can compare what the gateway recorded with what the provider saw.
"""
from __future__ import annotations

import asyncio
import json
import socket
import struct
import threading
import time
from dataclasses import dataclass, field
from typing import Awaitable, Callable


@dataclass
class Seen:
    """One request as the provider saw it. `output_tokens` is what the provider would charge for."""

    at: float
    path: str
    headers: dict[str, str]
    body: dict
    model: str
    prompt_tokens: int = 0
    output_tokens: int = 0
    finished: bool = False
    client_left: bool = False
    until: float | None = None      # when the provider was through with it


Behaviour = Callable[["Wire", Seen], Awaitable[None]]


class Wire:
    """The socket of one request; what a behaviour writes with."""

    def __init__(self, upstream: "Upstream", reader: asyncio.StreamReader, writer: asyncio.StreamWriter):
        self.upstream, self.reader, self.writer = upstream, reader, writer
        self.keep_alive = True

    async def raw(self, data: bytes) -> None:
        self.writer.write(data)
        await self.writer.drain()

    async def json(self, status: int, value, headers: dict[str, str] | None = None) -> None:
        body = value if isinstance(value, bytes) else json.dumps(value).encode()
        head = f"HTTP/1.1 {status} X\r\ncontent-type: application/json\r\ncontent-length: {len(body)}\r\n"
        for k, v in (headers or {}).items():
            head += f"{k}: {v}\r\n"
        await self.raw(head.encode() + b"\r\n" + body)

    async def start_stream(self) -> None:
        await self.raw(b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n")

    async def chunk(self, data: bytes) -> None:
        await self.raw(f"{len(data):x}\r\n".encode() + data + b"\r\n")

    async def event(self, value) -> None:
        text = value if isinstance(value, str) else json.dumps(value)
        await self.chunk(b"data: " + text.encode() + b"\n\n")

    async def end_stream(self) -> None:
        await self.raw(b"0\r\n\r\n")

    def reset(self) -> None:
        """Closes with a TCP RST instead of a FIN."""
        sock = self.writer.get_extra_info("socket")
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.writer.transport.abort()
        self.keep_alive = False

    def cut(self) -> None:
        """Closes with a FIN, whatever was announced."""
        self.writer.close()
        self.keep_alive = False

    async def read_by_peer(self) -> None:
        """Waits until the peer has taken in all that was written: a reset discards what it has not read yet."""
        mine, theirs = (f":{self.writer.get_extra_info(end)[1]:04X}" for end in ("sockname", "peername"))
        for _ in range(2000):
            with open("/proc/net/tcp") as table:
                rows = [line.split() for line in table]
            queues = [r[4] for r in rows if r[1].endswith(theirs) and r[2].endswith(mine)]
            if all(q.endswith(":00000000") for q in queues) and not self.writer.transport.get_write_buffer_size():
                break
            await asyncio.sleep(0.005)

    async def silence(self, seen: Seen, seconds: float = 60) -> None:
        """Says nothing until the peer leaves or the time is over."""
        self.keep_alive = False
        try:
            data = await asyncio.wait_for(self.reader.read(1), seconds)
            seen.client_left = not data
        except (asyncio.TimeoutError, ConnectionError):
            pass


class Upstream:
    def __init__(self, default: Behaviour | None = None, host: str = "127.0.0.1"):
        self.host = host
        self.requests: list[Seen] = []
        self.connections = 0
        self._scripts: dict[str, list[Behaviour]] = {}
        self._default = default or ok()
        self._loop = asyncio.new_event_loop()
        self._ready = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()
        self._ready.wait(10)

    @property
    def base_url(self) -> str:
        return f"http://{self.host}:{self.port}/v1"

    def script(self, model: str, *behaviours: Behaviour) -> None:
        self._scripts[model] = list(behaviours)

    def seen(self, model: str | None = None) -> list[Seen]:
        return [r for r in list(self.requests) if model is None or r.model == model]

    def forget(self) -> None:
        self.requests.clear()

    def stop(self) -> None:
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(10)

    def _run(self) -> None:
        asyncio.set_event_loop(self._loop)

        async def begin():
            server = await asyncio.start_server(self._serve, self.host, 0, backlog=4096, limit=1 << 26)
            self.port = server.sockets[0].getsockname()[1]
            self._server = server
            self._ready.set()

        self._loop.run_until_complete(begin())
        self._loop.run_forever()
        self._server.close()
        for task in asyncio.all_tasks(self._loop):
            task.cancel()
        self._loop.run_until_complete(asyncio.sleep(0))

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        writer.get_extra_info("socket").setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        wire = Wire(self, reader, writer)
        try:
            while wire.keep_alive and not writer.is_closing():
                head = await reader.readuntil(b"\r\n\r\n")
                seen = await self._read_request(reader, head)
                self.requests.append(seen)
                queue = self._scripts.get(seen.model)
                behaviour = (queue.pop(0) if len(queue) > 1 else queue[0]) if queue else self._default
                try:
                    await behaviour(wire, seen)
                finally:
                    seen.until = time.monotonic()
        except (ConnectionError, asyncio.IncompleteReadError, asyncio.CancelledError):
            pass
        finally:
            if not writer.is_closing():
                writer.close()

    async def _read_request(self, reader: asyncio.StreamReader, head: bytes) -> Seen:
        lines = head.decode("latin-1").split("\r\n")
        headers = {k.strip().lower(): v.strip() for k, v in (l.split(":", 1) for l in lines[1:] if ":" in l)}
        if headers.get("transfer-encoding", "").lower() == "chunked":
            raw = b""
            while size := int((await reader.readline()).split(b";")[0], 16):
                raw += (await reader.readexactly(size + 2))[:-2]
            await reader.readuntil(b"\r\n")
        else:
            raw = await reader.readexactly(int(headers.get("content-length", "0")))
        try:
            body = json.loads(raw) if raw else {}
        except ValueError:
            body = {"_raw": raw}
        return Seen(time.monotonic(), lines[0].split(" ")[1], headers, body, str(body.get("model", "")))


# ---- what a provider may do -----------------------------------------------------------------------------------------

def words(n: int, label: str = "w") -> list[str]:
    """`n` tokens of text; joined they are the answer. A word is one token in this provider's count."""
    return [(" " if i else "") + f"{label}{i}" for i in range(n)]


def count_prompt(body: dict) -> int:
    """This provider's own count of prompt tokens: words of every text, plus four per message. Below the byte bound."""
    total = 3
    for m in body.get("messages", []):
        content = (m.get("content") if isinstance(m, dict) else m) or ""
        parts = content if isinstance(content, list) else [{"text": content}]
        total += 4 + sum(len(str(p.get("text", "")).split()) for p in parts if isinstance(p, dict))
    return total


def prefilled(body: dict) -> str:
    """The assistant's text so far when the request ends with it, else an empty string."""
    last = (body.get("messages") or [{}])[-1]
    if not isinstance(last, dict):
        return ""
    return (last.get("content") or "") if last.get("role") == "assistant" else ""


def limit_of(body: dict) -> int | None:
    return body.get("max_completion_tokens") or body.get("max_tokens")


def usage_of(seen: Seen) -> dict:
    return {"prompt_tokens": seen.prompt_tokens, "completion_tokens": seen.output_tokens,
            "total_tokens": seen.prompt_tokens + seen.output_tokens}


def delta(seen: Seen, d: dict, finish=None, **extra) -> dict:
    return {"id": "chatcmpl-fake", "object": "chat.completion.chunk", "created": 1700000000, "model": seen.model,
            "choices": [{"index": 0, "delta": d, "finish_reason": finish}], **extra}


def ok(text: list[str] | int = 20, *, delay: float = 0.0, gap: float = 0.0, cut_after: int | None = None,
       end: str = "cut", finish: str = "stop", done: bool = True, usage: bool = True, malformed_at: int | None = None,
       first_token: float = 0.0, role_first: bool = True, close: bool = False) -> Behaviour:
    """A chat completion of these tokens, streamed when asked for.

    `cut_after` tokens of a stream, then `end`: "cut" (FIN), "reset" (RST), "clean" (a proper end of the message
    without a finish reason), "silence" (the socket stays open), "error" (an error event, then the end).
    """
    async def behave(wire: Wire, seen: Seen) -> None:
        tokens = words(text) if isinstance(text, int) else list(text)
        so_far = prefilled(seen.body)
        if so_far:  # a prefill is continued, not repeated
            whole = "".join(tokens)
            if whole.startswith(so_far.rstrip()):
                done_n = next(i for i in range(len(tokens) + 1) if len("".join(tokens[:i])) >= len(so_far.rstrip()))
                tokens = tokens[done_n:]
        ceiling = limit_of(seen.body)
        reason = finish
        if ceiling is not None and len(tokens) > ceiling:
            tokens, reason = tokens[:ceiling], "length"
        seen.prompt_tokens = count_prompt(seen.body)
        if delay:
            await asyncio.sleep(delay)
        if not seen.body.get("stream"):
            seen.output_tokens = len(tokens)
            await wire.json(200, {
                "id": "chatcmpl-fake", "object": "chat.completion", "created": 1700000000, "model": seen.model,
                "choices": [{"index": 0, "message": {"role": "assistant", "content": "".join(tokens)},
                             "finish_reason": reason}], "usage": usage_of(seen)})
            seen.finished = True
            return
        await wire.start_stream()
        if role_first:
            await wire.event(delta(seen, {"role": "assistant", "content": ""}))
        if first_token:
            await wire.silence(seen, first_token)
            if seen.client_left:
                return
        for i, token in enumerate(tokens):
            if cut_after is not None and i == cut_after:
                if end == "silence":
                    await wire.silence(seen)
                elif end == "reset":
                    await wire.read_by_peer()
                    wire.reset()
                elif end == "clean":
                    await wire.end_stream()
                elif end == "error":
                    await wire.event({"error": {"message": "The server had an error", "type": "server_error",
                                                "code": None, "param": None}})
                    await wire.end_stream()
                    wire.cut()
                else:
                    wire.cut()
                return
            if malformed_at == i:
                await wire.event('{"id":"chatcmpl-fake","choices":[{"delta":{"content":" bro')
            await wire.event(delta(seen, {"content": token}))
            seen.output_tokens += 1
            if gap:
                await asyncio.sleep(gap)
        await wire.event(delta(seen, {}, reason))
        wants = (seen.body.get("stream_options") or {}).get("include_usage")
        if usage and wants:
            await wire.event({**delta(seen, {}), "choices": [], "usage": usage_of(seen)})
        if done:
            await wire.event("[DONE]")
        seen.finished = True
        if end == "hang":
            await wire.silence(seen)
            return
        await wire.end_stream()
        if close:
            wire.cut()
    return behave


def error(status: int, code: str | None = None, kind: str = "server_error", message: str = "The server had an error",
          headers: dict[str, str] | None = None) -> Behaviour:
    async def behave(wire: Wire, seen: Seen) -> None:
        await wire.json(status, {"error": {"message": message, "type": kind, "param": None, "code": code}}, headers)
    return behave


def rate_limited(retry_after: str | None = None) -> Behaviour:
    return error(429, "rate_limit_exceeded", "requests", "Rate limit reached",
                 {"retry-after": retry_after} if retry_after else None)


def context_length() -> Behaviour:
    return error(400, "context_length_exceeded", "invalid_request_error",
                 "This model's maximum context length is 4096 tokens. However, your messages resulted in 9000 tokens.")


def content_filter() -> Behaviour:
    return error(400, "content_filter", "invalid_request_error",
                 "The response was filtered due to the prompt triggering the content management policy.")


def reset_before_headers() -> Behaviour:
    async def behave(wire: Wire, seen: Seen) -> None:
        wire.reset()
    return behave


def never_answers() -> Behaviour:
    async def behave(wire: Wire, seen: Seen) -> None:
        await wire.silence(seen)
    return behave


def refuses_prefill(then: Behaviour) -> Behaviour:
    """As some providers do: a request that ends with the assistant's words is a 400."""
    refuse = error(400, "invalid_request", "invalid_request_error", "Prefilling assistant messages is not supported")

    async def behave(wire: Wire, seen: Seen) -> None:
        await (refuse if prefilled(seen.body) else then)(wire, seen)
    return behave


class Gate:
    """Holds every request until the test opens it: what is to happen meanwhile happens meanwhile, on any machine."""

    def __init__(self, then: Behaviour):
        self.then, self.opened = then, threading.Event()

    async def __call__(self, wire: Wire, seen: Seen) -> None:
        while not self.opened.is_set():
            await asyncio.sleep(0.01)
        await self.then(wire, seen)

    def open(self) -> None:
        self.opened.set()


def until(moment: Callable[[], bool], before: Behaviour, after: Behaviour) -> Behaviour:
    """`before` until `moment()` turns true, then `after`: an outage that ends."""
    async def behave(wire: Wire, seen: Seen) -> None:
        await (after if moment() else before)(wire, seen)
    return behave


def raw(data: bytes, then_close: bool = True) -> Behaviour:
    """Bytes as they are: a provider that does not speak HTTP well."""
    async def behave(wire: Wire, seen: Seen) -> None:
        await wire.raw(data)
        if then_close:
            wire.cut()
    return behave
