"""deps.sh tells a user who may not install what root should type, and asks nobody when nothing is missing."""
import os
import pathlib
import shutil
import subprocess

import pytest

HERE = pathlib.Path(__file__).parent
FAKES = {"id": "echo 1000", "apt-get": "echo apt-get was called; exit 1", "python3": "exit 0"}


@pytest.fixture
def deps(tmp_path):
    """Runs deps.sh on a machine that has only a shell and what is faked here."""
    def run(what, **fakes):
        for name, body in (FAKES | fakes).items():
            (tmp_path / name).write_text(f"#!{shutil.which('bash')}\n{body}\n")
            (tmp_path / name).chmod(0o755)
        for name in ("bash", "env", "sort"):
            os.symlink(shutil.which(name), tmp_path / name)
        return subprocess.run([str(tmp_path / "bash"), str(HERE / "deps.sh"), what], env={"PATH": str(tmp_path)}, capture_output=True, text=True)
    return run


def test_without_root_or_sudo_it_prints_the_line_for_root(deps):
    done = deps("build", **{"dpkg-query": "exit 1"})
    assert done.returncode == 1 and "apt-get was called" not in done.stdout
    line = next(line for line in done.stderr.splitlines() if "apt-get install" in line)
    assert line.strip().startswith("apt-get update && ")
    for package in ("clang-19", "cmake", "ca-certificates", "make", "curl"):
        assert f" {package}" in line
    assert " nginx" not in line and "no sudo" in done.stderr


def test_nothing_missing_says_nothing(deps):
    there = {name: "exit 0" for name in ("make", "curl", "node", "npm", "nginx", "redis-server")}
    done = deps("test", **{"dpkg-query": "printf installed"}, **there)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


def test_what_the_tests_need_is_asked_for_with_the_tests(deps):
    done = deps("test", **{"dpkg-query": "exit 1", "python3": "exit 1"})
    assert " lintian" not in done.stderr
    for package in ("postgresql", "nginx", "redis-server", "nodejs", "npm", "python3-venv"):
        assert f" {package}" in done.stderr


@pytest.mark.parametrize("kind, there, absent", [("package", ("clang-19", "dpkg-dev"), ("nginx", "lintian")), ("extended", ("dpkg-dev", "haproxy", "lintian"), ())])
def test_each_kind_asks_for_its_own(deps, kind, there, absent):
    asked = deps(kind, **{"dpkg-query": "exit 1", "python3": "exit 1"}).stderr
    assert all(f" {p}" in asked for p in there) and not any(f" {p}" in asked for p in absent)
