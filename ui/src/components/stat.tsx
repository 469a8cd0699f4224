import type { ReactNode } from 'react'
import { percent } from '../format'

// The change against before, as a share; null where there was nothing to compare with.
export function change(now: number | null | undefined, before: number | null | undefined): number | null {
  if (now === null || now === undefined || before === null || before === undefined || before === 0) return null
  return (now - before) / before
}

interface Props {
  name: string
  value: ReactNode
  note?: ReactNode
  delta?: number | null | undefined
  // Which way is good; neither where more is just more.
  good?: 'up' | 'down'
  tone?: 'good' | 'warn' | 'bad' | undefined
}

export function Stat({ name, value, note, delta, good, tone }: Props) {
  return (
    <div className={`stat ${tone ? `stat-${tone}` : ''}`}>
      <div className="stat-name">{name}</div>
      <div className="stat-value">{value}</div>
      <div className="stat-note">
        {delta !== undefined && delta !== null ? <Delta value={delta} good={good} /> : null}
        {note ? <span>{note}</span> : null}
      </div>
    </div>
  )
}

export function Delta({ value, good }: { value: number; good?: 'up' | 'down' | undefined }) {
  const flat = Math.abs(value) < 0.005
  const better = good && !flat ? value > 0 === (good === 'up') : null
  const tone = better === null ? 'plain' : better ? 'good' : 'bad'
  return (
    <span className={`delta delta-${tone}`} title="against the range before">
      <span aria-hidden="true">{flat ? '=' : value > 0 ? '▲' : '▼'}</span>
      <span className="hidden">{flat ? 'the same as before' : value > 0 ? 'up' : 'down'}</span> {flat ? '' : value > 9.99 ? '>999 %' : percent(Math.abs(value))}
    </span>
  )
}

export function Stats({ children }: { children: ReactNode }) {
  return <div className="stats">{children}</div>
}
