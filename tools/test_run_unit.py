"""What runs the unit tests: a script stands for a binary of tests, and speaks as one does."""
import pathlib
import subprocess
import sys

BINARY = '''#!{python}
import os, sys, time
ALL = ["Suite.Fine", "Suite.Slow", "Suite.Skipped", "Suite.Wrong", "Suite.Dies", "Suite.Hangs", "On/Both.Case/SQLite"]
if "--gtest_list_tests" in sys.argv:
    print("Running main() from here\\nSuite.")
    for name in ALL[:6]: print("  " + name.split(".")[1])
    print("  DISABLED_Never\\nOn/Both.\\n  Case/SQLite  # GetParam() = 1-byte object <00>")
    sys.exit()
wanted = [a for a in sys.argv if a.startswith("--gtest_filter=")][0].split("=")[1].split(":")
failed = False
for name in wanted:
    print("[ RUN      ] " + name, flush=True)
    print("words of " + name, flush=True)
    if name == "Suite.Dies": os.abort()
    if name == "Suite.Hangs": time.sleep(60)
    what = {{"Suite.Skipped": "[  SKIPPED ]", "Suite.Wrong": "[  FAILED  ]"}}.get(name, "[       OK ]")
    failed |= name == "Suite.Wrong"
    print(f"{{what}} {{name}}{{', where GetParam() = 0' if failed and 'Wrong' in name else ''}} (3 ms)", flush=True)
sys.exit(1 if failed else {ending})
'''


def run(folder: pathlib.Path, filter: str = "", ending: int = 0) -> subprocess.CompletedProcess:
    program = folder / "tests" / "test_room"
    program.parent.mkdir(parents=True, exist_ok=True)
    program.write_text(BINARY.format(python=sys.executable, ending=ending))
    program.chmod(0o755)
    return subprocess.run([sys.executable, pathlib.Path(__file__).with_name("run_unit.py"), folder, "--limit", "2", "--filter", filter], capture_output=True, text=True, timeout=60)


def last(done: subprocess.CompletedProcess) -> str:
    return done.stdout.splitlines()[-1]


def test_what_passes_and_what_is_skipped_is_counted(tmp_path):
    done = run(tmp_path, "Fine|Slow|Skipped|Both")
    assert done.returncode == 0 and last(done) == "3 passed, 0 failed, 1 skipped" and "skipped: Suite.Skipped" in done.stdout
    assert "words of" not in done.stdout


def test_one_that_fails_says_why(tmp_path):
    done = run(tmp_path, "Fine|Wrong|Slow")
    assert done.returncode == 1 and last(done) == "2 passed, 1 failed, 0 skipped"
    assert "---- Suite.Wrong" in done.stdout and "words of Suite.Wrong" in done.stdout and "words of Suite.Fine" not in done.stdout
    assert "FAILED Suite.Wrong\n    [ RUN      ] Suite.Wrong\n    words of Suite.Wrong\n" in done.stdout     # and once more at the end, in short


def test_one_that_dies_or_stands_still_takes_no_other_with_it(tmp_path):
    done = run(tmp_path)
    assert done.returncode == 1 and last(done) == "3 passed, 3 failed, 1 skipped"
    assert "test_room ended with -6" in done.stdout and "test_room ended with -9" in done.stdout


def test_a_process_that_fails_at_its_end_fails(tmp_path):
    done = run(tmp_path, "Fine|Slow", ending=23)
    assert done.returncode == 1 and "test_room at its end" in done.stdout and last(done) == "2 passed, 1 failed, 0 skipped"


def test_no_tests_are_no_success(tmp_path):
    assert run(tmp_path, "Nowhere").returncode == 1
