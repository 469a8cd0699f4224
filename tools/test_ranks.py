"""ranks.sh takes the tokenizers' ranks only if they are the right ones, and says what to do where it cannot have them."""
import pathlib
import shutil
import subprocess

import pytest

HERE = pathlib.Path(__file__).parent
THERE = HERE.parent / "build" / "ranks"


@pytest.fixture
def ranks(tmp_path):
    """Runs a copy of ranks.sh in a project of its own, whose npm is what `npm` says."""
    (tmp_path / "tools").mkdir()
    (tmp_path / "bin").mkdir()
    shutil.copy(HERE / "ranks.sh", tmp_path / "tools")
    for name in ("bash", "env", "sha256sum", "mktemp", "rm", "mkdir", "cp", "mv", "tar", "dirname", "cat"):
        (tmp_path / "bin" / name).symlink_to(shutil.which(name))

    def run(npm: str | None = None, **env):
        if npm is not None:
            (tmp_path / "bin" / "npm").write_text(f"#!{shutil.which('bash')}\n{npm}\n")
            (tmp_path / "bin" / "npm").chmod(0o755)
        return subprocess.run([str(tmp_path / "tools" / "ranks.sh")], env={"PATH": str(tmp_path / "bin"), **env}, capture_output=True, text=True, timeout=60)
    run.home = tmp_path / "build" / "ranks"
    return run


def test_without_npm_or_network_it_says_what_to_do(ranks):
    for npm, why in ((None, "no npm"), ("exit 1", "could not fetch")):
        done = ranks(npm)
        assert done.returncode == 1 and why in done.stderr and "BALLAST_RANKS=" in done.stderr and "gpt-tokenizer@4.0.0" in done.stderr
    assert not ranks.home.exists()


def test_other_files_are_refused(ranks, tmp_path):
    wrong = tmp_path / "wrong"
    wrong.mkdir()
    for name in ("o200k_base.tiktoken", "cl100k_base.tiktoken"):
        (wrong / name).write_text("AA== 0\n")
    done = ranks(BALLAST_RANKS=str(wrong))
    assert done.returncode == 1 and "has not the right files" in done.stderr and not ranks.home.exists()


@pytest.mark.skipif(not (THERE / "o200k_base.tiktoken").exists(), reason="no ranks in build/ yet")
def test_the_right_files_are_taken_once(ranks):
    done = ranks(BALLAST_RANKS=str(THERE))
    assert (done.returncode, done.stderr) == (0, "") and sorted(p.name for p in ranks.home.iterdir()) == ["cl100k_base.tiktoken", "o200k_base.tiktoken"]
    assert (ranks("exit 1").returncode, ranks("exit 1").stdout) == (0, ""), "there already: nobody is asked"
