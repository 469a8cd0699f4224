import { describe, expect, it } from 'vitest'
import type { Approval } from '../src/work/types'
import { at, editable, isOver, parsed, took, versionOf, withAt } from '../src/work/words'

describe('an edit', () => {
  const shown = { to: 'ann', reply: { text: 'Hello', tags: ['a', 'b'] }, '<b>': 1 }
  it('changes the member it names and shares the rest', () => {
    const next = withAt(shown, 'reply.text', 'Hi') as typeof shown
    expect(next).toEqual({ ...shown, reply: { text: 'Hi', tags: ['a', 'b'] } })
    expect(next.reply.tags).toBe(shown.reply.tags)
    expect(shown.reply.text).toBe('Hello')
  })
  it('reaches into lists', () => expect(withAt(shown, 'reply.tags.1', 'c')).toEqual({ ...shown, reply: { text: 'Hello', tags: ['a', 'c'] } }))
  it('makes nothing that is not there, nor touches what objects are made of', () => {
    expect(withAt(shown, 'reply.nobody', 1)).toEqual(shown)
    expect(withAt(shown, '__proto__.polluted', 1)).toEqual(shown)
    expect(({} as { polluted?: unknown }).polluted).toBeUndefined()
    expect(at(shown, 'constructor.name')).toBeUndefined()
  })
  it('reads what it would change', () => expect([at(shown, 'reply.tags.0'), at(shown, '<b>'), at(null, 'a')]).toEqual(['a', 1, undefined]))
  it('is allowed as the flow says', () => {
    const of = (edit: Approval['edit']) => editable({ edit } as Approval)
    expect(of(undefined)).toEqual({ may: false, paths: null })
    expect(of({ paths: ['text'], schema: null })).toEqual({ may: true, paths: ['text'] })
    expect(of({ paths: [], schema: { type: 'object' } })).toEqual({ may: true, paths: null })
  })
})

describe('words', () => {
  it('of JSON that is none says why', () => {
    expect(parsed('{"a": 1}')).toEqual({ value: { a: 1 }, problem: '' })
    expect(parsed('{"a": ').problem).not.toBe('')
  })
  it('of versions', () => expect([versionOf('7'), versionOf('f390ec45f6f7ca45f3e2'), versionOf(undefined)]).toEqual(['7', 'f390ec45f6f7', '']))
  it('of states', () => expect(['done', 'dead', 'cancelled', 'waiting'].map(isOver)).toEqual([true, true, true, false]))
  it('of how long it took', () => {
    const job = { created: '2026-11-22T12:00:00.000Z' }
    expect(took({ ...job, finished: '2026-11-22T12:00:00.267Z' }, new Date(0))).toBe('0.267 s')
    expect(took(job, new Date('2026-11-22T13:01:00Z'))).toBe('1 h 1 m')
    expect(took(job, new Date('2026-11-22T11:00:00Z'))).toBe('0.000 s')
  })
})
