import { type KeyboardEvent, useRef } from 'react'
import { Status } from '../components/basic'
import { clip, millis } from '../format'
import { type Axis, type Bar, extent, type Lane } from './gantt'

interface Props {
  lanes: readonly Lane[]
  axis: Axis
  selected: string
  onSelect: (path: string) => void
}

// The journal's clock counts milliseconds.
const lasted = (ms: number) => (ms < 1 ? '<1 ms' : millis(ms))
const words = (bar: Bar) => `${bar.state === 'retrying' ? 'failed, tried again' : bar.state}, attempt ${bar.attempt}, ${lasted(bar.to - bar.from)}`
const leaf = (path: string) => path.slice(path.lastIndexOf('[') < 0 ? 0 : path.lastIndexOf('['))

// Bars of the stages, a line each. A line is a button: arrow keys walk, Enter or a click opens its stage below.
export function Gantt({ lanes, axis, selected, onSelect }: Props) {
  const ref = useRef<HTMLDivElement>(null)
  const walk = (event: KeyboardEvent) => {
    const by = event.key === 'ArrowDown' ? 1 : event.key === 'ArrowUp' ? -1 : 0
    if (by === 0) return
    event.preventDefault()
    const all = [...(ref.current?.querySelectorAll<HTMLButtonElement>('button') ?? [])]
    const at = all.indexOf(document.activeElement as HTMLButtonElement)
    all[Math.max(0, Math.min(all.length - 1, at + by))]?.focus()
  }
  return (
    <div className="gantt" ref={ref}>
      <div className="gantt-axis" aria-hidden="true">
        {axis.ticks.map((tick) => (
          <span key={tick} style={{ left: `${(tick / (axis.to - axis.from)) * 100}%` }}>
            {tick === 0 ? '0' : millis(tick)}
          </span>
        ))}
      </div>
      <ul onKeyDown={walk} aria-label="Stages, in the order in which they began">
        {lanes.map((lane) => {
          const whole = lane.bars.length > 0 ? lasted(lane.bars.at(-1)!.to - lane.bars[0]!.from) : ''
          return (
            <li key={lane.path}>
              <button type="button" aria-pressed={lane.path === selected} onClick={() => onSelect(lane.path === selected ? '' : lane.path)}>
                <span className="gantt-name" style={{ paddingLeft: `${lane.depth * 0.9}rem` }}>
                  <span className={`gantt-dot bar-${lane.state}`} aria-hidden="true" />
                  <bdi title={clip(lane.path, 300)}>{clip(lane.depth > 0 ? leaf(lane.path) : lane.path, 40)}</bdi>
                  <span className="muted"> {lane.kind}</span>
                </span>
                <span className="gantt-track">
                  {lane.bars.map((bar, i) => {
                    const { left, width } = extent(bar, axis)
                    return <span key={i} className={`gantt-bar bar-${bar.state}`} style={{ left: `${left}%`, width: `${width}%` }} title={words(bar)} />
                  })}
                </span>
                <span className="gantt-end">
                  {lane.state === 'done' ? whole : <Status value={lane.state === 'retrying' ? 'failed' : lane.state} />}
                  <span className="hidden">
                    {' '}
                    {lane.bars.map(words).join('; ') || lane.state}
                    {lane.fallback ? '; its fallback stood in' : ''}
                  </span>
                </span>
              </button>
            </li>
          )
        })}
      </ul>
    </div>
  )
}
