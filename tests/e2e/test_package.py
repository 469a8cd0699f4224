"""The Debian package: what is in it; and, long, installed, run by systemd, upgraded, removed and purged in a clean Debian."""
from __future__ import annotations

import json
import os
import pathlib
import re
import shutil
import subprocess

import pytest

from support.clean_root import CleanRoot
from support.gateway import ROOT, binary, wait_until

pytestmark = pytest.mark.skipif(not (shutil.which("dpkg-shlibdeps") and shutil.which("dpkg-deb")), reason="builds a package (apt-get install dpkg-dev)")
LISTEN = "http://127.0.0.1:8080"
ADMIN = "sk-admin-0123456789abcdef0123"


def build(folder: pathlib.Path, *version: str, compress: str = "none") -> pathlib.Path:
    done = subprocess.run([ROOT / "tools" / "deb.sh", *version], capture_output=True, text=True, timeout=300,
                          env=os.environ | {"BALLAST_BIN": str(pathlib.Path(binary()).resolve()), "COMPRESS": compress, "OUT": str(folder), "DEBEMAIL": "ballast@debian.org"})
    assert done.returncode == 0, done.stdout + done.stderr
    return pathlib.Path(re.search(r"/\S+\.deb", done.stdout)[0])


def ask(*command) -> str:
    return subprocess.run(command, capture_output=True, text=True, timeout=60, check=True).stdout


@pytest.fixture(scope="module")
def package(tmp_path_factory):
    return build(tmp_path_factory.mktemp("package"))


def test_the_package_says_what_it_needs_and_holds_what_it_says(package):
    needs = ask("dpkg-deb", "-f", package, "Depends")
    for library in ("libc6 (>= ", "libssl3 (>= ", "libpq5 (>= ", "libsqlite3-0 (>= ", "libstdc++6 (>= ", "ca-certificates", "tzdata", "adduser"):
        assert library in needs, needs
    rows = [line.split(None, 5) for line in ask("dpkg-deb", "-c", package).splitlines()]
    held = {row[5].removeprefix("."): (row[0], row[1]) for row in rows}
    assert held["/usr/bin/ballast"] == ("-rwxr-xr-x", "root/root")
    assert held["/etc/ballast/credentials/"] == ("drwx------", "root/root")
    assert held["/lib/systemd/system/ballast.service"][0] == "-rw-r--r--" and "/usr/share/doc/ballast/deployment.md.gz" in held
    assert not [name for name, (mode, owner) in held.items() if owner != "root/root" or "w" in mode[5:]], "nobody but root writes"
    assert not [name for name in held if name.startswith("/var")], "data is not the package's, so removing it cannot delete any"


def test_each_command_has_its_page(package, tmp_path):
    subprocess.run(["dpkg-deb", "-x", package, tmp_path], check=True)
    told = ask(binary(), "--help")
    commands = re.findall(r"^  ([a-z-]+) {2,}", told[told.index("Subcommands"):], re.M)
    pages = {p.name for p in (tmp_path / "usr/share/man/man1").iterdir()}
    assert len(commands) > 20 and pages == {"ballast.1.gz", *(f"ballast-{c}.1.gz" for c in commands)}
    page = ask("zcat", tmp_path / "usr/share/man/man1/ballast-keys.1.gz")
    assert "ballast keys rotate" in page and "How long the old secret goes on" in page and "Env:BALLAST_ADMIN_KEY" in page
    if not shutil.which("groff"):
        return
    for name in sorted(pages):
        text = subprocess.run(["zcat", tmp_path / "usr/share/man/man1" / name], capture_output=True, check=True).stdout
        said = subprocess.run(["groff", "-man", "-Tutf8", "-wall", "-z"], input=text, capture_output=True)
        assert said.returncode == 0 and not said.stderr, f"{name}: {said.stderr.decode()}"


# ---- in a clean Debian ----

@pytest.fixture
def clean(tmp_path):
    if os.geteuid() != 0 or not shutil.which("debootstrap"):
        pytest.skip("needs root and debootstrap (apt-get install debootstrap)")
    root = CleanRoot(tmp_path / "root")
    yield root
    root.stop()


def status(root: CleanRoot, *names: str) -> dict[str, str]:
    lines = root.run("systemctl", "show", "ballast", "-p", ",".join(names)).stdout.splitlines()
    return dict(line.split("=", 1) for line in lines if "=" in line)


def healthy(root: CleanRoot) -> bool:
    return root.run("ballast", "health", "--ready", "--server", LISTEN, check=False).returncode == 0


