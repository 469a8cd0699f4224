// Light, dark, or as the system says. The choice is remembered on this machine.

import { useSyncExternalStore } from 'react'

export type Theme = 'auto' | 'light' | 'dark'
const kName = 'ballast-theme'
const listeners = new Set<() => void>()

function stored(): Theme {
  try {
    const value = localStorage.getItem(kName)
    return value === 'light' || value === 'dark' ? value : 'auto'
  } catch {
    return 'auto'
  }
}
let now: Theme = stored()

export function applyTheme(): void {
  if (now === 'auto') delete document.documentElement.dataset.theme
  else document.documentElement.dataset.theme = now
}

export function setTheme(theme: Theme): void {
  now = theme
  try {
    if (theme === 'auto') localStorage.removeItem(kName)
    else localStorage.setItem(kName, theme)
  } catch {
    // A browser that keeps nothing still changes its colours now.
  }
  applyTheme()
  for (const listener of [...listeners]) listener()
}

export function useTheme(): Theme {
  return useSyncExternalStore(
    (listener) => {
      listeners.add(listener)
      return () => listeners.delete(listener)
    },
    () => now,
  )
}
