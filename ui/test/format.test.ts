import { describe, expect, it } from 'vitest'
import { ago, clip, count, dollars, micros, middle, millis, percent, short, span, tick, visible, words } from '../src/format'

describe('figures', () => {
  it.each([
    [0, '0'],
    [7, '7'],
    [0.125, '0.13'],
    [12.34, '12.3'],
    [999, '999'],
    [1000, '1k'],
    [1234, '1.23k'],
    [999_499, '999k'],
    [999_999, '1M'],
    [12_345_678, '12.3M'],
    [-4321, '-4.32k'],
    [Number.NaN, '–'],
    [null, '–'],
  ])('%s is short %s', (n, text) => expect(short(n)).toBe(text))
  it.each([
    [0, '$0'],
    [1234, '$1.23k'],
    [0.5, '$0.50'],
    [0.0075, '$0.0075'],
    [0.00025, '0.025¢'],
    [Number.NaN, '$–'],
  ])('%s is %s on an axis', (usd, text) => expect(dollars(usd)).toBe(text))
  it('groups whole numbers by threes', () => expect(count(1234567)).toBe('1\u2009234\u2009567'))
  it.each([
    [0, '0 %'],
    [0.00001, '<0.01 %'],
    [0.0012, '0.12 %'],
    [0.05, '5.0 %'],
    [0.5, '50 %'],
  ])('%s is %s', (n, text) => expect(percent(n)).toBe(text))
  it.each([
    [0.25, '250 µs'],
    [3.14, '3.1 ms'],
    [250, '250 ms'],
    [1234, '1.23 s'],
    [61_000, '1 m 1 s'],
    [undefined, '–'],
  ])('%s ms is %s', (n, text) => expect(millis(n)).toBe(text))
  it('reads microseconds', () => expect(micros(1500)).toBe('1.5 ms'))
})

describe('times', () => {
  const now = new Date('2026-11-22T12:00:00Z')
  it.each([
    ['2026-11-22T11:59:59.5Z', 'now'],
    ['2026-11-22T11:59:30Z', '30 s ago'],
    ['2026-11-22T11:00:00Z', '1 h ago'],
    ['2026-11-20T11:00:00Z', '2 d ago'],
    ['2026-11-22T12:05:00Z', 'in 5 min'],
  ])('%s is %s', (at, text) => expect(ago(new Date(at), now)).toBe(text))
  it.each([
    [0, '0 s'],
    [59.6, '1 m'],
    [3700, '1 h 1 m'],
    [90_000, '1 d 1 h'],
    [86_400, '1 d'],
  ])('%s s span %s', (s, text) => expect(span(s)).toBe(text))
  it('names the day at midnight', () => expect(tick(new Date(2026, 10, 22), 3600)).toBe('22 Nov'))
  it('names the seconds of short steps', () => expect(tick(new Date(2026, 10, 22, 7, 8, 9), 5)).toBe('07:08:09'))
})

describe('long texts', () => {
  it('keeps whole characters at both ends', () => expect(middle('👩👩👩👩👩👩', 3)).toBe('👩…👩'))
  it('never cuts a surrogate pair', () => {
    const clipped = clip('a👩'.repeat(100), 50)
    expect(clipped).not.toMatch(/[\ud800-\udbff](?![\udc00-\udfff])/)
    expect(clipped.endsWith('…')).toBe(true)
  })
  it('shows what would hide', () => {
    expect(clip('user\u202Egnp.exe\u0000')).toBe('user‹202E›gnp.exe‹0000›')
    expect(visible('two\nlines\tand 👩🏽‍🚀, مستخدم')).toBe('two\nlines\tand 👩🏽‍🚀, مستخدم')
  })
  it('reads only its own words', () => expect([words('provider_timeout'), words('window.__pwned')]).toEqual(['provider timeout', 'window.__pwned']))
  it('leaves short ones alone', () => expect(clip('abc', 3)).toBe('abc'))
})
