// What somebody chose for this browser, remembered on this machine. The first of `values` is what counts until then.

import { useSyncExternalStore } from 'react'

export interface Choice<T extends string> {
  get: () => T
  set: (value: T) => void
  use: () => T
}

export function choice<T extends string>(name: string, values: readonly [T, ...T[]], changed: (value: T) => void = () => undefined): Choice<T> {
  const listeners = new Set<() => void>()
  let now = values[0]
  try {
    const stored = localStorage.getItem(name)
    now = values.find((each) => each === stored) ?? now
  } catch {
    // A browser that keeps nothing begins with the first.
  }
  const get = () => now
  const subscribe = (listener: () => void) => {
    listeners.add(listener)
    return () => listeners.delete(listener)
  }
  return {
    get,
    set: (value) => {
      now = value
      try {
        if (value === values[0]) localStorage.removeItem(name)
        else localStorage.setItem(name, value)
      } catch {
        // It still counts now.
      }
      changed(value)
      for (const listener of [...listeners]) listener()
    },
    use: () => useSyncExternalStore(subscribe, get),
  }
}
