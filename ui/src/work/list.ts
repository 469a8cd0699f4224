// A list that comes in pages: the first is read anew while it is looked at, the others stay as they came.

import { useEffect, useRef, useState } from 'react'
import { get, Problem, type Query, url } from '../api/client'
import { type Read, useApi } from '../api/query'

export interface List<T> extends Read<T[]> {
  // null: that was all.
  more: (() => void) | undefined
  loadingMore: boolean
}

interface Page {
  next?: string | number | null
}

export function useList<P extends Page, T>(path: string | null, query: Query, rows: (page: P) => T[], id: (row: T) => string, refreshMs = 0): List<T> {
  const first = useApi<P>(path, query, { refreshMs })
  const key = path === null ? '' : url(path, query)
  const [rest, setRest] = useState<{ key: string; rows: T[]; next: string | number | null | undefined; problem?: Problem }>({ key, rows: [], next: null })
  const [loadingMore, setLoading] = useState(false)
  const now = useRef(key)
  now.current = key
  // biome-ignore lint/correctness/useExhaustiveDependencies: another question begins anew
  useEffect(() => setLoading(false), [key])
  const mine = rest.key === key && rest.rows.length > 0 ? rest : undefined
  const next = mine ? mine.next : first.data?.next
  const more = async () => {
    setLoading(true)
    try {
      const page = await get<P>(path!, { ...query, before: next })
      if (now.current === key) setRest({ key, rows: [...(mine?.rows ?? []), ...rows(page)], next: page.next })
    } catch (why) {
      if (now.current === key)
        setRest({ key, rows: mine?.rows ?? [], next, problem: why instanceof Problem ? why : new Problem(0, 'Not understood', String(why)) })
    } finally {
      if (now.current === key) setLoading(false)
    }
  }
  const head = first.data ? rows(first.data) : undefined
  const seen = new Set(head?.map(id))
  return {
    ...first,
    data: head && mine ? [...head, ...mine.rows.filter((row) => !seen.has(id(row)))] : head,
    error: first.error ?? (rest.key === key ? rest.problem : undefined),
    more: next ? () => void more() : undefined,
    loadingMore,
  }
}
