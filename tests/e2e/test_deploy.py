"""What deploy/ promises: the image has the libraries that the binary loads, and its configuration is good."""
from __future__ import annotations

import os
import shutil
import subprocess

import pytest

from support.gateway import ROOT, binary


@pytest.mark.skipif(not (shutil.which("dpkg") and shutil.which("objdump")), reason="reads Debian's package lists")
def test_the_image_has_every_library_the_binary_loads():
    image = (ROOT / "deploy" / "Dockerfile").read_text().split("debian:12-slim")[1]
    headers = subprocess.run(["objdump", "-p", binary()], capture_output=True, text=True, check=True).stdout
    needed = [line.split()[1] for line in headers.splitlines() if line.split()[:1] == ["NEEDED"]]
    assert "libssl.so.3" in needed
    owners = subprocess.run(["dpkg", "-S", *[f"*-linux-gnu/{name}" for name in needed]], capture_output=True, text=True).stdout
    packages = {line.split(":")[0] for line in owners.splitlines()} - {"libc6", "libgcc-s1", "libstdc++6"}
    assert packages and not {p for p in packages if f" {p} " not in image.replace("\n", " ")}


def test_the_configuration_of_the_compose_file_is_good():
    done = subprocess.run([binary(), "check", "--config", str(ROOT / "deploy" / "ballast.yaml")], capture_output=True, text=True,
                          env=os.environ | {"POSTGRES_PASSWORD": "secret"})
    assert done.returncode == 0 and "database postgres" in done.stdout, done.stderr


@pytest.mark.skipif(not shutil.which("promtool"), reason="promtool is not installed (apt-get install prometheus)")
def test_prometheus_takes_the_alert_rules_and_they_fire_when_they_should():
    folder = ROOT / "deploy" / "prometheus"
    for arguments in (["check", "config", "prometheus.yaml"], ["test", "rules", "ballast.test.yaml", "ballast-jobs.test.yaml"]):
        done = subprocess.run(["promtool", *arguments], cwd=folder, capture_output=True, text=True)
        assert done.returncode == 0, done.stdout + done.stderr
