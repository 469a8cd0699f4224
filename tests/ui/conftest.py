"""The dashboard in a real browser, against a live server that is busy. Everything the browser complains of fails the test that looked."""
from __future__ import annotations

import dataclasses
import pathlib
import re
import sys
from urllib.parse import urlsplit

import pytest

sys.path.insert(0, str(pathlib.Path(__file__).parent))

try:
    import axe_playwright_python
    from playwright.sync_api import Browser, Page, sync_playwright
except ImportError:             # OFFLINE=1, and no network before
    sync_playwright = None

from support.browser import CHROMIUM  # noqa: E402
from support.gateway import ROOT  # noqa: E402
from world import ADMIN_KEY, World  # noqa: E402

SCREENSHOTS = ROOT / "build" / "screenshots"
FLAGS = ["--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", "--disable-quic", "--no-first-run", "--disable-background-networking", "--disable-component-update", "--disable-sync"]
LOOKS = {"light": (1280, 900, "light"), "dark": (1280, 900, "dark"), "phone": (390, 844, "light")}


@pytest.fixture(scope="session")
def world(tmp_path_factory):
    """One server for all of them: they look, and what they change is their own."""
    w = World(tmp_path_factory.mktemp("world")).start()
    try:
        w.fill().callers()
        yield w
    finally:
        w.stop()


@pytest.fixture(scope="session")
def site(world):
    """Where the page is."""
    return f"http://127.0.0.1:{world.port}"


@pytest.fixture(scope="session")
def chromium():
    if sync_playwright is None:
        pytest.skip("playwright or axe is not installed: tools/venv.sh installs them, with network")
    assert CHROMIUM, "there is no Chromium here: tools/deps.sh test installs it"
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=FLAGS)
        yield browser
        browser.close()


@dataclasses.dataclass
class Look:
    """One person's browser: a page, what it asked for, and what was wrong."""

    page: Page
    site: str
    asked: list[tuple[str, str]] = dataclasses.field(default_factory=list)       # (method, path)
    complaints: list[str] = dataclasses.field(default_factory=list)

    def watch(self) -> "Look":
        self.page.on("console", self._said)
        self.page.on("pageerror", lambda error: self.complaints.append(f"thrown: {error}"))
        self.page.on("request", self._asks)
        self.page.on("requestfailed", self._failed)
        self.page.on("response", self._answered)
        return self

    def _said(self, message) -> None:
        # A failed request is told once, with its address, by `response`.
        if message.type in ("error", "warning") and not message.text.startswith("Failed to load resource"):
            self.complaints.append(f"console: {message.text}")

    def _asks(self, request) -> None:
        where = urlsplit(request.url)
        if where.scheme in ("data", "blob"):
            return
        self.asked.append((request.method, where.path))
        if f"{where.scheme}://{where.netloc}" != self.site:
            self.complaints.append(f"asks another origin: {request.url}")

    def _answered(self, response) -> None:
        # That a call's messages are not kept is an answer.
        if response.status >= 400 and not (response.status == 404 and response.url.endswith("/messages")):
            self.complaints.append(f"{response.status} {response.request.method} {response.url}")

    def _failed(self, request) -> None:
        # What is not wanted any more, because the page went on, is no failure.
        if "ERR_ABORTED" not in (request.failure or ""):
            self.complaints.append(f"{request.failure}: {request.url}")

    def sign_in(self, key: str = ADMIN_KEY) -> "Look":
        done = self.page.context.request.post(f"{self.site}/api/session", data={"key": key})
        assert done.status == 200, done.text()
        return self

    def go(self, path: str) -> "Look":
        self.page.goto(self.site + path)
        return self.settled()

    def settled(self) -> "Look":
        """Until the page has a heading and waits for nothing that it shows."""
        self.page.wait_for_selector("h1")
        self.page.wait_for_selector(".loading", state="detached")
        return self

    def errors_shown(self) -> list[str]:
        return self.page.locator(".error-box[role=alert]").all_inner_texts()

    def overflow(self) -> int:
        """How many pixels the page is wider than its window."""
        return self.page.evaluate("document.documentElement.scrollWidth - document.documentElement.clientWidth")

    def violations(self) -> list[str]:
        """Of WCAG 2.1, levels A and AA, as axe sees it."""
        if not self.page.evaluate("!!window.axe"):
            self.page.evaluate((pathlib.Path(axe_playwright_python.__file__).parent / "axe.min.js").read_text() + ";0")
        found = self.page.evaluate("axe.run(document, {runOnly: ['wcag2a', 'wcag2aa', 'wcag21a', 'wcag21aa'], resultTypes: ['violations']})")
        return [f"{v['id']}: {v['help']}\n    " + "\n    ".join(n["html"][:200] + " " + re.sub(r"\s+", " ", n["failureSummary"])[:300] for n in v["nodes"][:5])
                for v in found["violations"]]

    def picture(self, name: str) -> None:
        SCREENSHOTS.mkdir(parents=True, exist_ok=True)
        self.page.screenshot(path=str(SCREENSHOTS / f"{name}.png"), full_page=True)

    def untouched(self) -> bool:
        """No hostile word has been taken for a script."""
        return self.page.evaluate("window.__pwned === undefined")

    def close(self) -> None:
        if self.page.is_closed():
            return
        if not self.untouched():
            self.complaints.append(f"a hostile word ran at {self.page.url}")
        self.page.context.close()


def new_look(chromium: Browser, site: str, name: str) -> Look:
    width, height, colours = LOOKS[name]
    context = chromium.new_context(viewport={"width": width, "height": height}, color_scheme=colours, reduced_motion="reduce", locale="en-GB", timezone_id="UTC")
    context.set_default_timeout(15_000)
    return Look(context.new_page(), site).watch()


@pytest.fixture
def look(chromium: Browser, site: str):
    """`look("phone")` is a browser of somebody; what went wrong in it fails the test at its end."""
    made: list[Look] = []

    def make(name: str = "light") -> Look:
        made.append(new_look(chromium, site, name))
        return made[-1]
    yield make
    for each in made:
        each.close()
    wrong = [complaint for each in made for complaint in each.complaints]
    assert not wrong, "\n".join(dict.fromkeys(wrong))


@pytest.fixture(scope="session")
def open_looks(chromium: Browser, site: str):
    made = {name: new_look(chromium, site, name).sign_in() for name in LOOKS}
    yield made
    for each in made.values():
        each.close()


@pytest.fixture
def looks(open_looks):
    """An administrator's browsers, one for each look, which go from page to page; what went wrong in one fails the test."""
    for each in open_looks.values():
        each.complaints.clear()
    yield open_looks
    wrong = [f"{name}: {complaint}" for name, each in open_looks.items() for complaint in each.complaints]
    assert not wrong, "\n".join(dict.fromkeys(wrong))
