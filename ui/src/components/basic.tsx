// The small things every page is made of. Everything they show is text.

import { type ButtonHTMLAttributes, type ReactNode, useEffect, useRef, useState } from 'react'
import type { Problem } from '../api/client'
import { ago, clip, clock, dateTime, words } from '../format'
import { money as moneyText } from '../money'
import { times } from '../theme'

export type Tone = 'plain' | 'good' | 'warn' | 'bad' | 'info' | 'accent'

export function Badge({ tone = 'plain', children, title }: { tone?: Tone; children: ReactNode; title?: string }) {
  return (
    <span className={`badge badge-${tone}`} title={title}>
      {children}
    </span>
  )
}

const kTones: Record<string, Tone> = {
  ok: 'good',
  done: 'good',
  completed: 'good',
  passed: 'good',
  closed: 'good',
  resolved: 'good',
  approved: 'good',
  serving: 'good',
  failed: 'bad',
  dead: 'bad',
  firing: 'bad',
  open: 'bad',
  page: 'bad',
  rejected: 'bad',
  cancelled: 'plain',
  unknown: 'warn',
  half_open: 'warn',
  pending: 'warn',
  ticket: 'warn',
  unproven: 'warn',
  silent: 'warn',
  joining: 'info',
  draining: 'info',
  waiting: 'info',
  running: 'info',
  info: 'info',
}
// A state's own word, in the colour that the word has everywhere.
export function Status({ value, detail }: { value: string; detail?: string | undefined }) {
  return (
    <Badge tone={kTones[value] ?? 'plain'} title={detail ? clip(detail, 600) : ''}>
      {clip(words(value), 40)}
      {detail ? ` · ${clip(detail, 60)}` : ''}
    </Badge>
  )
}

type ButtonProps = ButtonHTMLAttributes<HTMLButtonElement> & { kind?: 'normal' | 'primary' | 'danger' | 'quiet'; small?: boolean; why?: string }
// `why` not empty: the button is off, and says why to everybody, also to who cannot hover.
export function Button({ kind = 'normal', small, why, disabled, children, className = '', title, ...rest }: ButtonProps) {
  return (
    <button
      type="button"
      {...rest}
      disabled={disabled || !!why}
      title={why || title}
      className={`button button-${kind} ${small ? 'button-small' : ''} ${className}`}
    >
      {children}
      {why ? <span className="hidden"> ({why})</span> : null}
    </button>
  )
}

export function Empty({ children, action }: { children: ReactNode; action?: ReactNode }) {
  return (
    <div className="empty">
      <p>{children}</p>
      {action}
    </div>
  )
}

export function ErrorBox({ error, retry }: { error: Problem | Error | undefined; retry?: () => void }) {
  if (!error) return null
  const field = 'field' in error ? error.field : ''
  const status = 'status' in error ? error.status : 0
  return (
    <div className="error-box" role="alert">
      <div>
        <strong>{field ? <code>{field}</code> : status === 403 ? 'Not allowed' : status === 404 ? 'Not found' : 'That did not work'}</strong>
        <span>{clip(error.message, 600)}</span>
      </div>
      {retry ? (
        <Button small onClick={retry}>
          Try again
        </Button>
      ) : null}
    </div>
  )
}

export function Loading({ what = 'Loading' }: { what?: string }) {
  // Most answers come before anybody could read a word: only a slow one is told.
  const [slow, setSlow] = useState(false)
  useEffect(() => {
    const timer = setTimeout(() => setSlow(true), 300)
    return () => clearTimeout(timer)
  }, [])
  return (
    <div className="loading" role="status">
      {slow ? `${what}…` : ''}
    </div>
  )
}

// One clock for all relative times.
const clocks = new Set<() => void>()
let ticking: ReturnType<typeof setInterval> | undefined
function useNow(): Date {
  const [now, set] = useState(() => new Date())
  useEffect(() => {
    const tick = () => set(new Date())
    clocks.add(tick)
    ticking ??= setInterval(() => {
      if (document.visibilityState === 'visible') for (const each of [...clocks]) each()
    }, 5000)
    return () => {
      clocks.delete(tick)
      if (clocks.size > 0) return
      clearInterval(ticking)
      ticking = undefined
    }
  }, [])
  return now
}

