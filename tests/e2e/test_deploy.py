"""What deploy/ promises: an image that holds all that the binary loads, a unit that systemd takes, files that fit their schemas, and configurations that are good."""
from __future__ import annotations

import json
import os
import re
import shutil
import socket
import subprocess
import time

import pytest
import yaml

from support.configs import one_provider
from support.gateway import ROOT, binary, free_port, wait_until

DEPLOY, DATA = ROOT / "deploy", ROOT / "tests" / "data"
DRAIN_S = 30                     # the default of `drain`, which is waited for twice: runs, then calls


def run(*command, **kw) -> subprocess.CompletedProcess:
    return subprocess.run([str(c) for c in command], capture_output=True, text=True, timeout=120, **kw)


def seconds(text: str) -> int:
    number, unit = re.fullmatch(r"(\d+)(s|min|m)", text).groups()
    return int(number) * (1 if unit == "s" else 60)


def after(flag: str, args: list[str]) -> str:
    return args[args.index(flag) + 1]


# ---- the image ----

@pytest.fixture(scope="module")
def image(tmp_path_factory):
    """The image's root, as the Dockerfile's build makes it."""
    root = tmp_path_factory.mktemp("image") / "root"
    made = run(ROOT / "tools" / "image_root.sh", binary(), root)
    assert made.returncode == 0, made.stderr
    return root


@pytest.mark.skipif(os.geteuid() != 0, reason="chroot wants root")
def test_the_image_runs_alone_read_only_and_as_nobody(image, tmp_path):
    """In the place of a container: nothing but the image's files, none of which may be written, a volume for the data, user 10001."""
    data, port = tmp_path / "data", free_port()
    data.mkdir(mode=0o700)
    os.chown(data, 10001, 10001)
    dockerfile = (DEPLOY / "Dockerfile").read_text()
    check = [word.replace("8080", str(port)) for word in json.loads(re.search(r"HEALTHCHECK .*CMD (\[.*\])", dockerfile)[1])]
    entry = json.loads(re.search(r"^ENTRYPOINT (\[.*\])", dockerfile, re.M)[1])
    command = [word.replace("0.0.0.0:8080", f"127.0.0.1:{port}") for word in json.loads(re.search(r"^CMD (\[.*\])", dockerfile, re.M)[1])]

    mounts = f"mount --bind {image} {image}\nmount -o remount,bind,ro {image}\nmount --bind {data} {image}/var/lib/ballast\n"

    def contained(*argv: str) -> list[str]:
        return ["unshare", "-m", "bash", "-ec", mounts + 'exec chroot --userspec=10001:10001 "$0" "$@"', str(image), *argv]
    (image / "etc" / "ballast.json").write_text(json.dumps({"data_dir": "/var/lib/ballast", "admin_key": "sk-admin-0123456789abcdef"}))
    with open(tmp_path / "log", "wb") as log:
        server = subprocess.Popen(contained(*entry, *command, "--config", "/etc/ballast.json"), stdout=log, stderr=subprocess.STDOUT, env={})
    try:
        wait_until(lambda: server.poll() is not None or run(*contained(*check), env={}).returncode == 0, 60)
        assert server.poll() is None, (tmp_path / "log").read_text()
        asked = run(*contained("/usr/bin/ballast", "keys", "list", "--json", "--server", f"http://127.0.0.1:{port}", "--key", "sk-admin-0123456789abcdef"), env={})
        assert asked.returncode == 0, asked.stderr
        assert list(data.glob("ballast.db")), "what it writes is in the volume"
    finally:
        server.terminate()
        assert server.wait(60) == 0
    assert run(*contained(*check), env={}).returncode == 1, "nobody answers: not healthy"


def test_the_image_is_small_and_has_what_runs_need(image):
    files = [p for p in image.rglob("*") if p.is_file() and not p.is_symlink()]
    assert sum(p.stat().st_size for p in files) < 80e6
    for needed in ("etc/ssl/certs/ca-certificates.crt", "usr/share/zoneinfo/Europe/Berlin", "etc/nsswitch.conf"):
        assert (image / needed).exists(), needed
    assert not [p for p in files if p.name in ("sh", "bash", "dash", "apt", "dpkg")]


# ---- systemd ----

UNIT = DEPLOY / "systemd" / "ballast.service"


@pytest.mark.skipif(not shutil.which("systemd-analyze"), reason="systemd-analyze is not installed (apt-get install systemd)")
def test_systemd_takes_the_unit_and_finds_little_exposed(tmp_path):
    here = tmp_path / "ballast.service"
    here.write_text(UNIT.read_text().replace("/usr/bin/ballast", binary()).replace("Documentation=man:ballast(1)", ""))
    judged = run("systemd-analyze", "verify", here)
    mine = [line for line in judged.stderr.splitlines() if "ballast.service" in line]
    assert judged.returncode == 0 and not mine, judged.stderr
    scored = run("systemd-analyze", "security", "--offline=true", "--threshold=15", "--no-pager", here)
    assert scored.returncode == 0, f"more than 1.5 of 10:\n{scored.stdout}"


