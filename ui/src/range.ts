// The time range of a page, kept in the URL: ?range=1h, or ?from=…&to=…, and ?compare=before.

import { useEffect, useMemo, useState } from 'react'
import { setParams, useSearch } from './router'

export const kRanges: [string, number, string][] = [
  ['15m', 900, '15 minutes'],
  ['1h', 3600, 'hour'],
  ['6h', 21600, '6 hours'],
  ['24h', 86400, '24 hours'],
  ['7d', 604800, '7 days'],
  ['30d', 2592000, '30 days'],
]
const kDefault = '1h'

export interface Range {
  // "1h", or "custom".
  name: string
  from: Date
  to: Date
  seconds: number
  // Ends now, and moves with it.
  live: boolean
  compare: boolean
}

function time(text: string | null): Date | null {
  if (!text) return null
  const at = new Date(text)
  return Number.isNaN(at.getTime()) ? null : at
}

// Pure: what the query says at `now`. Nonsense counts as absent. A live range's ends are whole steps, so that readers within one
// step ask the same question.
export function rangeOf(search: URLSearchParams, now: Date): Range {
  const compare = search.get('compare') === 'before'
  const from = time(search.get('from'))
  const to = time(search.get('to'))
  if (from && to && from < to) return { name: 'custom', from, to, seconds: (to.getTime() - from.getTime()) / 1000, live: false, compare }
  const asked = search.get('range') ?? kDefault
  const [name, seconds] = kRanges.find(([known]) => known === asked) ?? kRanges.find(([known]) => known === kDefault)!
  const step = refreshMs(seconds)
  const end = Math.ceil(now.getTime() / step) * step
  return { name, from: new Date(end - seconds * 1000), to: new Date(end), seconds, live: true, compare }
}

// How often a live range is read anew.
export function refreshMs(seconds: number): number {
  return seconds <= 3600 ? 5_000 : seconds <= 86400 ? 15_000 : 60_000
}

export function useRange(): Range {
  const search = useSearch()
  const [now, setNow] = useState(() => new Date())
  const range = useMemo(() => rangeOf(search, now), [search, now])
  useEffect(() => {
    if (!range.live) return
    const timer = setInterval(() => document.visibilityState === 'visible' && setNow(new Date()), refreshMs(range.seconds))
    return () => clearInterval(timer)
  }, [range.live, range.seconds])
  return range
}

export const rangeQuery = (range: Range) => ({ from: range.from.toISOString(), to: range.to.toISOString() })

export function setRange(name: string): void {
  setParams({ range: name, from: null, to: null })
}
export function setCustomRange(from: Date, to: Date): void {
  setParams({ range: null, from: from.toISOString(), to: to.toISOString() }, {})
}
