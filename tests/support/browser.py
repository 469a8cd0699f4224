"""A real browser, driven over its own pipe (Chrome DevTools Protocol): what a person's hands and eyes would meet."""
from __future__ import annotations

import base64
import json
import os
import pathlib
import shutil
import subprocess
import time

CHROMIUM = next((path for name in ("chromium", "chromium-browser", "google-chrome") if (path := shutil.which(name))), None)


class Browser:
    """One page of a headless browser. `complaints`: what its console, its scripts and its security policy have said."""

    def __init__(self, folder: pathlib.Path, width: int = 1000, height: int = 1000):
        assert CHROMIUM, "there is no Chromium here: tools/deps.sh test installs it"
        theirs_in, self._to = os.pipe()
        self._from, theirs_out = os.pipe()
        self.process = subprocess.Popen(                # it reads commands from descriptor 3 and answers on 4
            ["bash", "-c", f'exec "$@" 3<&{theirs_in} 4>&{theirs_out}', "_", CHROMIUM, "--headless", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage",
             "--no-first-run", "--disable-background-networking", "--remote-debugging-pipe", f"--window-size={width},{height}", f"--user-data-dir={folder / 'browser'}"],
            pass_fds=(theirs_in, theirs_out), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        os.close(theirs_in)
        os.close(theirs_out)
        self._unread, self._last, self._session = b"", 0, None
        self.complaints: list[str] = []
        target = self.do("Target.createTarget", url="about:blank")["targetId"]
        self._session = self.do("Target.attachToTarget", targetId=target, flatten=True)["sessionId"]
        for domain in ("Page", "Runtime", "Log"):
            self.do(f"{domain}.enable")

    def do(self, method: str, **params):
        """A command's result. What happens meanwhile is noted."""
        self._last += 1
        message = {"id": self._last, "method": method, "params": params} | ({"sessionId": self._session} if self._session else {})
        os.write(self._to, json.dumps(message).encode() + b"\0")
        while True:
            news = self._next()
            if news.get("id") == self._last:
                assert "error" not in news, news["error"]
                return news["result"]
            self._note(news)

    def _next(self) -> dict:
        while b"\0" not in self._unread:
            piece = os.read(self._from, 1 << 16)
            assert piece, "the browser is gone"
            self._unread += piece
        first, self._unread = self._unread.split(b"\0", 1)
        return json.loads(first)

    def _note(self, news: dict) -> None:
        params = news.get("params", {})
        if news.get("method") == "Runtime.exceptionThrown":
            self.complaints.append(str(params["exceptionDetails"].get("exception", params["exceptionDetails"]).get("description")))
        elif news.get("method") == "Runtime.consoleAPICalled" and params["type"] in ("error", "warning"):
            self.complaints.append(" ".join(str(a.get("value")) for a in params["args"]))
        elif news.get("method") == "Log.entryAdded" and params["entry"]["level"] == "error":
            self.complaints.append(params["entry"]["text"])

    def open(self, url: str) -> None:
        self.do("Page.navigate", url=url)
        self.until("document.readyState === 'complete'")

    def value(self, script: str):
        """Of an expression in the page; promises are awaited."""
        got = self.do("Runtime.evaluate", expression=script, returnByValue=True, awaitPromise=True)
        assert "exceptionDetails" not in got, got["exceptionDetails"]
        return got["result"].get("value")

    def until(self, script: str, patience: float = 20):
        end = time.monotonic() + patience
        while not (value := self.value(script)):
            assert time.monotonic() < end, f"never true: {script}\n{self.value('document.body.innerText')}\n{self.complaints}"
            time.sleep(0.02)
        return value

    def type(self, text: str) -> None:
        self.do("Input.insertText", text=text)

    def press(self, key: str) -> None:
        text = {"Enter": "\r"}.get(key, "")
        self.do("Input.dispatchKeyEvent", type="keyDown", key=key, code=key, text=text, windowsVirtualKeyCode=13 if key == "Enter" else 0)
        self.do("Input.dispatchKeyEvent", type="keyUp", key=key, code=key)

    def picture(self, path: pathlib.Path) -> None:
        path.write_bytes(base64.b64decode(self.do("Page.captureScreenshot", captureBeyondViewport=True)["data"]))

    def stop(self) -> None:
        os.close(self._to)
        self.process.terminate()
        try:
            self.process.wait(10)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
        os.close(self._from)