def test_the_unit_waits_longer_than_a_drain():
    unit = dict(line.split("=", 1) for line in UNIT.read_text().splitlines() if re.match(r"[A-Z]\w+=", line))
    assert seconds(unit["TimeoutStopSec"]) > 2 * DRAIN_S + 5 and unit["Type"] == "notify"


def test_the_service_manager_is_told(upstream, gateway, tmp_path):
    """Ready when it listens, alive several times in each period, stopping before it drains."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as manager:
        manager.bind(str(tmp_path / "notify"))
        manager.settimeout(60)
        g = gateway(one_provider(upstream), env={"NOTIFY_SOCKET": str(tmp_path / "notify"), "WATCHDOG_USEC": "800000"}, args=["--drain-notice", "1s"])
        told = [manager.recv(4096).decode() for _ in range(6)]
        assert f"READY=1\nSTATUS=serving on port {g.port}" in told and told.count("WATCHDOG=1") == 5, told
        assert g.terminate() == 0
        manager.settimeout(5)
        wait_until(lambda: manager.recv(4096).decode().startswith("STOPPING=1"))


def test_a_drain_is_announced_before_the_door_closes(upstream, gateway):
    g = gateway(one_provider(upstream), args=["--drain-notice", "2s"])
    assert g.app.get("/readyz").status == 200
    began = time.monotonic()
    g.process.terminate()
    wait_until(lambda: g.app.get("/readyz").status == 503)
    assert g.app.chat("chat").succeeded() and g.alive(), "who has not heard of it is served"
    assert g.process.wait(60) == 0 and time.monotonic() - began >= 2


def test_health_asks_the_running_server(upstream, gateway):
    g = gateway(one_provider(upstream))
    for args, asked in (((), "/healthz"), (("--ready",), "/readyz")):
        told = g.command("health", *args, "--json", "--config", str(g.file))
        assert json.loads(told.stdout) | {"answer": None} == {"good": True, "asked": asked, "answer": None}
    assert g.terminate() == 0
    assert g.command("health", "--config", str(g.file), check=False).returncode == 1


# ---- Compose ----

def valid(schema: dict, value, folder) -> str:
    """Empty, or what is wrong with it."""
    (folder / "schema.json").write_text(json.dumps(schema))
    (folder / "value.json").write_text(json.dumps(value))
    done = run(binary(), "schema", "validate", folder / "schema.json", folder / "value.json")
    assert done.returncode in (0, 1), done.stderr
    return "" if done.returncode == 0 else done.stdout + done.stderr


def credentials(folder, *names: str) -> dict[str, str]:
    folder.mkdir()
    for name in names:
        (folder / name).write_text("postgres://ballast@db.example/ballast\n" if name == "DATABASE_URL" else "0123456789abcdef0123456789abcdef\n")
    return {"PATH": os.environ["PATH"], "CREDENTIALS_DIRECTORY": str(folder)}


def test_the_compose_file_is_one(tmp_path):
    compose = yaml.safe_load((DEPLOY / "compose" / "compose.yaml").read_text())
    schema = json.loads((DATA / "compose-spec.json").read_text())
    assert not (wrong := valid(schema, compose, tmp_path)), wrong
    compose["services"]["ballast-1"]["restarts"] = "always"
    assert valid(schema, compose, tmp_path), "the schema refuses what it does not know"


def test_the_compose_file_fits_what_it_starts(tmp_path):
    folder = DEPLOY / "compose"
    compose = yaml.safe_load((folder / "compose.yaml").read_text())
    nodes = {name: s for name, s in compose["services"].items() if name.startswith("ballast-")}
    assert len(nodes) == 3 and len({s["volumes"][1].split(":")[0] for s in nodes.values()}) == 3, "a journal is one node's"
    for node in nodes.values():
        assert seconds(node["stop_grace_period"]) > seconds(after("--drain-notice", node["command"])) + 2 * DRAIN_S
        assert node["read_only"] and node["cap_drop"] == ["ALL"]
    for ignored in (".gitignore", ".dockerignore"):
        assert "/deploy/compose/secrets/\n" in (ROOT / ignored).read_text(), "secrets go nowhere"
    for service in compose["services"].values():
        assert set(service.get("secrets", [])) <= set(compose["secrets"])
        for volume in service.get("volumes", []):
            source = volume.split(":")[0]
            assert (folder / source).exists() if source.startswith(".") else source in compose["volumes"], volume
    done = run(binary(), "check", "--config", folder / "ballast.yaml", env=credentials(tmp_path / "secrets", *compose["secrets"]))
    assert done.returncode == 0 and "database postgres" in done.stdout, done.stderr


@pytest.mark.skipif(not shutil.which("promtool"), reason="promtool is not installed (apt-get install prometheus)")
def test_prometheus_takes_the_alert_rules_and_they_fire_when_they_should(tmp_path):
    folder = DEPLOY / "prometheus"
    beside = tmp_path / "compose"
    shutil.copytree(folder, beside / "rules")
    (beside / "PROMETHEUS_KEY").write_text("key")
    config = (DEPLOY / "compose" / "prometheus.yaml").read_text()
    (beside / "prometheus.yaml").write_text(config.replace("/run/secrets/", f"{beside}/"))
    for where, arguments in ((folder, ["check", "config", "prometheus.yaml"]), (folder, ["test", "rules", "ballast.test.yaml", "ballast-jobs.test.yaml"]),
                             (beside, ["check", "config", "prometheus.yaml"])):
        done = run("promtool", *arguments, cwd=where)
        assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.skipif(not shutil.which("haproxy"), reason="HAProxy is not installed (apt-get install haproxy)")
@pytest.mark.parametrize("file", ["compose/haproxy.cfg", "kubernetes/haproxy.cfg"])
def test_haproxy_takes_its_configuration(file):
    done = run("haproxy", "-c", "-f", DEPLOY / file)
    assert done.returncode == 0, done.stderr
    unexpected = [line for line in done.stderr.splitlines() if "[WARNING]" in line and "could not resolve" not in line and "Cannot raise FD" not in line]
    assert not unexpected, unexpected


def test_both_balancers_are_told_the_same():
    compose, kubernetes = ((DEPLOY / f / "haproxy.cfg").read_text().splitlines() for f in ("compose", "kubernetes"))

    def rules(lines: list[str]) -> list[str]:
        return [line for line in lines if not re.match(r"#|    server|    accepted_payload_size", line)]
    assert rules(compose) == rules(kubernetes)


# ---- Kubernetes ----

KUBERNETES = DEPLOY / "kubernetes"


def objects(folder) -> list[dict]:
    listed = yaml.safe_load((folder / "kustomization.yaml").read_text())["resources"]
    return [o for name in listed for o in yaml.safe_load_all((folder / name).read_text())]


@pytest.mark.parametrize("folder", [KUBERNETES, KUBERNETES / "workers"], ids=lambda f: f.name)
def test_the_manifests_fit_their_schemas(folder, tmp_path):
    known = json.loads((DATA / "kubernetes-1.31.json").read_text())
    for o in objects(folder):
        schema = known["kinds"][o["kind"]] | {"$schema": "http://json-schema.org/draft-07/schema#", "definitions": known["definitions"]}
        assert not (wrong := valid(schema, o, tmp_path)), f"{o['kind']} {o['metadata']['name']}: {wrong}"
        o["spec"]["replica"] = 3
        assert valid(schema, o, tmp_path), "the schema refuses what it does not know"


@pytest.mark.skipif(not shutil.which("kubectl"), reason="kubectl is not installed")
@pytest.mark.parametrize("folder", [KUBERNETES, KUBERNETES / "workers"], ids=lambda f: f.name)
def test_kustomize_builds_them(folder):
    done = run("kubectl", "kustomize", folder)
    assert done.returncode == 0, done.stderr
    assert len(list(yaml.safe_load_all(done.stdout))) >= len(objects(folder))


def test_the_manifests_fit_what_they_start(tmp_path):
    by_name = {(o["kind"], o["metadata"]["name"]): o for o in objects(KUBERNETES)}
    pod = by_name["StatefulSet", "ballast"]["spec"]["template"]["spec"]
    [node] = pod["containers"]
    assert pod["terminationGracePeriodSeconds"] > seconds(after("--drain-notice", node["args"])) + 2 * DRAIN_S
    assert node["securityContext"]["readOnlyRootFilesystem"] and pod["securityContext"]["runAsUser"] == 10001
    assert [node[p]["httpGet"]["path"] for p in ("startupProbe", "livenessProbe", "readinessProbe")] == ["/healthz", "/healthz", "/readyz"]
    mounted = {m["name"] for m in node["volumeMounts"]}
    assert mounted == {v["name"] for v in pod["volumes"]} | {"data"}
    for (kind, name), o in by_name.items():
        if kind in ("PodDisruptionBudget", "NetworkPolicy", "Service"):
            selector = o["spec"].get("podSelector") or o["spec"]["selector"]
            labels = selector.get("matchLabels", selector)
            assert any(labels.items() <= w["spec"]["template"]["metadata"]["labels"].items() for (k, _), w in by_name.items() if k in ("StatefulSet", "Deployment")), name
    names = re.findall(r"^\s*[^#\n]*\$\{(\w+)\}", (KUBERNETES / "ballast.yaml").read_text(), re.M)
    done = run(binary(), "check", "--config", KUBERNETES / "ballast.yaml", env=credentials(tmp_path / "secrets", *names))
    assert done.returncode == 0 and "database postgres" in done.stdout, done.stderr
