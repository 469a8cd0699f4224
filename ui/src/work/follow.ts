// A job, live: its own event stream. What the stream tells is a hint to read anew, at most once in a while, so that a run with thousands of
// events costs the page a request now and then.

import { useEffect, useRef, useState } from 'react'
import { invalidate } from '../api/query'

const kReadEveryMs = 400

export interface Told {
  // The words of a call with `stream: true`, as they come.
  tokens: string
  // What a worker last said of how far it is.
  progress: unknown
  live: boolean
}
const kNothing: Told = { tokens: '', progress: undefined, live: false }
const kMostTokens = 50_000

export function useFollow(id: string, on: boolean): Told {
  const [told, setTold] = useState<Told>(kNothing)
  const timer = useRef<ReturnType<typeof setTimeout>>(undefined)
  useEffect(() => {
    setTold(kNothing)
    if (!on) return
    const source = new EventSource(`/api/jobs/${encodeURIComponent(id)}/events`)
    const again = () => {
      timer.current ??= setTimeout(() => {
        timer.current = undefined
        invalidate(`/api/jobs/${encodeURIComponent(id)}`)
        invalidate('/api/approvals')
      }, kReadEveryMs)
    }
    const data = (event: Event): unknown => {
      try {
        return JSON.parse((event as MessageEvent<string>).data)
      } catch {
        return undefined
      }
    }
    source.onopen = () => setTold((now) => ({ ...now, live: true }))
    source.onerror = () => setTold((now) => ({ ...now, live: false }))
    source.addEventListener('stage', again)
    source.addEventListener('reset', () => setTold({ ...kNothing, live: true }))
    source.addEventListener('progress', (event) => setTold((now) => ({ ...now, progress: data(event) })))
    source.addEventListener('token', (event) => {
      const piece = data(event) as { text?: unknown } | undefined
      if (typeof piece?.text === 'string') setTold((now) => ({ ...now, tokens: (now.tokens + piece.text).slice(-kMostTokens) }))
    })
    source.addEventListener('state', (event) => {
      again()
      const state = (data(event) as { state?: unknown } | undefined)?.state
      // The stream ends with the job; the browser would open it again for ever.
      if (state === 'done' || state === 'dead' || state === 'cancelled') source.close()
    })
    return () => {
      clearTimeout(timer.current)
      timer.current = undefined
      source.close()
    }
  }, [id, on])
  return told
}
