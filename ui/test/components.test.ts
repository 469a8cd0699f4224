import { describe, expect, it } from 'vitest'
import { covered, lonely, named, path, scale, stack } from '../src/components/scale'
import { change } from '../src/components/stat'
import { step } from '../src/components/table'
import { find } from '../src/keys'

describe('scales', () => {
  it.each([
    [0, [0, 1]],
    [Number.NaN, [0, 1]],
    [1, [0, 0.25, 0.5, 0.75, 1]],
    [97, [0, 25, 50, 75, 100]],
    [0.00013, [0, 0.00005, 0.0001, 0.00015]],
  ])('%s', (most, ticks) => expect(scale(most)).toEqual(ticks))
  it('always holds the greatest value with few ticks', () => {
    for (let most = 1e-9; most < 1e15; most *= 1.37) {
      const ticks = scale(most)
      expect(ticks.at(-1)).toBeGreaterThanOrEqual(most * 0.9999)
      expect(ticks.length).toBeLessThan(9)
    }
  })
  it('names round times, and no more than fit', () => {
    const starts = Array.from({ length: 121 }, (_, i) => Date.UTC(2026, 10, 22, 20, 18, 30) + i * 30_000)
    const { at, apart } = named(starts, 30, 520, 0)
    expect(apart).toBe(600)
    expect(at.map((i) => new Date(starts[i]!).toISOString().slice(11, 19))).toEqual(['20:20:00', '20:30:00', '20:40:00', '20:50:00', '21:00:00', '21:10:00'])
  })
  it('names days by the clock of the reader', () => {
    const starts = Array.from({ length: 84 }, (_, i) => Date.UTC(2026, 10, 15) + i * 7_200_000)
    const { at, apart } = named(starts, 7200, 1000, 3600 * 2)
    expect(apart).toBe(86400)
    expect(new Date(starts[at[0]!]!).toISOString()).toBe('2026-11-15T22:00:00.000Z')
  })
  it('divides by what is over of a bucket', () => {
    const starts = [0, 60_000, 120_000, 180_000]
    expect(covered(starts, 60, 30_000, 240_000, 150_000)).toEqual([30, 60, 30, null])
    expect(covered(starts, 60, 0, 240_000, 121_000)).toEqual([60, 60, null, null])
  })
  it('breaks a line where nothing is', () => expect(path([[0, 1], null, [2, 3], [4, 5]])).toBe('M0.0 1.0M2.0 3.0L4.0 5.0'))
  it('finds points no line would show', () => expect(lonely([1, null, 2, 3, null, 4])).toEqual([0, 5]))
  it('stacks', () =>
    expect(
      stack([
        [1, 2],
        [3, null],
      ]),
    ).toEqual([
      [
        [0, 1],
        [0, 2],
      ],
      [
        [1, 4],
        [2, 2],
      ],
    ]))
})

describe('keys', () => {
  const at = { keys: 'g o', what: '', run: () => {} }
  const help = { keys: '?', what: '', run: () => {} }
  const later = { keys: '?', what: 'later', run: () => {} }
  it('joins two', () => expect(find([[at, help]], 'g', 'o')).toBe(at))
  it('does not fire by halves', () => expect(find([[at]], '', 'o')).toBeUndefined())
  it('the newest wins', () => expect(find([[help], [later]], '', '?')).toBe(later))
})

describe('rows', () => {
  it.each([
    [-1, 1, 5, 0],
    [4, 1, 5, 4],
    [0, -1, 5, 0],
    [2, -1, 5, 1],
    [0, 1, 0, -1],
  ])('from %s by %s of %s to %s', (from, by, rows, to) => expect(step(from, by, rows)).toBe(to))
})

describe('change', () => {
  it('is a share', () => expect(change(150, 100)).toBe(0.5))
  it('is unknown against nothing', () => expect(change(5, 0)).toBeNull())
})
