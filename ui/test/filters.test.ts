import { describe, expect, it } from 'vitest'
import type { CallRow } from '../src/api/types'
import { filtersOf, fits, forSeries, kFilters, wrong } from '../src/filters'

const row = {
  user: 'ann',
  key: { id: 'key_1', name: 'web' },
  feature: '',
  team: '',
  model: 'm',
  provider: 'p',
  route: 'r',
  status: 'ok',
  error: '',
  cache: 'miss',
  operation: 'chat',
  incurred_usd: '0.25',
  latency_ms: 1200,
} as CallRow

describe('filters', () => {
  it('come from the URL, and only known ones', () => expect(filtersOf(new URLSearchParams('user=ann&evil=1&range=1h&status='))).toEqual({ user: 'ann' }))
  it('leave to the series what it knows', () => expect(forSeries({ user: 'ann', min_cost: '1' })).toEqual({ user: 'ann' }))
  it.each([
    [{}, true],
    [{ user: 'ann', status: 'ok' }, true],
    [{ user: 'ben' }, false],
    [{ key: 'key_1' }, true],
    [{ key: 'web' }, false],
    [{ min_cost: '0.25' }, true],
    [{ min_cost: '0.250000001' }, false],
    [{ max_cost: '0.2' }, false],
    [{ min_latency: '1000', max_latency: '1200' }, true],
    [{ max_latency: '900' }, false],
  ])('%j fits: %s', (filters, yes) => expect(fits(row, filters as Record<string, string>)).toBe(yes))
  it.each([
    ['min_cost', '-1', true],
    ['min_cost', '0.5', false],
    ['min_cost', 'x', true],
    ['min_latency', '2s', true],
    ['min_latency', '2000', false],
    ['user', 'anything', false],
    ['min_cost', '', false],
  ])('%s %s wrong: %s', (name, value, bad) => expect(wrong(kFilters.find((f) => f.name === name)!, value) !== '').toBe(bad))
})
