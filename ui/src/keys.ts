// The keyboard: single letters and "g x" sequences. Nothing fires while somebody types.

import { useEffect } from 'react'

export interface Shortcut {
  // "?", "/", or two keys with a blank: "g o".
  keys: string
  what: string
  run: () => void
}

const active: Shortcut[][] = []
let first = ''
let firstAt = 0
const kSequenceMs = 1500

export function typing(target: EventTarget | null): boolean {
  if (!(target instanceof HTMLElement)) return false
  if (target instanceof HTMLInputElement) return !['checkbox', 'radio', 'button', 'submit'].includes(target.type)
  return target.isContentEditable || ['TEXTAREA', 'SELECT'].includes(target.tagName)
}

// The shortcut that `key` completes after `before`, the newest list first.
export function find(lists: Shortcut[][], before: string, key: string): Shortcut | undefined {
  for (let i = lists.length - 1; i >= 0; i--) {
    const found = lists[i]!.find(({ keys }) => keys === (before ? `${before} ${key}` : key))
    if (found) return found
  }
  return undefined
}

function pressed(event: KeyboardEvent) {
  // Out of a field, back to the letters.
  if (event.key === 'Escape' && typing(event.target) && !document.querySelector('dialog[open]')) (event.target as HTMLElement).blur()
  if (event.ctrlKey || event.metaKey || event.altKey || typing(event.target) || event.defaultPrevented) return
  if (document.querySelector('dialog[open]')) return
  const now = Date.now()
  const before = now - firstAt < kSequenceMs ? first : ''
  first = ''
  const found = find(active, before, event.key)
  if (found) {
    event.preventDefault()
    found.run()
    return
  }
  if (active.some((list) => list.some(({ keys }) => keys.startsWith(`${event.key} `)))) {
    first = event.key
    firstAt = now
  }
}

let listening = false
export function useShortcuts(list: Shortcut[]): void {
  useEffect(() => {
    if (!listening) {
      listening = true
      window.addEventListener('keydown', pressed)
    }
    active.push(list)
    return () => {
      const at = active.indexOf(list)
      if (at >= 0) active.splice(at, 1)
    }
  }, [list])
}

export function activeShortcuts(): Shortcut[] {
  const seen = new Set<string>()
  return active
    .toReversed()
    .flat()
    .filter(({ keys }) => !seen.has(keys) && seen.add(keys))
}
