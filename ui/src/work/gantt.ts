// A run's journal as bars on a time line. The journal tells when a stage ended, and of those that wait when they began; the others begin
// when the last of those before them has ended, which is when the runner starts them. Pure: the clock is an argument.

import type { components } from '../api/schema'
import type { Node } from './graph'

export type StageRecord = components['schemas']['StageRecord']

export interface FlowStage extends Node {
  kind: string
  risk?: string
}

export type BarState = 'done' | 'failed' | 'retrying' | 'skipped' | 'waiting' | 'running'

export interface Bar {
  // Milliseconds since 1970.
  from: number
  to: number
  state: BarState
  attempt: number
  record: StageRecord | undefined
}

export interface Lane {
  // "lines", or "lines[0].price" inside a map.
  path: string
  depth: number
  kind: string
  state: BarState | 'pending' | 'undone'
  bars: Bar[]
  // The last word: its output, or why it failed.
  last: StageRecord | undefined
  attempts: number
  fallback: boolean
}

export interface Run {
  created: string
  finished?: string
  state: string
}

const ended = (state: string) => state === 'done' || state === 'dead' || state === 'cancelled'
const time = (text: string | undefined) => (text === undefined ? Number.NaN : Date.parse(text))

export function parentOf(path: string): string {
  const cut = path.lastIndexOf('[')
  return cut < 0 ? '' : path.slice(0, cut)
}

// When the stage could begin: after the latest end of those before it; in a map, after the map began.
function ready(
  path: string,
  stages: ReadonlyMap<string, FlowStage>,
  ends: ReadonlyMap<string, number>,
  starts: ReadonlyMap<string, number>,
  created: number,
): number {
  const parent = parentOf(path)
  if (parent !== '') return starts.get(parent) ?? created
  const before = (stages.get(path)?.after ?? []).map((name) => ends.get(name)).filter((at): at is number => at !== undefined)
  return Math.max(created, ...before)
}

function barsOf(records: readonly StageRecord[], from: number): Bar[] {
  const bars: Bar[] = []
  let begun = from
  let waits: StageRecord | undefined
  for (const record of records) {
    const at = time(record.at)
    if (record.what === 'started') {
      begun = at
      waits = record
    } else if (record.what !== 'compensated') {
      const state = record.what === 'failed' ? 'retrying' : record.what === 'skipped' ? 'skipped' : 'done'
      bars.push({ from: Math.min(begun, at), to: at, state, attempt: record.attempt, record })
      begun = at
      waits = undefined
    }
  }
  if (waits) bars.push({ from: begun, to: Number.NaN, state: 'waiting', attempt: waits.attempt, record: waits })
  return bars
}

// In the order in which they begin; the stages of a map's items under their map.
export function lanes(run: Run, stages: readonly FlowStage[], records: readonly StageRecord[], now: number): Lane[] {
  const created = time(run.created)
  const over = ended(run.state)
  const close = over ? time(run.finished) : now
  const byName = new Map(stages.map((stage) => [stage.name, stage]))
  const byPath = new Map<string, StageRecord[]>()
  for (const stage of stages) byPath.set(stage.name, [])
  for (const record of records) {
    const known = byPath.get(record.stage)
    if (known) known.push(record)
    else byPath.set(record.stage, [record])
  }
  const starts = new Map<string, number>()
  const ends = new Map<string, number>()
  for (const [path, own] of byPath) {
    const started = own.find((record) => record.what === 'started')
    if (started) starts.set(path, time(started.at))
    const settled = own.filter((record) => record.what === 'done' || record.what === 'skipped').at(-1)
    if (settled) ends.set(path, time(settled.at))
  }
  // What was skipped leaves no record: those after it wait for what came before it.
  const settled = (name: string, seen: Set<string>): boolean => {
    if (ends.has(name)) return true
    if (byPath.get(name)?.length || seen.has(name)) return false
    seen.add(name)
    const after = byName.get(name)?.after ?? []
    return after.length > 0 && after.every((each) => settled(each, seen))
  }
  // What comes after it has begun: nothing of it is awaited any more. Or a choice was made, and it is not what was chosen.
  const passedBy = (stage: FlowStage, seen: Set<string> = new Set()): boolean => {
    if (seen.has(stage.name)) return false
    seen.add(stage.name)
    const next = stages.filter((each) => each.after.includes(stage.name))
    return (
      next.some((each) => (byPath.get(each.name)?.length ?? 0) > 0 || passedBy(each, seen)) ||
      stage.after.some((name) => notChosen(stage.name, byPath.get(name)))
    )
  }
  const list = [...byPath].map(([path, own]) => lane(path, own))
  function lane(path: string, own: StageRecord[]): Lane {
    const stage = byName.get(path)
    const from = ready(path, byName, ends, starts, created)
    const bars = barsOf(own, from)
    const last = own.filter((record) => record.what !== 'started').at(-1)
    let state: Lane['state'] = bars.at(-1)?.state ?? 'pending'
    if (last?.what === 'compensated') state = 'undone'
    if (bars.at(-1)?.state === 'retrying' && over) {
      state = 'failed'
      bars.at(-1)!.state = 'failed'
    }
    // Nothing is written down when a model is asked: what has all it needs, in a run that goes on, is under way.
    const quiet = !over && !ends.has(path) && bars.at(-1)?.state !== 'waiting' && run.state !== 'queued'
    if (quiet && stage?.after.every((name) => settled(name, new Set())) && (own.length > 0 || (waitsForAny(stage, ends) && !passedBy(stage)))) {
      bars.push({ from: bars.at(-1)?.to ?? from, to: Number.NaN, state: 'running', attempt: (last?.attempt ?? 0) + 1, record: undefined })
      state = 'running'
    }
    if (bars.length === 0 && (over || (stage && passedBy(stage)))) state = 'skipped'
    for (const bar of bars) if (Number.isNaN(bar.to)) bar.to = Math.max(bar.from, close)
    const attempts = Math.max(0, ...bars.map((bar) => bar.attempt))
    return { path, depth: path.split('[').length - 1, kind: stage?.kind ?? '', state, bars, last, attempts, fallback: last?.fallback === true }
  }
  return sortedLanes(list)
}

