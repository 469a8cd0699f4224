import { describe, expect, it } from 'vitest'
import { rangeOf } from '../src/range'
import { match, withRange } from '../src/router'

describe('paths', () => {
  it('takes the parts', () => expect(match('/calls/:id', '/calls/call_01k')).toEqual({ id: 'call_01k' }))
  it('takes them decoded', () => expect(match('/flows/:name', '/flows/a%2Fb%20%3Cscript%3E')).toEqual({ name: 'a/b <script>' }))
  it('refuses what cannot be decoded', () => expect(match('/calls/:id', '/calls/%E0%A4%A')).toBeNull())
  it('wants the whole path', () => {
    expect(match('/calls', '/calls/x')).toBeNull()
    expect(match('/', '/calls')).toBeNull()
    expect(match('/', '/')).toEqual({})
  })
})

describe('the range travels', () => {
  it('goes along', () => expect(withRange('/calls?user=ann', '?range=7d&key=x')).toBe('/calls?user=ann&range=7d'))
  it('unless the link has its own', () => expect(withRange('/calls?range=1h', '?range=7d')).toBe('/calls?range=1h'))
})

describe('a range', () => {
  const now = new Date('2026-11-22T12:00:01Z')
  const of = (text: string) => rangeOf(new URLSearchParams(text), now)
  it('is an hour unless asked', () => expect(of('')).toMatchObject({ name: '1h', seconds: 3600, live: true, compare: false }))
  it('ends at a whole step', () => expect(of('range=1h').to.toISOString()).toBe('2026-11-22T12:00:05.000Z'))
  it('takes two ends', () =>
    expect(of('from=2026-11-01T00:00:00Z&to=2026-11-02T00:00:00Z&compare=before')).toMatchObject({
      name: 'custom',
      seconds: 86400,
      live: false,
      compare: true,
    }))
  it.each(['range=<script>', 'from=x&to=y', 'from=2026-11-02T00:00:00Z&to=2026-11-01T00:00:00Z'])('takes %s for nothing', (text) =>
    expect(of(text).name).toBe('1h'),
  )
})
