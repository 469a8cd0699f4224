import { useState } from 'react'
import { dateTime } from '../format'
import { kRanges, setCustomRange, setRange, useRange } from '../range'
import { setParams } from '../router'
import { Button } from './basic'
import { Dialog } from './dialog'

export function RangePicker({ compare = true }: { compare?: boolean }) {
  const range = useRange()
  const [asking, setAsking] = useState(false)
  return (
    <div className="range">
      <div className="segments" role="group" aria-label="Time range">
        {kRanges.map(([name, , words]) => (
          <button key={name} type="button" aria-pressed={range.name === name} onClick={() => setRange(name)} title={`The last ${words}`}>
            {name}
          </button>
        ))}
        <button type="button" aria-pressed={range.name === 'custom'} onClick={() => setAsking(true)} title="From and to">
          {range.name === 'custom' ? `${dateTime(range.from).slice(5, 16)} – ${dateTime(range.to).slice(5, 16)}` : '…'}
          <span className="hidden"> custom range</span>
        </button>
      </div>
      {compare ? (
        <label className="check">
          <input type="checkbox" checked={range.compare} onChange={(event) => setParams({ compare: event.target.checked ? 'before' : null })} />
          compare
        </label>
      ) : null}
      {asking ? <Custom from={range.from} to={range.to} onClose={() => setAsking(false)} /> : null}
    </div>
  )
}

const local = (at: Date) => new Date(at.getTime() - at.getTimezoneOffset() * 60_000).toISOString().slice(0, 19)

function Custom({ from, to, onClose }: { from: Date; to: Date; onClose: () => void }) {
  const [a, setA] = useState(local(from))
  const [b, setB] = useState(local(to))
  const start = new Date(a)
  const end = new Date(b)
  const why = Number.isNaN(start.getTime()) || Number.isNaN(end.getTime()) ? 'Both ends are needed.' : start >= end ? '“From” must be before “to”.' : ''
  return (
    <Dialog title="Time range" onClose={onClose}>
      <form
        className="form"
        onSubmit={(event) => {
          event.preventDefault()
          if (why) return
          setCustomRange(start, end)
          onClose()
        }}
      >
        <label>
          From
          <input type="datetime-local" step={1} value={a} onChange={(event) => setA(event.target.value)} />
        </label>
        <label>
          To
          <input type="datetime-local" step={1} value={b} onChange={(event) => setB(event.target.value)} />
        </label>
        {why ? <p className="field-error">{why}</p> : null}
        <div className="form-end">
          <Button type="submit" kind="primary" disabled={!!why}>
            Show
          </Button>
        </div>
      </form>
    </Dialog>
  )
}
