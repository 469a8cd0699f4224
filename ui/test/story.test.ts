import { readFileSync } from 'node:fs'
import { describe, expect, it } from 'vitest'
import { conversation, kMoments, kPhrases, placed, replied, soFar, tell } from '../src/story'

// A list of names in the header that the server is made of.
function listed(name: string): (string | undefined)[] {
  const found = new RegExp(`${name}\\[\\] = \\{([\\s\\S]*?)\\};`).exec(readFileSync(new URL('../../src/gateway/decision.hpp', import.meta.url), 'utf8'))
  return [...(found?.[1] ?? '').replaceAll(/\/\/.*/g, '').matchAll(/"(\w+)"/g)].map((each) => each[1])
}

describe('a step in words', () => {
  it.each([
    [
      { step: 'route', at_us: 20, model: 'gpt-4', route: 'default', key: 'web', stream: true },
      'asked for “gpt-4”, which is route “default”; key “web”; a stream',
    ],
    [{ step: 'route', at_us: 20, model: 'openai/gpt-5', route: '', key: 'web' }, 'asked for “openai/gpt-5” by name; key “web”'],
    [{ step: 'plan', order: ['a/b', 'c/d'], strategy: 'cheapest' }, 'planned to try a/b, c/d (cheapest)'],
    [{ step: 'waited', us: 1_200_000 }, 'a limit made it wait 1.20 s'],
    [{ step: 'held', ceiling_nano: 1_500_000_000 }, 'held up to $1.50 against its budgets'],
    [{ step: 'routing_saved', saved_nano: 1_500_000_000, than: 'a/b', would_cost_nano: 2_000_000_000 }, 'at a/b it would have cost $2.00: $1.50 saved'],
    [{ step: 'held', ceiling_nano: 0 }, 'held up to $0.00 against its budgets'],
    [{ step: 'fail_over', from: 'a/b', to: 'c/d', why: 'provider_timeout' }, 'a/b failed (provider_timeout); went on to c/d'],
  ])('%j', (step, words) => expect(tell(step).words).toBe(words))
  it('has words for every step that a record may have, and no others', () => {
    const steps = listed('kDecisionSteps')
    expect(steps.length).toBeGreaterThan(30)
    expect(Object.keys(kPhrases).sort()).toEqual(steps.sort())
  })
  it('has words for every moment between them, and no others', () => expect(Object.keys(kMoments).sort()).toEqual(listed('kMoments').sort()))
  it('tells what it does not know by its facts', () =>
    expect(tell({ step: 'brand_new', at_us: 1500, n: 3, deep: { a: [1] } })).toEqual({
      at: '1.5 ms',
      words: 'brand new',
      more: [
        ['n', '3'],
        ['deep', '{"a":[1]}'],
      ],
      tone: 'plain',
    }))
  it('keeps facts that its words leave out', () => expect(tell({ step: 'retry', target: 't', why: 'w', wait_us: 9 }).more).toEqual([['wait', '9 µs']]))
  it('tells figures in their units, and nothing of nothing', () =>
    expect(tell({ step: 'attempt', target: 't', outcome: 'x', http_status: 0, incurred_nano: 243_000, billed_nano: 0 }).more).toEqual([
      ['incurred', '$0.000243'],
    ]))
  it('is not fooled by names of objects’ own', () => expect(tell({ step: 'constructor' }).words).toBe('constructor'))
  it('does not grow with what strangers write', () => expect(tell({ step: 'warning', text: 'x'.repeat(10_000) }).words.length).toBeLessThan(400))
  it('tells failure by colour', () =>
    expect([tell({ step: 'attempt', outcome: 'ok' }).tone, tell({ step: 'attempt', outcome: 'provider_timeout' }).tone]).toEqual(['good', 'bad']))
  it('does not take who was overtaken for one that failed', () => expect(tell({ step: 'attempt', outcome: 'caller_cancelled' }).tone).toBe('plain'))
})

describe('a decision as it happens', () => {
  const names = (steps: Record<string, unknown>[]) => soFar(steps).map((step) => `${step.step} ${step.target ?? ''}`.trim())
  it('tells who is asked until it is known what came of it', () => {
    const asked = [{ step: 'plan' }, { step: 'asking', target: 'a' }, { step: 'hedge', target: 'b' }, { step: 'asking', target: 'b' }]
    expect(names(asked)).toEqual(['plan', 'asking a', 'hedge b', 'asking b'])
    expect(names([...asked, { step: 'attempt', target: 'b' }])).toEqual(['plan', 'asking a', 'hedge b', 'attempt b'])
    expect(names([...asked, { step: 'attempt', target: 'b' }, { step: 'asking', target: 'b' }]).at(-1)).toBe('asking b')
  })
  it('tells that it waits until it has', () => {
    expect(names([{ step: 'waiting', why: 'w' }])).toEqual(['waiting'])
    expect(names([{ step: 'waiting', why: 'w' }, { step: 'waited' }])).toEqual(['waited'])
  })
})

describe('attempts on a timeline', () => {
  const arrived = '2026-11-22T12:00:00.000Z'
  it('lie where they were', () =>
    expect(placed({ started: '2026-11-22T12:00:00.500Z', latency_us: 250_000, first_token_us: 100_000 }, arrived, 1_000_000)).toEqual({
      left: 0.5,
      width: 0.25,
      firstToken: 0.6,
    }))
  it('never leave the chart', () => {
    expect(placed({ started: '2026-11-22T11:59:59Z', latency_us: 9e9, first_token_us: 0 }, arrived, 1000)).toEqual({ left: 0, width: 1, firstToken: null })
    expect(placed({ started: 'nonsense', latency_us: 5, first_token_us: 0 }, arrived, 0)).toEqual({ left: 0, width: 1, firstToken: null })
  })
})

describe('messages', () => {
  it('reads OpenAI’s', () =>
    expect(
      conversation({
        messages: [
          { role: 'system', content: 'a' },
          {
            role: 'user',
            content: [
              { type: 'text', text: 'b' },
              { type: 'image_url', image_url: {} },
            ],
          },
        ],
      }),
    ).toEqual([
      { role: 'system', text: 'a', other: [] },
      { role: 'user', text: 'b', other: [{ type: 'image_url', image_url: {} }] },
    ]))
  it('reads Anthropic’s system apart', () =>
    expect(conversation({ system: 's', messages: [{ role: 'user', content: 'b' }] })?.map(({ role }) => role)).toEqual(['system', 'user']))
  it('reads Gemini’s', () =>
    expect(conversation({ contents: [{ role: 'user', parts: [{ text: 'x' }, { text: 'y' }] }] })).toEqual([{ role: 'user', text: 'x\ny', other: [] }]))
  it('reads the responses API', () => expect(conversation({ instructions: 'i', input: 'q' })?.map(({ text }) => text)).toEqual(['i', 'q']))
  it.each([[null], ['text'], [{ prompt: 1 }], [{ messages: ['?'] }]])('leaves %j to the tree', (request) => expect(conversation(request)).toBeNull())
  it.each([
    [{ choices: [{ message: { content: 'hi' } }] }],
    [{ content: [{ type: 'text', text: 'hi' }] }],
    [{ candidates: [{ content: { parts: [{ text: 'hi' }] } }] }],
    [{ output: [{ type: 'message', content: [{ type: 'output_text', text: 'hi' }] }] }],
  ])('reads the answer of %j', (reply) => expect(replied(reply)?.[0]?.text).toBe('hi'))
})
