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
const kUnits: Record<string, number> = { m: 60, h: 3600, d: 86400, w: 604800 }
const kMostSeconds = 400 * 86400

// "90m", "3h", "2d": that long until now; null for anything else, and for more than the server keeps.
function lengthOf(text: string): number | null {
  const found = /^(\d{1,5})([mhdw])$/.exec(text)
  const seconds = found ? Number(found[1]) * kUnits[found[2]!]! : 0
  return seconds > 0 && seconds <= kMostSeconds ? seconds : null
}

export interface Range {
  // "1h", "90m", or "custom".
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
  const name = lengthOf(asked) === null ? kDefault : asked
  const seconds = lengthOf(name)!
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

// Earlier or later by half of itself, or twice as wide about its middle. What would lie ahead of now is left out.
export function moved(range: Pick<Range, 'from' | 'to'>, how: 'earlier' | 'later' | 'wider', now: Date): [Date, Date] {
  const length = range.to.getTime() - range.from.getTime()
  const by = { earlier: [-0.5, -0.5], later: [0.5, 0.5], wider: [-0.5, 0.5] }[how] as [number, number]
  const ahead = Math.max(0, range.to.getTime() + by[1] * length - now.getTime())
  return [new Date(range.from.getTime() + by[0] * length - ahead), new Date(range.to.getTime() + by[1] * length - ahead)]
}

const kDay = 86_400_000
const midnight = (at: Date) => new Date(at.getFullYear(), at.getMonth(), at.getDate())

// A moment as people type it, in the reader's time zone: now, now-3h, 14:30, 2026-11-22, 2026-11-22 14:30, an RFC 3339 time, seconds or milliseconds since 1970.
function moment(text: string, now: Date): Date | null {
  const back = /^now(?:\s*-\s*(\d{1,5}[mhdw]))?$/.exec(text)
  if (back) return new Date(now.getTime() - (back[1] ? (lengthOf(back[1]) ?? Number.NaN) * 1000 : 0))
  const at = /^(\d{1,2}):(\d{2})(?::(\d{2}))?$/.exec(text)
  if (at) return new Date(midnight(now).getTime() + (Number(at[1]) * 3600 + Number(at[2]) * 60 + Number(at[3] ?? 0)) * 1000)
  if (/^\d{10}(\d{3})?$/.test(text)) return new Date(Number(text) * (text.length === 10 ? 1000 : 1))
  // A day alone would be read as UTC.
  if (!/^\d{4}-\d{2}-\d{2}/.test(text)) return null
  return time(text.length === 10 ? `${text}T00:00` : text.replace(/^(\S{10}) /, '$1T'))
}

// What somebody typed: a length until now ("90m", "last 3 hours"), a day ("yesterday", "2026-11-22"), a beginning, or "A to B". Pure; null where it is none.
export function typedRange(typed: string, now: Date): { name: string } | { from: Date; to: Date } | null {
  const text = typed.trim().toLowerCase()
  const length = /^(?:the\s+)?(?:last\s+|past\s+)?(\d{1,5})?\s*(m|min|minutes?|h|hours?|d|days?|w|weeks?)$/.exec(text)
  if (length) {
    const name = `${length[1] ?? 1}${length[2]![0]}`
    return lengthOf(name) === null ? null : { name }
  }
  const today = midnight(now)
  if (text === 'today') return { from: today, to: now }
  if (text === 'yesterday') return { from: new Date(today.getTime() - kDay), to: today }
  const upper = typed
    .trim()
    .replace(/now/gi, 'now')
    .replace(/\bTO\b/g, 'to')
  const ends = upper.split(/\s+to\s+|\s*–\s*|\s+-\s+(?=\S)|\s*\.\.\s*/).map((each) => moment(each, now))
  const [from, to] = ends
  if (ends.length > 2 || !from || Number.isNaN(from.getTime())) return null
  if (ends.length === 1 && upper.length === 10) return { from, to: new Date(from.getTime() + kDay) }
  const end = ends.length === 1 ? now : to
  return end && from < end ? { from, to: end } : null
}