function notChosen(name: string, choice: readonly StageRecord[] | undefined): boolean {
  const output = choice?.findLast((record) => record.what === 'done')?.output
  const chosen = output !== null && typeof output === 'object' ? (output as { chosen?: unknown }).chosen : undefined
  return Array.isArray(chosen) && !chosen.includes(name)
}

// A stage that comes after nothing is under way from the beginning; another once any before it has ended (the rest was skipped).
function waitsForAny(stage: FlowStage, ends: ReadonlyMap<string, number>): boolean {
  return stage.after.length === 0 || stage.after.some((name) => ends.has(name))
}

function sortedLanes(list: Lane[]): Lane[] {
  const begin = (lane: Lane) => lane.bars[0]?.from ?? Number.POSITIVE_INFINITY
  const place = new Map(list.map((lane, i) => [lane.path, i]))
  const children = new Map<string, Lane[]>()
  for (const lane of list) {
    const parent = parentOf(lane.path)
    const under = place.has(parent) ? parent : ''
    children.set(under, [...(children.get(under) ?? []), lane])
  }
  const out: Lane[] = []
  const add = (under: string) => {
    const own = children.get(under) ?? []
    own.sort((a, b) => begin(a) - begin(b) || (a.bars[0]?.to ?? 0) - (b.bars[0]?.to ?? 0) || place.get(a.path)! - place.get(b.path)!)
    for (const lane of own) {
      out.push(lane)
      add(lane.path)
    }
  }
  add('')
  return out
}

export interface Axis {
  from: number
  to: number
  ticks: number[]
}

const kSteps = [
  1, 2, 5, 10, 20, 50, 100, 200, 500, 1e3, 2e3, 5e3, 10e3, 15e3, 30e3, 60e3, 120e3, 300e3, 600e3, 900e3, 1800e3, 3600e3, 7200e3, 14400e3, 21600e3, 43200e3,
  86400e3,
]

// From the run's beginning to its end or to now, with four to eight ticks at round distances from the beginning, in milliseconds.
export function axis(list: readonly Lane[], run: Run, now: number): Axis {
  const bars = list.flatMap((lane) => lane.bars)
  const from = Math.min(time(run.created), ...bars.map((bar) => bar.from))
  const end = ended(run.state) ? time(run.finished) : now
  const to = Math.max(from + 1, Number.isNaN(end) ? from : end, ...bars.map((bar) => bar.to))
  const length = to - from
  const step = kSteps.find((each) => length / each <= 8) ?? Math.ceil(length / 8 / 86400e3) * 86400e3
  const ticks: number[] = []
  for (let at = 0; at <= length; at += step) ticks.push(at)
  return { from, to, ticks }
}

// Of the axis's length, in percent; a bar is never too thin to see or to point at.
export function extent(bar: Pick<Bar, 'from' | 'to'>, of: Axis, least = 0.6): { left: number; width: number } {
  const length = of.to - of.from
  const share = (at: number) => Math.min(100, Math.max(0, ((at - of.from) / length) * 100))
  const width = Math.max(least, share(bar.to) - share(bar.from))
  return { left: Math.min(share(bar.from), 100 - width), width }
}
