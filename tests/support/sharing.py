"""Which tests stay together when several processes share the suite out (pytest-xdist). Imported only where that is installed."""
from __future__ import annotations

from xdist.scheduler import LoadScopeScheduling


class Sharing(LoadScopeScheduling):
    """Each test on its own, to whichever process is free, but for those that look at one thing together."""

    def _split_scope(self, nodeid: str) -> str:
        file = nodeid.partition("::")[0]
        if file.endswith("test_bad_input.py"):
            return file                             # one gateway sees the whole table
        if "ui/" in file:
            return "ui"                             # one busy server, one browser
        if file.endswith("test_sdks.py"):
            return nodeid.rpartition("-")[0]        # an SDK runs all its scenarios once; the last word is the scenario
        return nodeid
