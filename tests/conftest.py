import pathlib
import sys

import pytest

sys.path.insert(0, str(pathlib.Path(__file__).parent))

from support.fake_upstream import Upstream  # noqa: E402
from support.gateway import Gateway, binary  # noqa: E402


def pytest_addoption(parser):
    parser.addoption("--extended", action="store_true", help="also run the long tests")


def pytest_collection_modifyitems(config, items):
    if not config.getoption("--extended"):
        skip = pytest.mark.skip(reason="long: runs with --extended (make extended)")
        for item in items:
            if "extended" in item.keywords:
                item.add_marker(skip)


@pytest.fixture(scope="session", autouse=True)
def built():
    if not pathlib.Path(binary()).exists():
        pytest.exit(f"{binary()} is not built: run `make build`, or set BALLAST_BIN", returncode=2)


@pytest.fixture
def upstream():
    """A provider of our own; a test that needs two makes another with `upstreams`."""
    u = Upstream()
    yield u
    u.stop()


@pytest.fixture
def gateway(tmp_path):
    """`gateway(config)` starts one; all are stopped at the end, and a crash of any fails the test."""
    made: list[Gateway] = []

    def make(config: dict, start: bool = True, **kw) -> Gateway:
        g = Gateway(tmp_path / f"gateway{len(made)}", config, **kw)
        made.append(g)
        return g.start() if start else g

    yield make
    crashed = []
    for g in made:
        if g.process and g.process.poll() is not None and g.process.returncode not in (0, -9):
            crashed.append(f"exit {g.process.returncode}:\n{g.log.read_text()[-3000:]}")
        g.stop()
    assert not crashed, "\n".join(crashed)
