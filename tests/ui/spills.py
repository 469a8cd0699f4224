"""What is not where it belongs on a page, as the browser has laid it out."""

# Elements that reach out of the page, words that reach out of a button or a badge, and words that are cut without an ellipsis that says so. What can be
# scrolled may be wider.
SPILLS = """() => {
  const main = document.querySelector('main'), edge = main.getBoundingClientRect().right + 1
  const style = (e) => getComputedStyle(e)
  const scrolls = (e) => { for (; e && e !== main; e = e.parentElement) if (['auto', 'scroll', 'hidden'].includes(style(e).overflowX)) return true; return false }
  const cut = (e, right) => {
    for (; e && e !== main; e = e.parentElement) {
      if (['auto', 'scroll'].includes(style(e).overflowX)) return false
      if (['hidden', 'clip'].includes(style(e).overflowX) && right > e.getBoundingClientRect().right + 1) return style(e).textOverflow !== 'ellipsis'
    }
    return false
  }
  const out = []
  for (const e of main.querySelectorAll('*')) {
    const box = e.getBoundingClientRect()
    if (box.width === 0 || box.height === 0 || !e.checkVisibility() || e.closest('.hidden')) continue
    const named = e.outerHTML.slice(0, 140)
    if (box.right > edge && !scrolls(e.parentElement)) out.push('out of the page: ' + named)
    if (e.matches('.badge, button, .legend, .stat-value') && e.scrollWidth > e.clientWidth + 1 && style(e).overflowX === 'visible' && e.clientWidth > 0) out.push('out of itself: ' + named)
    if (e.childElementCount > 0 || e.textContent.trim() === '' || e.namespaceURI.endsWith('svg')) continue
    const words = document.createRange()
    words.selectNodeContents(e)
    if (cut(e, words.getBoundingClientRect().right)) out.push('cut: ' + named)
  }
  return out.slice(0, 5)
}"""
