"""HAProxy before nodes of a test: the shipped configuration, with their addresses in place of the names of containers."""
from __future__ import annotations

import pathlib
import re
import subprocess

from .gateway import ROOT, Gateway, free_port, wait_port

SHIPPED = ROOT / "deploy" / "compose" / "haproxy.cfg"


def on_loopback(text: str, port: int, nodes: list[int]) -> str:
    """The same, but for where it listens and where the nodes are."""
    text, listens = re.subn(r"bind :8080", f"bind 127.0.0.1:{port}", text)
    for n, node in enumerate(nodes, 1):
        text, named = re.subn(rf"server ballast-{n} ballast-{n}:8080", f"server ballast-{n} 127.0.0.1:{node}", text)
        assert named == 2, f"ballast-{n} is in both backends"
    assert listens == 1
    return text


class Haproxy:
    def __init__(self, folder: pathlib.Path, nodes: list[Gateway]):
        self.port = free_port()
        file, log = folder / "haproxy.cfg", folder / "haproxy.log"
        file.write_text(on_loopback(SHIPPED.read_text(), self.port, [g.port for g in nodes]))
        with open(log, "wb") as out:
            self.process = subprocess.Popen(["haproxy", "-db", "-f", file], stdout=out, stderr=subprocess.STDOUT, cwd=folder)
        wait_port(self.port, self.process, log)

    def stop(self) -> None:
        self.process.terminate()
        self.process.wait(60)