@pytest.mark.extended
def test_installed_run_upgraded_removed_and_purged(clean, tmp_path):
    older, newer = clean.put(build(tmp_path, "0.0.9")), clean.put(build(tmp_path))
    # Its declared dependencies are all that it needs: nothing else is there.
    clean.chroot("apt-get", "install", "-y", "--no-install-recommends", older)
    missing = clean.chroot("bash", "-c", "ldd /usr/bin/ballast | grep 'not found' || true").stdout
    assert not missing
    clean.chroot("runuser", "-u", "ballast", "--", "ballast", "check", "--config", "/etc/ballast/ballast.yaml")
    clean.chroot("dpkg", "--purge", "ballast")

    clean.boot()
    clean.run("dpkg", "-i", older)
    wait_until(lambda: healthy(clean))
    first = status(clean, "ActiveState", "UnitFileState", "StatusText", "MainPID", "User")
    assert first["ActiveState"] == "active" and first["UnitFileState"] == "enabled" and first["StatusText"] == "serving on port 8080" and first["User"] == "ballast"
    assert "admin key" in clean.shell("journalctl -u ballast --no-pager"), "the first keys are in the log"

    # A secret is a file that only root and the service read.
    clean.shell(f"install -m 600 /dev/null /etc/ballast/credentials/ADMIN; echo {ADMIN} > /etc/ballast/credentials/ADMIN; "
                "echo 'admin_key: ${ADMIN}' >> /etc/ballast/ballast.yaml; systemctl restart ballast")
    command = "CREDENTIALS_DIRECTORY=/etc/ballast/credentials BALLAST_CONFIG=/etc/ballast/ballast.yaml ballast"
    # A flow under the filter of system calls and without memory that is both written and run: jq, a model, the database.
    clean.shell("""mkdir /etc/ballast/flows; echo 'flow: greet
stages:
  answer: {model: {route: chat, prompt: "Say hello to {{ .input.name | ascii_upcase }}"}}' > /etc/ballast/flows/greet.yaml
echo 'flows: /etc/ballast/flows
routes: {chat: {targets: [sim/sim-small]}}' >> /etc/ballast/ballast.yaml
systemctl reload ballast""")
    wait_until(lambda: '"event":"reloaded"' in clean.shell("journalctl -u ballast --no-pager"))
    done = json.loads(clean.shell(f"""{command} jobs submit --flow greet --input '{{"name": "ann"}}' --wait 60s --json"""))
    assert done["state"] == "done", done
    job = done["id"]

    clean.shell("systemctl kill -s SIGKILL ballast")
    wait_until(lambda: status(clean, "NRestarts")["NRestarts"] == "1" and healthy(clean))
    # A process that stands still is ended within the watchdog's 30 s, and started again.
    clean.shell("systemctl kill -s SIGSTOP ballast")
    wait_until(lambda: status(clean, "NRestarts")["NRestarts"] == "2" and healthy(clean), 90)
    assert "watchdog" in clean.shell("journalctl -u ballast --no-pager").lower()

    # A wrong configuration is no reason to try again and again, nor to end what runs.
    clean.shell("cp /etc/ballast/ballast.yaml /srv; echo 'nonsense: 1' >> /etc/ballast/ballast.yaml; systemctl reload ballast")
    wait_until(lambda: "reload_refused" in clean.shell("journalctl -u ballast --no-pager"))
    assert healthy(clean)
    clean.shell("systemctl restart ballast || true; sleep 5")
    assert status(clean, "ActiveState", "ExecMainStatus") == {"ActiveState": "failed", "ExecMainStatus": "3"}
    clean.shell("cp /srv/ballast.yaml /etc/ballast/; systemctl restart ballast")

    before = status(clean, "MainPID")
    clean.run("dpkg", "--force-confold", "-i", newer)
    wait_until(lambda: healthy(clean))
    assert status(clean, "MainPID") != before and "admin_key" in clean.shell("cat /etc/ballast/ballast.yaml"), "restarted, on the configuration that was changed"
    assert '"clean":true' in clean.shell("journalctl -u ballast --no-pager"), "the one before was drained"
    assert json.loads(clean.shell(f"{command} jobs show {job} --json"))["state"] == "done", "and its work is there"

    clean.run("dpkg", "--remove", "ballast")
    assert status(clean, "ActiveState")["ActiveState"] == "inactive"
    assert clean.shell("ls /var/lib/ballast/ballast.db /etc/ballast/credentials/ADMIN").count("\n") == 1, "removing deletes nothing that was written"
    clean.run("dpkg", "--purge", "ballast")
    left = clean.shell("find / -xdev -name '*ballast*' -not -path '/proc/*' -not -path '/srv/*' -not -path '/var/log/*' -not -path '/run/*'; getent passwd ballast || true; getent group ballast || true")
    assert not left, left


@pytest.mark.extended
@pytest.mark.skipif(not shutil.which("lintian"), reason="lintian is not installed")
def test_lintian_has_nothing_to_say(tmp_path):
    package = build(tmp_path, compress="xz")
    said = subprocess.run(["lintian", "--allow-root", "--fail-on", "error,warning", package], capture_output=True, text=True, timeout=300)
    assert said.returncode == 0 and not said.stdout, said.stdout
