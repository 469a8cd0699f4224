// The live feed (/api/live): one connection for the whole page, opened when somebody listens, closed when nobody does.

import { useEffect, useRef, useState } from 'react'
import { invalidate } from './api/query'
import type { Alert, CallRow, LiveFigures, LiveState } from './api/types'

interface Events {
  figures: LiveFigures
  call: CallRow
  skipped: { calls: number }
  alert: Alert
  state: LiveState
}
type Name = keyof Events
type Handler = (event: { [N in Name]: { name: N; data: Events[N] } }[Name]) => void

const kNames: Name[] = ['figures', 'call', 'skipped', 'alert', 'state']
const handlers = new Set<Handler>()
const watchers = new Set<(on: boolean) => void>()
let source: EventSource | null = null
let online = false
let closing: ReturnType<typeof setTimeout> | undefined
let again: ReturnType<typeof setTimeout> | undefined
let waitMs = 1000

function tell(on: boolean) {
  online = on
  for (const watcher of [...watchers]) watcher(on)
}

function open() {
  if (source) return
  const mine = new EventSource('/api/live')
  source = mine
  mine.onopen = () => {
    waitMs = 1000
    tell(true)
  }
  mine.onerror = () => {
    tell(false)
    // The browser tries again by itself after a cut, but gives up after a refusal: then we ask, ever more seldom.
    if (mine.readyState !== EventSource.CLOSED || source !== mine) return
    source = null
    again = setTimeout(() => handlers.size > 0 && open(), waitMs)
    waitMs = Math.min(waitMs * 2, 60_000)
  }
  for (const name of kNames)
    mine.addEventListener(name, (message) => {
      let data: never
      try {
        data = JSON.parse((message as MessageEvent<string>).data) as never
      } catch {
        return
      }
      for (const handler of [...handlers]) handler({ name, data })
    })
}

function close() {
  clearTimeout(again)
  source?.close()
  source = null
  tell(false)
}

export function listen(handler: Handler): () => void {
  clearTimeout(closing)
  handlers.add(handler)
  open()
  return () => {
    handlers.delete(handler)
    // From page to page the connection stays.
    if (handlers.size === 0) closing = setTimeout(close, 3000)
  }
}

export function useLive(handler: Handler, on = true): void {
  const latest = useRef(handler)
  latest.current = handler
  useEffect(() => (on ? listen((event) => latest.current(event)) : undefined), [on])
}

export function useOnline(): boolean {
  const [now, set] = useState(online)
  useEffect(() => {
    watchers.add(set)
    set(online)
    return () => {
      watchers.delete(set)
    }
  }, [])
  return now
}

export function useLiveFigures(): LiveFigures | null {
  const [figures, set] = useState<LiveFigures | null>(null)
  useLive((event) => event.name === 'figures' && set(event.data))
  return figures
}

const kReads: Record<string, string[]> = {
  breakers: ['/api/breakers', '/api/overview'],
  queues: ['/api/queues', '/api/overview'],
  approvals: ['/api/approvals', '/api/overview'],
  dead: ['/api/dead', '/api/overview'],
}
// What changed on the server is read anew where it is on screen.
export function useLiveRefresh(on: boolean): void {
  useLive((event) => {
    if (event.name === 'state') for (const path of kReads[event.data.what] ?? []) invalidate(path)
    if (event.name === 'alert') invalidate('/api/alerts')
  }, on)
}
