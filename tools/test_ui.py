"""ui.sh builds the dashboard once for each state of ui/, takes only the right Node, and says what to do where it cannot."""
import gzip
import os
import pathlib
import shutil
import subprocess

import pytest

HERE = pathlib.Path(__file__).parent
TOOLS = ("bash", "env", "sha256sum", "sha512sum", "mktemp", "rm", "mkdir", "mv", "tar", "cat", "cut", "tr", "sort", "xargs", "find", "flock", "gzip", "stat", "wc", "diff",
         "uname", "dirname")
NPM = 'echo "npm $1" >>"$HOME/asked"; [ "$1" = ci ] && mkdir -p node_modules/vite/bin'
# Stands in for Node running Vite: `node vite.js build --outDir FOLDER …` makes a page of what ui/page says.
NODE = ('[ "$1" = --version ] && { echo "v${NODE_MAJOR:-22}.0.0"; exit; }\necho build >>"$HOME/asked"; [ ! -e fails ] || { echo "page.tsx: wrong"; exit 1; }\n'
        'mkdir -p "$4/assets" && cat page >"$4/index.html" && cat asset >"$4/assets/app-1.js"')


@pytest.fixture
def ui(tmp_path):
    """Runs a copy of ui.sh in a project of its own, whose Node and npm are what is said; `asked()` is what was asked of them."""
    (tmp_path / "tools").mkdir()
    (tmp_path / "ui").mkdir()
    (tmp_path / "bin").mkdir()
    shutil.copy(HERE / "ui.sh", tmp_path / "tools")
    for name, text in (("package-lock.json", "{}"), ("page", "<p>hello"), ("asset", "1")):
        (tmp_path / "ui" / name).write_text(text)
    for name in TOOLS:
        (tmp_path / "bin" / name).symlink_to(shutil.which(name))

    def program(name: str, body: str | None) -> None:
        (tmp_path / "bin" / name).unlink(missing_ok=True)
        if body is not None:
            (tmp_path / "bin" / name).write_text(f"#!{shutil.which('bash')}\n{body}\n")
            (tmp_path / "bin" / name).chmod(0o755)

    def run(npm: str | None = NPM, node: str | None = NODE, **env):
        program("npm", npm)
        program("my-node", node)
        named = {"BALLAST_NODE": "my-node"} if node else {}
        return subprocess.run([str(tmp_path / "tools" / "ui.sh")], capture_output=True, text=True, timeout=60,
                              env={"PATH": str(tmp_path / "bin"), "HOME": str(tmp_path), **named, **env})

    def asked() -> list[str]:
        log = tmp_path / "asked"
        lines = log.read_text().splitlines() if log.exists() else []
        log.unlink(missing_ok=True)
        return lines
    run.home, run.source, run.asked = tmp_path / "build" / "ui", tmp_path / "ui", asked
    return run


def test_it_is_built_once_for_each_state_of_the_sources(ui):
    done = ui()
    assert done.returncode == 0 and ui.asked() == ["npm ci", "build"], done.stderr
    names = sorted(str(p.relative_to(ui.home)) for p in ui.home.rglob("*") if p.is_file())
    assert names == ["assets/app-1.js", "assets/app-1.js.gz", "index.html", "index.html.gz"]
    assert gzip.decompress((ui.home / "index.html.gz").read_bytes()) == b"<p>hello"
    again = ui(npm=None, node=None, OFFLINE="1")
    assert (again.returncode, again.stdout, again.stderr, ui.asked()) == (0, "", "", []), "there already: nobody is asked"
    (ui.source / "page").write_text("<p>new")
    assert ui().returncode == 0 and ui.asked() == ["build"], "the packages are as they were"
    assert (ui.home / "index.html").read_text() == "<p>new"
    (ui.source / "package-lock.json").write_text('{"other": 1}')
    assert ui().returncode == 0 and ui.asked() == ["npm ci", "build"]


def test_the_same_sources_give_the_same_bytes(ui):
    ui()
    first = {p.name: p.read_bytes() for p in ui.home.rglob("*.gz")}
    os.utime(ui.source / "page", (1, 1))
    shutil.rmtree(ui.home)
    ui()
    assert {p.name: p.read_bytes() for p in ui.home.rglob("*.gz")} == first and len(first) == 2


def test_what_comes_out_as_it_was_keeps_its_times(ui):
    ui()
    os.utime(ui.home / "index.html", (1, 1))
    (ui.source / "comment").write_text("no part of the page")
    assert ui().returncode == 0 and ui.asked()[-1] == "build"
    assert (ui.home / "index.html").stat().st_mtime == 1


def test_too_large_a_page_is_no_page(ui):
    (ui.source / "asset").write_bytes(os.urandom(360_000).hex().encode())
    done = ui()
    assert done.returncode == 1 and "350000 are allowed" in done.stderr and not ui.home.exists()


def test_a_mistake_in_the_sources_is_shown_and_the_page_before_stays(ui):
    ui()
    (ui.source / "fails").write_text("")
    for _ in range(2):
        done = ui()
        assert done.returncode == 1 and "page.tsx: wrong" in done.stderr and (ui.home / "index.html").exists()
    assert not list(ui.home.parent.glob(".ui.??????")), "nothing is left lying about"


def test_without_node_npm_or_network_it_says_what_to_do(ui):
    for npm, env, why in ((None, {}, "no npm"), ("exit 1", {}, "could not fetch"), (NPM, {"OFFLINE": "1"}, "OFFLINE"), (NPM, {"BALLAST_NODE": "nobody"}, "no program")):
        done = ui(npm=npm, node=None, **env)
        assert done.returncode == 1 and why in done.stderr and "copy build/ui and build/ui.stamp" in done.stderr
    for npm, env, why in ((None, {}, "no npm"), ("exit 1", {}, "could not install"), (NPM, {"OFFLINE": "1"}, "ui/node_modules"), (NPM, {"NODE_MAJOR": "20"}, "22 or newer")):
        done = ui(npm=npm, **env)
        assert done.returncode == 1 and why in done.stderr
    assert not ui.home.exists()


def test_another_node_than_the_pinned_one_is_refused(ui):
    done = ui(npm='echo other >"${3/@/-}.tgz"', node=None)
    assert done.returncode == 1 and "another digest: not used" in done.stderr and not (ui.home.parent / "node").exists()
