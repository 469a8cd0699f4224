"""What the peers of npm share: installing from a lock file, and processes that are told what to do in lines of JSON."""
from __future__ import annotations

import hashlib
import json
import pathlib
import queue
import shutil
import subprocess
import threading

from measuring import on_cores

HERE = pathlib.Path(__file__).resolve().parent
BUILT = HERE.parents[1] / "build" / "bench"


def mark_of(source: pathlib.Path) -> str:
    return hashlib.sha256((source / "package-lock.json").read_bytes()).hexdigest()


def installed(source: pathlib.Path, home: pathlib.Path) -> bool:
    """Whether `home` has what the lock file in `source` says."""
    stamp = home / ".installed"
    return stamp.exists() and stamp.read_text() == mark_of(source)


def install(source: pathlib.Path, home: pathlib.Path) -> None:
    """Not `npm ci`: that insists on other platforms' builds of an optional package, which not every registry keeps."""
    if installed(source, home):
        return
    home.mkdir(parents=True, exist_ok=True)
    shutil.rmtree(home / "node_modules", ignore_errors=True)
    for name in ("package.json", "package-lock.json"):
        shutil.copy(source / name, home / name)
    subprocess.run(["npm", "install", "--no-save", "--no-audit", "--no-fund", "--loglevel=error"], check=True, cwd=home, timeout=600,
                   stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    (home / ".installed").write_text(mark_of(source))


class Node:
    """One process of `script`, which finds its packages in `home`."""

    def __init__(self, home: pathlib.Path, script: pathlib.Path, *words: str, cores: set[int] | None):
        self.name = script.name
        with on_cores(cores):
            self.process = subprocess.Popen(["node", str(script), *words], cwd=home, text=True, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        self.lines: queue.Queue[str | None] = queue.Queue()
        threading.Thread(target=self._read, daemon=True).start()

    def _read(self) -> None:
        for line in self.process.stdout:
            self.lines.put(line)
        self.lines.put(None)

    def tell(self, do: str, **more) -> None:
        self.process.stdin.write(json.dumps({"do": do, **more}) + "\n")
        self.process.stdin.flush()

    def hear(self, seconds: float = 120) -> dict:
        """The next answer. Raises queue.Empty when none came in time."""
        line = self.lines.get(timeout=seconds)
        if line is None:
            raise RuntimeError(f"a process of {self.name} has ended early")
        return json.loads(line)

    def ask(self, do: str, **more) -> dict:
        self.tell(do, **more)
        return self.hear()

    def kill(self) -> None:
        self.process.kill()
        self.process.wait(30)
