"""A blueprint's folder, copied and run as its README says."""
from __future__ import annotations

import pathlib
import shutil
import subprocess
import sys

import pytest

from support.client import Caller
from support.gateway import ADMIN_KEY, APP_KEY, ROOT, Gateway, wait_until

DESK_KEY = "sk-ballast-desk-0123456789abcdef0123456789"


class House(Gateway):
    """A copy of a blueprint's folder, run with its own ballast.yaml."""

    def __init__(self, name: str, folder: pathlib.Path, database: str | None, env: dict[str, str]):
        shutil.copytree(ROOT / "blueprints" / name, folder, ignore=shutil.ignore_patterns("__pycache__", ".ballast", "press.db*"))
        keys = {"SHOP_KEY": APP_KEY, "WIRE_KEY": APP_KEY, "DESK_KEY": DESK_KEY, "EDITOR_KEY": DESK_KEY, "ANALYST_KEY": APP_KEY, "BALLAST_ADMIN_KEY": ADMIN_KEY}
        super().__init__(folder, {}, env=keys | ({"DATABASE": database} if database else {}) | env)
        self.env["PORT"] = str(self.port)
        self.env["BALLAST_SERVER"] = f"http://127.0.0.1:{self.port}"

    def write_config(self) -> None:
        pass

    def change(self, file: str, old: str, new: str) -> None:
        path = self.folder / file
        text = path.read_text()
        assert text.count(old) == 1, f"{file} has {text.count(old)} of {old!r}"
        path.write_text(text.replace(old, new))

    def python(self, *args: str, timeout: float = 300) -> str:
        done = subprocess.run([sys.executable, *args], capture_output=True, text=True, cwd=self.folder, env=self.env, timeout=timeout)
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    @property
    def desk(self) -> Caller:
        return Caller(self.port, DESK_KEY)

    def submit(self, flow: str, value, wait: str = "") -> dict:
        made = self.app.post("/api/jobs" + (f"?wait={wait}" if wait else ""), {"flow": flow, "input": value})
        assert made.status in (200, 202), made.body
        return made.json()

    def job(self, id: str, wait: str = "") -> dict:
        got = self.admin.get(f"/api/jobs/{id}" + (f"?wait={wait}" if wait else ""))
        assert got.status == 200, got.body
        return got.json()

    def records(self, id: str) -> dict[str, list[dict]]:
        out: dict[str, list[dict]] = {}
        for r in self.admin.get(f"/api/jobs/{id}/stages").json()["records"]:
            out.setdefault(r["stage"], []).append(r)
        return out

    def asked(self, job: str) -> dict:
        """What the run asks a human, once it does."""
        wait_until(lambda: self.desk.get(f"/api/approvals?job={job}").json()["approvals"])
        [approval] = self.desk.get(f"/api/approvals?job={job}").json()["approvals"]
        return self.desk.get(f"/api/approvals/{approval['id']}").json()


@pytest.fixture
def house(tmp_path, database):
    made: list[House] = []

    def make(name: str, start: bool = True, **env: str) -> House:
        g = House(name, tmp_path / f"{name}{len(made)}", database(), env)
        made.append(g)
        return g.start() if start else g
    yield make
    for g in made:
        g.stop()
