// What pages read: one small cache by URL. Two readers of one URL share one request; what is shown stays while it is read anew.

import { useCallback, useEffect, useRef, useSyncExternalStore } from 'react'
import { get, Problem, type Query, url } from './client'

interface Entry {
  data: unknown
  error: Problem | undefined
  at: number
  loading: boolean
  abort: AbortController | undefined
  readers: Set<() => void>
  version: number
}

const kMostEntries = 200
const entries = new Map<string, Entry>()

function entry(key: string): Entry {
  let found = entries.get(key)
  if (!found) {
    found = { data: undefined, error: undefined, at: 0, loading: false, abort: undefined, readers: new Set(), version: 0 }
    entries.set(key, found)
    if (entries.size > kMostEntries)
      for (const [name, old] of entries) if (entries.size > kMostEntries / 2 && old.readers.size === 0 && name !== key) entries.delete(name)
  }
  return found
}

function told(e: Entry) {
  e.version++
  for (const reader of [...e.readers]) reader()
}

async function load(key: string): Promise<void> {
  const e = entry(key)
  if (e.loading) return
  e.loading = true
  e.abort = new AbortController()
  const mine = e.abort
  told(e)
  try {
    e.data = await get(key, undefined, mine.signal)
    e.error = undefined
    e.at = Date.now()
  } catch (why) {
    if (mine.signal.aborted) return
    e.error = why instanceof Problem ? why : new Problem(0, 'Not understood', String(why))
  } finally {
    if (e.abort === mine) {
      e.loading = false
      e.abort = undefined
      told(e)
    }
  }
}

// After a change: what begins with `prefix` is read anew if it is on screen, else forgotten.
export function invalidate(prefix: string): void {
  for (const [key, e] of entries) {
    if (!key.startsWith(prefix)) continue
    if (e.readers.size === 0) entries.delete(key)
    else {
      e.abort?.abort()
      e.loading = false
      e.abort = undefined
      void load(key)
    }
  }
}

// When the session ends nothing that it showed may stay.
export function forgetAll(): void {
  for (const e of entries.values()) e.abort?.abort()
  entries.clear()
}

export interface Read<T> {
  data: T | undefined
  error: Problem | undefined
  loading: boolean
  // `data` is of the question asked before: the new answer is on its way.
  stale: boolean
  reload: () => void
}

export interface ReadOptions {
  // Read again this often while the page is seen.
  refreshMs?: number
}

// `path` null: nothing is asked yet.
export function useApi<T>(path: string | null, query: Query = {}, options: ReadOptions = {}): Read<T> {
  const key = path === null ? '' : url(path, query)
  const before = useRef<unknown>(undefined)
  const subscribe = useCallback(
    (reader: () => void) => {
      if (!key) return () => {}
      const e = entry(key)
      e.readers.add(reader)
      if (Date.now() - e.at > 2000) void load(key)
      return () => {
        e.readers.delete(reader)
        if (e.readers.size === 0 && e.loading) {
          e.abort?.abort()
          e.loading = false
          e.abort = undefined
        }
      }
    },
    [key],
  )
  useSyncExternalStore(subscribe, () => (key ? (entries.get(key)?.version ?? -1) : -1))
  const { refreshMs } = options
  useEffect(() => {
    if (!key || !refreshMs) return
    const again = () => {
      if (document.visibilityState === 'visible' && Date.now() - (entries.get(key)?.at ?? 0) > refreshMs / 2) void load(key)
    }
    const timer = setInterval(again, refreshMs)
    document.addEventListener('visibilitychange', again)
    return () => {
      clearInterval(timer)
      document.removeEventListener('visibilitychange', again)
    }
  }, [key, refreshMs])
  const e = key ? entries.get(key) : undefined
  const own = e?.data
  if (own !== undefined) before.current = own
  const error = e?.error
  // A server that is away takes nothing from the page; an answer that there is none does.
  const away = error !== undefined && (error.status === 0 || error.status >= 500)
  const data = own ?? (error && !away ? undefined : before.current)
  return {
    data: data as T | undefined,
    error,
    loading: key !== '' && (e === undefined || e.loading || (own === undefined && !error)),
    stale: own === undefined && data !== undefined,
    reload: () => {
      if (key) void load(key)
    },
  }
}
