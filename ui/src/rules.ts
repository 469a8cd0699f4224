// What an alert rule is set to, in words. Pure.

import { count, percent, span, words } from './format'
import { plain } from './story'

const kTold = ['name', 'kind', 'severity', 'unit', 'off']
const number = (value: unknown) => (typeof value === 'number' && Number.isFinite(value) && value !== 0 ? value : null)

// The words of each setting that has some of its own; the rest are told by their names.
function said(figure: (value: number) => string): Record<string, (value: number) => string> {
  return {
    threshold: (at) => `at ${figure(at)}`,
    factor: (factor) => `×${factor} of what is usual`,
    floor: (from) => `from ${figure(from)} on`,
    objective: (share) => `objective ${percent(share)}`,
    bound_s: (seconds) => `slower than ${span(seconds)} counts`,
    age_s: (seconds) => `after ${span(seconds)}`,
    least: (calls) => `${count(calls)} calls at least`,
    for_s: (seconds) => `for ${span(seconds)}`,
    resolve_s: (seconds) => `over after ${span(seconds)}`,
  }
}

// How fast a budget of errors may be spent, over which windows; null where it is not told in this shape.
function burning(burns: unknown): string[] | null {
  if (!Array.isArray(burns)) return null
  const told = burns.map((burn: Record<string, unknown> | null) => {
    const [rate, over, now] = [number(burn?.rate), number(burn?.over_s), number(burn?.now_s)]
    return rate === null || over === null ? '' : `spent ${rate} times too fast over ${span(over)}${now === null ? '' : ` and ${span(now)}`}`
  })
  return told.includes('') ? null : told
}

export function setTo(rule: Record<string, unknown>, figure: (value: number, unit: string) => string): string {
  const own = said((value) => figure(value, plain(rule.unit)))
  const parts = rule.off === true ? ['off'] : []
  const by = (Array.isArray(rule.by) ? rule.by.map(plain) : []).filter((each) => each !== '' && each !== 'all')
  for (const [name, tell] of Object.entries(own)) {
    const value = number(rule[name])
    if (value !== null) parts.push(tell(value))
  }
  if (by.length > 0) parts.push(`also of each ${by.map(words).join(', ')}`)
  const burns = burning(rule.burns)
  parts.push(...(burns ?? []))
  for (const [name, value] of Object.entries(rule)) {
    if (name in own || (name === 'burns' && burns) || name === 'by' || kTold.includes(name)) continue
    const text = plain(value)
    if (text !== '' && text !== '{}' && text !== '0' && text !== 'false') parts.push(`${words(name)} ${text}`)
  }
  return parts.join(', ')
}
