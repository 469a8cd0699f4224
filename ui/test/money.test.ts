import { describe, expect, it } from 'vitest'
import { compareUsd, minusUsd, money, nanoOf, sumUsd, usdOf } from '../src/money'

describe('exact sums', () => {
  it('adds what floats cannot', () => expect(sumUsd(['0.1', '0.2'])).toBe('0.3'))
  it('keeps nano-dollars beside billions', () => expect(sumUsd(['9007199254.740993001', '0.000000001'])).toBe('9007199254.740993002'))
  it('goes below nothing and back', () => expect(minusUsd('1', '2.5')).toBe('-1.5'))
  it.each(['', 'abc', '1e9', '1,5', '--1', null, undefined])('%s is no amount', (text) => expect(nanoOf(text)).toBeNull())
  it('turns there and back', () => {
    for (const nano of [0n, 1n, -1n, 999_999_999n, 10n ** 18n + 7n]) expect(nanoOf(usdOf(nano))).toBe(nano)
  })
  it('compares by amount, not by letter', () => expect(['10', '9.5', '0.000000002'].toSorted(compareUsd)).toEqual(['0.000000002', '9.5', '10']))
})

describe('as people read it', () => {
  it.each([
    ['0', '$0.00'],
    ['1.234567891', '$1.23'],
    ['1.235', '$1.24'],
    ['-3.5', '−$3.50'],
    ['0.5', '$0.500'],
    ['0.000123456', '$0.000123'],
    ['0.000000001', '$0.000000001'],
    ['1234567.8', '$1\u2009234\u2009567.80'],
    ['0.999999999', '$1.000'],
    ['nonsense', '–'],
  ])('%s is %s', (usd, text) => expect(money(usd)).toBe(text))
  it('rounds to the places asked for', () => expect(money('0.005', 2)).toBe('$0.01'))
})
