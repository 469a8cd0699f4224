"""A small phone in the dark, with a keyboard and no wish for motion: each page whole, and all of it to be reached and seen to be reached."""
from __future__ import annotations

import pytest

from conftest import new_look
from spills import SPILLS
from test_pages import PAGES

WIDTH, HEIGHT = 360, 780
MOST = 400                                      # keys, for a page
# What has the focus: is it seen, is it seen to have it, and does nothing lie over it?
FOCUSED = """() => {
  const e = document.activeElement
  if (!e || e === document.body) return null
  const box = e.getBoundingClientRect(), drawn = e.matches('.graph-node') ? e.querySelector('rect') : e, style = getComputedStyle(drawn)
  const shown = e.matches('.graph-node') ? parseFloat(style.strokeWidth) >= 2 : style.outlineStyle !== 'none' && parseFloat(style.outlineWidth) > 0
  const seen = box.bottom > 0 && box.top < innerHeight && box.right > 0 && box.left < innerWidth
  const middle = document.elementFromPoint(Math.min(innerWidth - 1, Math.max(0, (Math.max(0, box.left) + Math.min(innerWidth, box.right)) / 2)), Math.min(innerHeight - 1, Math.max(0, box.top + box.height / 2)))
  const covered = middle && !e.contains(middle) && !middle.contains(e) && !e.closest('label')?.contains(middle)
  const what = e.outerHTML.slice(0, 160)
  return {what, fault: !seen ? 'out of sight' : !shown ? 'nothing says that it has the focus' : covered ? 'something lies over it' : ''}
}"""


@pytest.fixture(scope="module")
def small(chromium, site):
    mine = new_look(chromium, site, "dark")
    mine.page.set_viewport_size({"width": WIDTH, "height": HEIGHT})
    yield mine.sign_in()
    mine.close()


@pytest.mark.parametrize("name", PAGES)
def test_a_page_is_whole_and_walked_by_tab(world, small, name):
    small.complaints.clear()
    small.go(PAGES[name](world))
    small.page.wait_for_timeout(200)
    small.picture(f"narrow-{name}")
    assert small.overflow() <= 0 and small.page.evaluate(SPILLS) == []
    assert small.violations() == []
    moving = small.page.evaluate("document.getAnimations().filter((one) => one.animationName !== 'held' && one.playState === 'running').length")
    assert moving == 0, "who wants no motion gets none"
    small.page.evaluate("document.activeElement.blur()")
    faults, reached = [], 0
    for _ in range(MOST):
        small.page.keyboard.press("Tab")
        focused = small.page.evaluate(FOCUSED)
        if focused is None:
            break
        reached += 1
        if focused["fault"]:
            faults.append(f"{focused['fault']}: {focused['what']}")
    assert 2 <= reached < MOST, "out of the page again"
    assert faults == []
    assert small.complaints == []
