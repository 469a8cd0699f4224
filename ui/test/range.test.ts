import { describe, expect, it } from 'vitest'
import { moved, rangeOf, typedRange } from '../src/range'

const now = new Date(2026, 10, 22, 15, 30)
const at = (day: number, hour = 0, minute = 0) => new Date(2026, 10, day, hour, minute)

describe('a typed range', () => {
  it.each([
    ['90m', '90m'],
    ['last 3 hours', '3h'],
    ['the past week', '1w'],
    [' 2 Days ', '2d'],
    ['15 min', '15m'],
  ])('%s is that long until now', (typed, name) => expect(typedRange(typed, now)).toEqual({ name }))

  it.each<[string, Date, Date]>([
    ['today', at(22), now],
    ['yesterday', at(21), at(22)],
    ['2026-11-20', at(20), at(21)],
    ['2026-11-20 08:00', at(20, 8), now],
    ['2026-11-20 08:00 to 2026-11-20 09:30', at(20, 8), at(20, 9, 30)],
    ['2026-11-20 – 2026-11-21', at(20), at(21)],
    ['08:15 to 09:00', at(22, 8, 15), at(22, 9)],
    ['now-6h to now-3h', at(22, 9, 30), at(22, 12, 30)],
    ['NOW-1d to Now', at(21, 15, 30), now],
    ['2026-11-20T08:00:00Z to 2026-11-20T09:00:00Z', new Date('2026-11-20T08:00:00Z'), new Date('2026-11-20T09:00:00Z')],
    ['1795000000 .. 1795003600', new Date(1795000000000), new Date(1795003600000)],
  ])('%s', (typed, from, to) => expect(typedRange(typed, now)).toEqual({ from, to }))

  it.each(['', 'x', '0h', '99999w', '2026-13-45', '10:00 to 09:00', 'now to 08:00 to 09:00', '<b>', 'tomorrow', 'now-', '2026-11-20 to'])(
    '%s is none',
    (typed) => expect(typedRange(typed, now)).toBeNull(),
  )
})

describe('the range of a URL', () => {
  it('takes any length', () => {
    const range = rangeOf(new URLSearchParams('range=3h'), now)
    expect([range.name, range.seconds, range.live]).toEqual(['3h', 10800, true])
  })
  it.each(['range=0h', 'range=99999w', 'range=x', 'from=2026-11-22T00:00:00Z&to=2026-11-21T00:00:00Z'])('%s is an hour', (query) =>
    expect(rangeOf(new URLSearchParams(query), now).name).toBe('1h'),
  )
})

describe('moved', () => {
  const range = { from: at(22, 10), to: at(22, 12) }
  it('goes by half of itself', () => expect(moved(range, 'earlier', now)).toEqual([at(22, 9), at(22, 11)]))
  it('widens about its middle', () => expect(moved(range, 'wider', now)).toEqual([at(22, 9), at(22, 13)]))
  it('ends no later than now', () => expect(moved({ from: at(22, 13, 30), to: now }, 'later', now)).toEqual([at(22, 13, 30), now]))
})