// Relative or by the clock, as the reader chose, with the other at hand; `both` shows them side by side. Of today the clock alone is told.
export function Time({ at, both }: { at: string | null | undefined; both?: boolean }) {
  const now = useNow()
  const read = times.use()
  if (!at) return <span className="muted">–</span>
  const date = new Date(at)
  if (Number.isNaN(date.getTime())) return <span>{clip(at, 40)}</span>
  const exact = dateTime(date, true)
  return (
    <time dateTime={date.toISOString()} title={`${exact} · ${ago(date, now)} · ${date.toISOString()}`}>
      {both ? `${exact} · ${ago(date, now)}` : read === 'ago' ? ago(date, now) : date.toDateString() === now.toDateString() ? clock(date) : dateTime(date)}
    </time>
  )
}

export function Money({ usd, decimals }: { usd: string | null | undefined; decimals?: number }) {
  return (
    <span className="number" title={usd ? `$${usd}` : undefined}>
      {moneyText(usd, decimals)}
    </span>
  )
}

// A text from outside: clipped, whole on hover, its direction kept to itself.
export function Text({ children, most = 80, empty = '–' }: { children: string | null | undefined; most?: number; empty?: string }) {
  if (!children) return <span className="muted">{empty}</span>
  return <bdi title={children.length > most ? clip(children, 2000) : undefined}>{clip(children, most)}</bdi>
}

export function Copy({ text, label = 'Copy' }: { text: string; label?: string }) {
  const [done, setDone] = useState('')
  const timer = useRef<ReturnType<typeof setTimeout>>(undefined)
  useEffect(() => () => clearTimeout(timer.current), [])
  const copy = async () => {
    let worked = true
    try {
      await navigator.clipboard.writeText(text)
    } catch {
      worked = copyOld(text)
    }
    setDone(worked ? 'copied' : 'select it by hand')
    clearTimeout(timer.current)
    timer.current = setTimeout(() => setDone(''), 1500)
  }
  return (
    <button type="button" className="copy" onClick={copy} aria-label={`${label}: ${clip(text, 40)}`} title={label}>
      <span aria-live="polite">{done || <CopyIcon />}</span>
    </button>
  )
}

function CopyIcon() {
  return (
    <svg width="14" height="14" viewBox="0 0 16 16" fill="none" stroke="currentColor" strokeWidth="1.4" aria-hidden="true">
      <rect x="5.5" y="5.5" width="8" height="8" rx="1.5" />
      <path d="M10.5 3.2v-.2a1 1 0 0 0-1-1H3.5a1 1 0 0 0-1 1v6a1 1 0 0 0 1 1h.2" />
    </svg>
  )
}

// Over plain HTTP from another machine a browser has no clipboard API.
function copyOld(text: string): boolean {
  const area = document.createElement('textarea')
  area.value = text
  area.className = 'hidden'
  document.body.append(area)
  area.select()
  const worked = document.execCommand('copy')
  area.remove()
  return worked
}

export function Page({ title, sub, actions, children }: { title: ReactNode; sub?: ReactNode; actions?: ReactNode; children: ReactNode }) {
  const name = typeof title === 'string' ? title : ''
  useEffect(() => {
    if (name) document.title = `${clip(name, 60)} · Ballast`
  }, [name])
  return (
    <>
      <header className="page-head">
        <div>
          <h1>{typeof title === 'string' ? <bdi>{clip(title, 120)}</bdi> : title}</h1>
          {sub ? <div className="page-sub">{sub}</div> : null}
        </div>
        {actions ? <div className="page-actions">{actions}</div> : null}
      </header>
      {children}
    </>
  )
}

export function Panel({
  title,
  actions,
  children,
  wide,
  className = '',
}: {
  title?: ReactNode
  actions?: ReactNode
  children: ReactNode
  wide?: boolean
  className?: string
}) {
  return (
    <section className={`panel ${wide ? 'panel-wide' : ''} ${className}`}>
      {title || actions ? (
        <div className="panel-head">
          <h2>{title}</h2>
          {actions ? <div className="panel-actions">{actions}</div> : null}
        </div>
      ) : null}
      {children}
    </section>
  )
}

// Name and value in two columns.
export function Facts({ rows }: { rows: [ReactNode, ReactNode][] }) {
  return (
    <dl className="facts">
      {rows.map(([name, value], i) => (
        <div key={i}>
          <dt>{name}</dt>
          <dd>{value}</dd>
        </div>
      ))}
    </dl>
  )
}

export function Meter({ share, tone, label }: { share: number; tone?: Tone; label: string }) {
  const kept = Math.max(0, Math.min(1, Number.isFinite(share) ? share : 0))
  return (
    <div className={`meter meter-${tone ?? (kept >= 1 ? 'bad' : kept >= 0.8 ? 'warn' : 'good')}`} role="img" aria-label={label}>
      <div style={{ width: `${kept * 100}%` }} />
    </div>
  )
}
