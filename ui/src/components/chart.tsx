// A chart over time, as SVG: lines, areas or stacked bars; read by pointer or arrow keys; the same figures as a table.
// Charts within one ChartGroup point at the same moment.

import { createContext, type KeyboardEvent, type PointerEvent, type ReactNode, useContext, useEffect, useId, useMemo, useRef, useState } from 'react'
import { dateTime, tick } from '../format'
import { Button } from './basic'
import { lonely, named, path, scale, stack } from './scale'

export interface Line {
  name: string
  values: (number | null)[]
  // 1 to 8: a colour of the palette, the same in both themes; or a meaning.
  color: 1 | 2 | 3 | 4 | 5 | 6 | 7 | 8 | 'good' | 'bad' | 'warn'
  // Of the range before: thin and dashed, drawn under the others.
  before?: boolean
}

interface Props {
  title: string
  starts: string[]
  stepSeconds: number
  lines: Line[]
  kind?: 'line' | 'area' | 'bars'
  format: (value: number) => string
  height?: number
  note?: ReactNode
  // A part of the range was drawn over: look closer.
  onSelect?: (from: Date, to: Date) => void
}

interface Pointing {
  at: number | null
  set: (at: number | null) => void
}
const Group = createContext<Pointing | null>(null)
export function ChartGroup({ children }: { children: ReactNode }) {
  const [at, set] = useState<number | null>(null)
  const value = useMemo(() => ({ at, set }), [at])
  return <Group.Provider value={value}>{children}</Group.Provider>
}

const kLeft = 52
const kRight = 8
const kTop = 8
const kBottom = 22

function useWidth(): [React.RefObject<HTMLDivElement | null>, number] {
  const ref = useRef<HTMLDivElement>(null)
  const [width, setWidth] = useState(0)
  useEffect(() => {
    const element = ref.current
    if (!element) return
    // Hidden for a moment it has no width, and keeps what it drew.
    const observer = new ResizeObserver((entries) => setWidth((now) => Math.floor(entries[0]?.contentRect.width ?? 0) || now))
    observer.observe(element)
    setWidth(Math.floor(element.clientWidth))
    return () => observer.disconnect()
  }, [])
  return [ref, width]
}

