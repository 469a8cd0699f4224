import { describe, expect, it } from 'vitest'
import { axis, extent, type FlowStage, lanes, type StageRecord } from '../src/work/gantt'

const kBegin = Date.parse('2026-11-22T12:00:00.000Z')
const at = (ms: number) => new Date(kBegin + ms).toISOString()
const record = (stage: string, what: string, ms: number, more: Partial<StageRecord> = {}): StageRecord => ({ stage, what, attempt: 1, at: at(ms), ...more })
const stage = (name: string, after: string[] = [], kind = 'model'): FlowStage => ({ name, kind, after })
const live = { created: at(0), state: 'running' }
const done = (ms: number) => ({ created: at(0), state: 'done', finished: at(ms) })
const of = (list: ReturnType<typeof lanes>, path: string) => list.find((lane) => lane.path === path)!
const bars = (list: ReturnType<typeof lanes>, path: string) => of(list, path).bars.map((bar) => [bar.from - kBegin, bar.to - kBegin, bar.state])

describe('bars', () => {
  const stages = [stage('a'), stage('b', ['a']), stage('c', ['a']), stage('d', ['b', 'c'])]
  it('begin when the last of those before has ended', () => {
    const list = lanes(
      done(1000),
      stages,
      [record('a', 'done', 100), record('c', 'done', 300), record('b', 'done', 600), record('d', 'done', 1000)],
      kBegin + 9e9,
    )
    expect(bars(list, 'a')).toEqual([[0, 100, 'done']])
    expect(bars(list, 'b')).toEqual([[100, 600, 'done']])
    expect(bars(list, 'd')).toEqual([[600, 1000, 'done']])
    expect(list.map((lane) => lane.path)).toEqual(['a', 'c', 'b', 'd'])
  })
  it('begin when a wait is written down to have begun', () => {
    const list = lanes(live, [stage('a'), stage('ok', ['a'], 'approve')], [record('a', 'done', 100), record('ok', 'started', 150)], kBegin + 5000)
    expect(bars(list, 'ok')).toEqual([[150, 5000, 'waiting']])
    expect(of(list, 'ok').state).toBe('waiting')
  })
  it('are one for each attempt', () => {
    const failed = record('a', 'failed', 200, { error: { code: 'provider_overloaded', message: 'busy' } })
    const list = lanes(done(900), [stage('a')], [failed, record('a', 'done', 900, { attempt: 2 })], 0)
    expect(bars(list, 'a')).toEqual([
      [0, 200, 'retrying'],
      [200, 900, 'done'],
    ])
    expect(of(list, 'a')).toMatchObject({ attempts: 2, state: 'done' })
  })
  it('of a dead run end in red, and what never began was skipped', () => {
    const list = lanes({ ...done(500), state: 'dead' }, [stage('a'), stage('b', ['a'])], [record('a', 'failed', 500)], 0)
    expect(bars(list, 'a')).toEqual([[0, 500, 'failed']])
    expect([of(list, 'a').state, of(list, 'b').state, of(list, 'b').bars.length]).toEqual(['failed', 'skipped', 0])
  })
})

describe('under way', () => {
  const stages = [stage('a'), stage('b', ['a']), stage('c', ['b'])]
  it('is what has all it needs', () => {
    const list = lanes(live, stages, [record('a', 'done', 100)], kBegin + 700)
    expect(bars(list, 'b')).toEqual([[100, 700, 'running']])
    expect(of(list, 'c').state).toBe('pending')
  })
  it('is nothing of a run in its queue', () =>
    expect(lanes({ ...live, state: 'queued' }, stages, [], kBegin).every((lane) => lane.state === 'pending')).toBe(true))
  it('is not what was not chosen, nor what the run has passed by', () => {
    const choice = [stage('size', [], 'choose'), stage('long', ['size']), stage('brief', ['size']), stage('end', ['long', 'brief'])]
    const chosen = record('size', 'done', 10, { output: { chosen: ['brief'] } })
    expect(lanes(live, choice, [chosen], kBegin + 50).map((lane) => `${lane.path} ${lane.state}`)).toEqual([
      'size done',
      'brief running',
      'long skipped',
      'end pending',
    ])
    const after = lanes(live, [stage('a'), stage('b', ['a']), stage('c', ['a', 'b'])], [record('a', 'done', 10), record('c', 'started', 20)], kBegin + 50)
    expect(of(after, 'b').state).toBe('skipped')
  })
  it('goes on after a choice when the chosen one has ended', () => {
    const choice = [stage('size', [], 'choose'), stage('long', ['size']), stage('brief', ['size']), stage('end', ['long', 'brief'])]
    const list = lanes(live, choice, [record('size', 'done', 10, { output: { chosen: ['brief'] } }), record('brief', 'done', 30)], kBegin + 50)
    expect(bars(list, 'end')).toEqual([[30, 50, 'running']])
  })
})

describe('a map', () => {
  it("has its items' stages under it, in order", () => {
    const stages = [stage('each', [], 'map'), stage('end', ['each'])]
    const records = [
      record('each', 'started', 10),
      record('each[1].price', 'done', 20),
      record('each[0].price', 'done', 30),
      record('each', 'done', 40),
      record('end', 'done', 50),
    ]
    const list = lanes(done(60), stages, records, 0)
    expect(list.map((lane) => [lane.path, lane.depth])).toEqual([
      ['each', 0],
      ['each[1].price', 1],
      ['each[0].price', 1],
      ['end', 0],
    ])
    expect(bars(list, 'each[0].price')).toEqual([[10, 30, 'done']])
  })
  it('of another version is shown as far as it is known', () =>
    expect(lanes(done(60), [], [record('gone', 'done', 40)], 0).map((lane) => lane.path)).toEqual(['gone']))
})

describe('the axis', () => {
  const list = lanes(done(1000), [stage('a')], [record('a', 'done', 1000)], 0)
  it('has few ticks at round distances', () => {
    expect(axis(list, done(1000), 0).ticks).toEqual([0, 200, 400, 600, 800, 1000])
    for (const length of [1, 3, 17, 999, 61_000, 3_700_000, 9e7, 4e9]) {
      const { ticks } = axis([], done(length), 0)
      expect(ticks.length).toBeGreaterThan(1)
      expect(ticks.length).toBeLessThanOrEqual(9)
    }
  })
  it('ends now while the run goes on', () => expect(axis(list, live, kBegin + 5000).to - kBegin).toBe(5000))
  it('gives every bar a place that can be seen', () => {
    const line = axis(list, done(1000), 0)
    expect(extent({ from: kBegin, to: kBegin + 500 }, line)).toEqual({ left: 0, width: 50 })
    expect(extent({ from: kBegin + 1000, to: kBegin + 1000 }, line)).toEqual({ left: 99.4, width: 0.6 })
    expect(extent({ from: kBegin - 1000, to: kBegin + 9000 }, line)).toEqual({ left: 0, width: 100 })
  })
})
