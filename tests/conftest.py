import contextlib
import pathlib
import sqlite3
import sys

import pytest

sys.path.insert(0, str(pathlib.Path(__file__).parent))

from support.fake_upstream import Upstream  # noqa: E402
from support.gateway import Gateway, binary  # noqa: E402
from support.postgres import Postgres, binaries  # noqa: E402


DATABASES = ("sqlite", "postgres")


def pytest_addoption(parser):
    parser.addoption("--extended", action="store_true", help="also run the long tests, and every test on both databases")
    parser.addoption("--database", choices=DATABASES, help="run every gateway on this one (default: SQLite, and what is marked "
                                                           "`databases` on PostgreSQL too)")


def pytest_generate_tests(metafunc):
    """A test with a gateway runs on each database that the run asks for."""
    if "database" not in metafunc.fixturenames:
        return
    chosen = metafunc.config.getoption("--database")
    both = metafunc.config.getoption("--extended") or metafunc.definition.get_closest_marker("databases")
    names = [chosen] if chosen else DATABASES if both else DATABASES[:1]
    if names != DATABASES[:1]:
        metafunc.parametrize("database", names, indirect=True)


def pytest_collection_modifyitems(config, items):
    if not config.getoption("--extended"):
        skip = pytest.mark.skip(reason="long: runs with --extended (make extended)")
        for item in items:
            if "extended" in item.keywords:
                item.add_marker(skip)


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config, log):
    from support.sharing import Sharing
    return Sharing(config, log)


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


def started_postgres() -> Postgres:
    if not binaries():
        pytest.skip("PostgreSQL is not installed (apt-get install postgresql)")
    return Postgres(binaries())


@pytest.fixture(scope="session")
def postgres():
    """The session's PostgreSQL server."""
    server = started_postgres()
    yield server
    server.stop()


@pytest.fixture
def own_postgres():
    """A PostgreSQL server that the test may kill."""
    server = started_postgres()
    yield server
    server.stop()


@pytest.fixture
def database(request):
    """`database()` is the URL of a fresh database for a gateway; None: a SQLite file of its own."""
    if getattr(request, "param", DATABASES[0]) == "sqlite":
        yield lambda: None
        return
    server = request.getfixturevalue("postgres")
    made: list[str] = []

    def fresh() -> str:
        made.append(server.fresh_url())
        return made[-1]
    yield fresh
    for url in made:
        server.drop(url)


@pytest.fixture
def sql(request):
    """`sql(gateway, statement)`: run on its database, from outside; the rows as lists of text."""
    def run(g: Gateway, statement: str) -> list[list[str]]:
        kind, _, file = g.config["database"].partition(":")
        if kind == "postgres":
            server = request.getfixturevalue("postgres")
            return [line.split("|") for line in server.run(statement, server.name_of(g.config["database"])).splitlines()]
        with contextlib.closing(sqlite3.connect(file, timeout=60)) as db, db:
            return [["" if v is None else str(v) for v in row] for row in db.execute(statement)]
    return run


@pytest.fixture
def gateway(tmp_path, database):
    """`gateway(config)` starts one; all are stopped at the end, and a crash of any fails the test."""
    made: list[Gateway] = []

    def make(config: dict, start: bool = True, **kw) -> Gateway:
        url = None if "database" in config else database()
        g = Gateway(tmp_path / f"gateway{len(made)}", {**({"database": url} if url else {}), **config}, **kw)
        made.append(g)
        return g.start() if start else g

    yield make
    crashed = []
    for g in made:
        if g.process and g.process.poll() is not None and g.process.returncode not in (0, -9):
            crashed.append(f"exit {g.process.returncode}:\n{g.log.read_text()[-3000:]}")
        g.stop()
    assert not crashed, "\n".join(crashed)