export function TimeChart({ title, starts, stepSeconds, lines, kind = 'line', format, height = 168, note, onSelect }: Props) {
  const [ref, width] = useWidth()
  const group = useContext(Group)
  const [own, setOwn] = useState<number | null>(null)
  const [asTable, setAsTable] = useState(false)
  const [drag, setDrag] = useState<[number, number] | null>(null)
  const id = useId()
  const at = group ? group.at : own
  const point = group ? group.set : setOwn
  const n = starts.length
  const inner = Math.max(10, width - kLeft - kRight)
  const tall = height - kTop - kBottom
  const drawn = useMemo(() => {
    const layers = kind === 'bars' ? stack(lines.map((line) => line.values)) : []
    let most = 0
    if (kind === 'bars') for (const layer of layers) for (const [, high] of layer) most = Math.max(most, high)
    else for (const line of lines) for (const value of line.values) if (value !== null) most = Math.max(most, value)
    const ticks = scale(most)
    return { layers, ticks, top: ticks.at(-1)! }
  }, [lines, kind])
  const x = (i: number) => kLeft + ((i + 0.5) / Math.max(1, n)) * inner
  const y = (value: number) => kTop + tall - (value / drawn.top) * tall
  const shown = at !== null && at >= 0 && at < n ? at : null
  const where = (event: PointerEvent) => {
    const box = event.currentTarget.getBoundingClientRect()
    return Math.max(0, Math.min(n - 1, Math.floor(((event.clientX - box.left - kLeft) / inner) * n)))
  }
  const time = (i: number) => new Date(starts[i] ?? 0)
  const readout = (i: number) => `${dateTime(time(i))}: ${lines.map((line) => `${line.name} ${said(line.values[i], format)}`).join(', ')}`
  const select = (a: number, b: number) => onSelect?.(time(Math.min(a, b)), new Date(time(Math.max(a, b)).getTime() + stepSeconds * 1000))
  const keys = (event: KeyboardEvent) => {
    const now = shown ?? n - 1
    const to = { ArrowLeft: now - 1, ArrowRight: shown === null ? now : now + 1, Home: 0, End: n - 1, PageUp: now - 10, PageDown: now + 10 }[event.key]
    if (event.key === 'Escape') point(null)
    else if (event.key === 'Enter' && shown !== null) select(shown, shown)
    else if (to !== undefined) point(Math.max(0, Math.min(n - 1, to)))
    else return
    event.preventDefault()
  }
  const axis = named(
    starts.map((start) => Date.parse(start)),
    stepSeconds,
    inner,
    n > 0 ? -time(0).getTimezoneOffset() * 60 : 0,
  )
  return (
    <figure className="chart" aria-labelledby={id}>
      <figcaption>
        <span id={id} className="chart-title">
          {title}
        </span>
        <span className="chart-note">{note}</span>
        <Button
          kind="quiet"
          small
          onClick={() => setAsTable(!asTable)}
          aria-pressed={asTable}
          aria-label={`${title}: ${asTable ? 'as a chart' : 'as a table'}`}
        >
          {asTable ? 'Chart' : 'Table'}
        </Button>
      </figcaption>
      <div className="chart-legend">
        {lines.map((line) => (
          <span key={line.name} className={`legend color-${line.color} ${line.before ? 'legend-before' : ''}`}>
            <i />
            <bdi>{line.name.length > 40 ? `${line.name.slice(0, 39)}…` : line.name}</bdi>
            {shown !== null ? <b>{said(line.values[shown], format)}</b> : null}
          </span>
        ))}
        {shown !== null ? <span className="legend-time">{dateTime(time(shown))}</span> : null}
      </div>
      {asTable ? (
        <ChartTable title={title} starts={starts} lines={lines} format={format} height={height} />
      ) : (
        <div
          ref={ref}
          className="chart-area"
          style={{ height }}
          tabIndex={0}
          role="slider"
          aria-label={`${title}, over time`}
          aria-valuemin={0}
          aria-valuemax={Math.max(0, n - 1)}
          aria-valuenow={shown ?? Math.max(0, n - 1)}
          aria-valuetext={n > 0 ? readout(shown ?? n - 1) : 'nothing'}
          onKeyDown={keys}
          onBlur={() => point(null)}
          onPointerMove={(event) => {
            const i = where(event)
            point(i)
            if (drag) setDrag([drag[0], i])
          }}
          onPointerLeave={() => {
            point(null)
            setDrag(null)
          }}
          onPointerDown={(event) => onSelect && event.pointerType === 'mouse' && event.button === 0 && setDrag([where(event), where(event)])}
          onPointerUp={() => {
            if (drag && drag[0] !== drag[1]) select(...drag)
            setDrag(null)
          }}
        >
          {width > 0 ? (
            <svg width={width} height={height} aria-hidden="true">
              {drawn.ticks.map((value) => (
                <g key={value}>
                  <line className="grid" x1={kLeft} x2={width - kRight} y1={y(value)} y2={y(value)} />
                  <text className="axis" x={kLeft - 8} y={y(value) + 4} textAnchor="end">
                    {format(value)}
                  </text>
                </g>
              ))}
              {axis.at.map((i) =>
                x(i) < width - 20 ? (
                  <text key={i} className="axis" x={x(i)} y={height - 6} textAnchor="middle">
                    {tick(time(i), axis.apart)}
                  </text>
                ) : null,
              )}
              {drag ? (
                <rect className="chart-drag" x={Math.min(x(drag[0]), x(drag[1]))} width={Math.abs(x(drag[0]) - x(drag[1]))} y={kTop} height={tall} />
              ) : null}
              {kind === 'bars'
                ? lines.map((line, layer) => (
                    <path key={line.name} className={`bar color-${line.color}`} d={bars(drawn.layers[layer]!, x, y, (inner / Math.max(1, n)) * 0.82)} />
                  ))
                : lines
                    .toSorted((a, b) => Number(b.before ?? false) - Number(a.before ?? false))
                    .map((line) => <Curve key={line.name} line={line} area={kind === 'area'} x={x} y={y} />)}
              {shown !== null ? (
                <g>
                  <line className="cross" x1={x(shown)} x2={x(shown)} y1={kTop} y2={kTop + tall} />
                  {kind !== 'bars'
                    ? lines.map((line) => {
                        const value = line.values[shown]
                        return value === null || value === undefined ? null : (
                          <circle key={line.name} className={`dot color-${line.color}`} cx={x(shown)} cy={y(value)} r={3.5} />
                        )
                      })
                    : null}
                </g>
              ) : null}
            </svg>
          ) : null}
        </div>
      )}
    </figure>
  )
}

