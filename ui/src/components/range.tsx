// The range of what is shown: a choice, the neighbours of it, anything typed, from and to.

import { useMemo, useState } from 'react'
import { dateTime } from '../format'
import { useShortcuts } from '../keys'
import { kRanges, moved, type Range, setCustomRange, setRange, typedRange, useRange } from '../range'
import { setParams } from '../router'
import { Button } from './basic'
import { Dialog } from './dialog'

const kMoves: ['earlier' | 'wider' | 'later', string, string, string][] = [
  ['earlier', '‹', 'Earlier', '['],
  ['wider', '−', 'Twice as wide', '-'],
  ['later', '›', 'Later', ']'],
]

// `compare` says whether the page can put the range before beside it.
export function RangePicker({ compare = true }: { compare?: boolean }) {
  const range = useRange()
  const [asking, setAsking] = useState(false)
  const own = range.name !== 'custom' && !kRanges.some(([name]) => name === range.name)
  const shortcuts = useMemo(
    () => [
      { keys: 't', what: 'Time range', run: () => setAsking(true) },
      ...kMoves.map(([how, , words, keys]) => ({ keys, what: words, run: () => setCustomRange(...moved(range, how, new Date())) })),
    ],
    [range],
  )
  useShortcuts(shortcuts)
  return (
    <div className="range">
      <div className="segments" role="group" aria-label="Another range">
        {kMoves.map(([how, sign, words, keys]) => (
          <button
            key={how}
            type="button"
            title={`${words} (${keys})`}
            disabled={how === 'later' && range.live}
            onClick={() => setCustomRange(...moved(range, how, new Date()))}
          >
            <span aria-hidden="true">{sign}</span>
            <span className="hidden">{words}</span>
          </button>
        ))}
      </div>
      <div className="segments" role="group" aria-label="Time range">
        {kRanges.map(([name, , words]) => (
          <button key={name} type="button" aria-pressed={range.name === name} onClick={() => setRange(name)} title={`The last ${words}`}>
            {name}
          </button>
        ))}
        <button type="button" aria-pressed={own || range.name === 'custom'} onClick={() => setAsking(true)} title="Any range (t)">
          {own ? range.name : range.name === 'custom' ? between(range) : '…'}
          <span className="hidden"> custom range</span>
        </button>
      </div>
      {compare ? (
        <label className="check">
          <input type="checkbox" checked={range.compare} onChange={(event) => setParams({ compare: event.target.checked ? 'before' : null })} />
          compare
        </label>
      ) : null}
      {asking ? <Custom range={range} onClose={() => setAsking(false)} /> : null}
    </div>
  )
}

// The day is told once where both ends are of it.
function between({ from, to }: Range): string {
  const [a, b] = [dateTime(from), dateTime(to)]
  return `${a.slice(5, 16)} – ${a.slice(0, 10) === b.slice(0, 10) ? b.slice(11, 16) : b.slice(5, 16)}`
}

const local = (at: Date) => new Date(at.getTime() - at.getTimezoneOffset() * 60_000).toISOString().slice(0, 19)

// Typed, or picked: what is typed counts while there is any.
function Custom({ range, onClose }: { range: Range; onClose: () => void }) {
  const [typed, setTyped] = useState('')
  const [a, setA] = useState(local(range.from))
  const [b, setB] = useState(local(range.to))
  const start = new Date(a)
  const end = new Date(b)
  const words = typed.trim() ? typedRange(typed, new Date()) : null
  const both = Number.isNaN(start.getTime()) || Number.isNaN(end.getTime()) ? 'Both ends are needed.' : start >= end ? '“From” must be before “to”.' : ''
  const why = typed.trim() ? (words ? '' : 'Not understood. Examples: 90m, last 3 days, yesterday, 08:15 to 09:00, 2026-11-20 to now.') : both
  const show = () => {
    if (why) return
    if (!words) setCustomRange(start, end)
    else if ('name' in words) setRange(words.name)
    else setCustomRange(words.from, words.to)
    onClose()
  }
  return (
    <Dialog title="Time range" onClose={onClose}>
      <form
        className="form"
        onSubmit={(event) => {
          event.preventDefault()
          show()
        }}
      >
        <label>
          In words
          <input
            data-focus
            value={typed}
            maxLength={80}
            spellCheck={false}
            placeholder="90m, yesterday, 08:15 to 09:00, now-6h to now-3h"
            onChange={(event) => setTyped(event.target.value)}
          />
        </label>
        {words ? (
          <p className="muted small">
            {'name' in words ? `the last ${words.name}, moving on with the clock` : `${dateTime(words.from)} – ${dateTime(words.to)}`}
          </p>
        ) : null}
        <label>
          From
          <input type="datetime-local" step={1} value={a} disabled={typed.trim() !== ''} onChange={(event) => setA(event.target.value)} />
        </label>
        <label>
          To
          <input type="datetime-local" step={1} value={b} disabled={typed.trim() !== ''} onChange={(event) => setB(event.target.value)} />
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
