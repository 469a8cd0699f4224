"""An HTTP server of a test's own: what Ballast sends things to."""
from __future__ import annotations

import http.server
import threading


class LocalServer:
    """On a free port of the loopback, a thread for each connection, until `stop`. A test says in `answer` what comes of a request."""

    def __init__(self, host: str = "127.0.0.1"):
        self.over = threading.Event()
        outer = self

        class Handler(http.server.BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def serve(self):
                body = self.rfile.read(int(self.headers.get("content-length", 0)))
                said = outer.answer(self.command, self.path, {k.lower(): v for k, v in self.headers.items()}, body)
                if said is None:
                    outer.over.wait()
                    self.close_connection = True
                    return
                status, headers, text = said
                try:
                    self.send_response(status)
                    for name, value in {**headers, "Content-Length": str(len(text))}.items():
                        self.send_header(name, value)
                    self.end_headers()
                    self.wfile.write(text)
                except OSError:
                    pass                           # whoever asked was killed

            do_GET = do_POST = do_DELETE = serve

            def log_message(self, *args):
                pass

        self.server = http.server.ThreadingHTTPServer((host, 0), Handler)
        self.server.daemon_threads = True
        self.port = self.server.server_address[1]
        self.url = f"http://{host}:{self.port}"
        threading.Thread(target=self.server.serve_forever, args=(0.05,), daemon=True).start()

    def answer(self, method: str, path: str, headers: dict[str, str], body: bytes) -> tuple[int, dict[str, str], bytes] | None:
        """Status, headers and body; None: silence until the end. Names of headers are in small letters. Runs in the connection's thread."""
        raise NotImplementedError

    def stop(self) -> None:
        self.over.set()
        self.server.shutdown()
        self.server.server_close()