// Holds a chart's place while its figures are on their way, so that nothing jumps when they come.
export function ChartGhost({ height = 168 }: { height?: number }) {
  return (
    <div className="chart ghost" aria-hidden="true">
      <div className="chart-title">&nbsp;</div>
      <div className="chart-legend" />
      <div className="ghost-area" style={{ height }} />
    </div>
  )
}

function said(value: number | null | undefined, format: (value: number) => string): string {
  return value === null || value === undefined ? '–' : format(value)
}

function bars(layer: [number, number][], x: (i: number) => number, y: (value: number) => number, wide: number): string {
  const w = Math.max(1, wide)
  return layer
    .map(([low, high], i) => (high > low ? `M${(x(i) - w / 2).toFixed(1)} ${y(low).toFixed(1)}h${w.toFixed(1)}V${y(high).toFixed(1)}h${(-w).toFixed(1)}z` : ''))
    .join('')
}

function Curve({ line, area, x, y }: { line: Line; area: boolean; x: (i: number) => number; y: (value: number) => number }) {
  const points = line.values.map((value, i): [number, number] | null => (value === null ? null : [x(i), y(value)]))
  const drawn = path(points)
  const last = points.findLastIndex((each) => each !== null)
  const start = points.findIndex((each) => each !== null)
  return (
    <>
      {area && !line.before && start >= 0 && points.every((each, i) => each !== null || i < start || i > last) ? (
        <path className={`area color-${line.color}`} d={`${drawn}L${x(last).toFixed(1)} ${y(0)}L${x(start).toFixed(1)} ${y(0)}z`} />
      ) : null}
      <path className={`curve color-${line.color} ${line.before ? 'curve-before' : ''}`} d={drawn} />
      {lonely(line.values).map((i) => (
        <circle key={i} className={`dot color-${line.color}`} cx={x(i)} cy={y(line.values[i]!)} r={2} />
      ))}
    </>
  )
}

function ChartTable({
  title,
  starts,
  lines,
  format,
  height,
}: {
  title: string
  starts: string[]
  lines: Line[]
  format: (value: number) => string
  height: number
}) {
  return (
    // biome-ignore lint/a11y/noNoninteractiveTabindex: what scrolls must be reachable by keyboard
    <section className="chart-table" style={{ height }} tabIndex={0} aria-label={`${title}, as a table`}>
      <table className="table">
        <thead>
          <tr>
            <th scope="col">From</th>
            {lines.map((line) => (
              <th key={line.name} scope="col" className="number">
                <bdi>{line.name.slice(0, 40)}</bdi>
              </th>
            ))}
          </tr>
        </thead>
        <tbody>
          {starts.map((start, i) => (
            <tr key={start}>
              <th scope="row">{dateTime(new Date(start))}</th>
              {lines.map((line) => (
                <td key={line.name} className="number">
                  {said(line.values[i], format)}
                </td>
              ))}
            </tr>
          ))}
        </tbody>
      </table>
    </section>
  )
}
