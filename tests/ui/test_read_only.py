"""A key that may read: it sees everything that is not somebody's to decide, and nothing it can press changes anything."""
from __future__ import annotations

import pytest

from test_pages import PAGES
from world import READ_KEY

# Asking who is in and going out are no changes of the server's work.
OWN = ("/api/session",)
CONTROLS = "button:enabled, input[type=checkbox]:enabled, input[type=submit]:enabled"


def unpressed(seen, pressed: set[str]):
    """A control of the page whose name was not pressed yet, and the name is then."""
    for control in seen.page.locator("main").locator(CONTROLS).all():
        name = control.evaluate("e => e.getAttribute('aria-label') || e.textContent || e.parentElement.textContent")
        if name not in pressed and control.is_visible():
            pressed.add(name)
            return control
    return None


@pytest.mark.parametrize("name", [name for name in PAGES if name not in ("nowhere", "overview-compared")])
def test_nothing_that_can_be_pressed_changes_anything(world, look, name):
    seen = look().sign_in(READ_KEY).go(PAGES[name](world))
    assert seen.errors_shown() == []
    path = PAGES[name](world)
    pressed: set[str] = set()
    while (control := unpressed(seen, pressed)) is not None:        # one of each name: rows repeat theirs
        control.click(timeout=3000)
        for inside in seen.page.locator("dialog[open]").locator(CONTROLS).all()[::-1]:
            if inside.is_visible():
                inside.click(timeout=3000)
        seen.page.keyboard.press("Escape")
        if not seen.page.url.startswith(seen.site + path.split("?")[0]):
            seen.go(path)
    changing = [(method, path) for method, path in seen.asked if method not in ("GET", "HEAD") and not path.startswith(OWN)]
    assert changing == []


def test_what_is_off_says_why(world, look):
    seen = look().sign_in(READ_KEY)
    for path, button in ((f"/jobs/{world.jobs['asks']}", "Cancel"), (f"/jobs/{world.jobs['dead']}", "Retry…"), ("/system", "Pause"), ("/system", "Run now"), ("/dead", "Retry all…")):
        seen.go(path)
        control = seen.page.locator("main").get_by_role("button", name=button).first
        control.wait_for()
        assert control.is_disabled() and "may only look" in control.get_attribute("title"), (path, button)
    seen.go("/inbox")
    assert "may only look" in seen.page.locator("main").inner_text()
