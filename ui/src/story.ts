// A call's decision record in words, as `ballast explain` tells it. Pure: what comes out is text.

import { clip, micros } from './format'
import { money, usdOf } from './money'

// What a step is called in words, with {name} for its facts. A step that is not here is told by its facts.
export const kPhrases: Record<string, string> = {
  stale: 'by keys, breakers and rules as this node last heard of them, at {since}',
  route: 'asked for “{model}”, which is route “{route}”; key “{key}”',
  admitted: 'limits let it in, at an estimate of {tokens_estimated} tokens',
  slice_waited: 'waited {us} until this node had a part of the limit of {of}',
  limit_refused: 'a limit refused it: {why}',
  cache_miss: 'not in the cache',
  cache_bypassed: 'past the cache, as {by} asked',
  cache_hit: 'answered from the cache; call {of} made that answer',
  idempotent_replay: 'the same Idempotency-Key was used before: the answer of call {of} was given again',
  idempotency_refused: 'its Idempotency-Key was refused: {why}',
  rested: 'every target rested: waited {us} for one',
  early_try: 'nobody else to ask: {target} was asked although its breaker rests',
  another_round: 'all had failed ({why}); began again with {target}',
  rounds_used_up: 'all had failed ({why}), and so had too many other calls: no further round',
  not_blamed: '{target} is not to blame: it was given less than its own time',
  breaker_open: 'left {target} out: its breaker is open',
  no_credential: 'left {target} out: no usable credential ({why})',
  target_limited: 'left {target} out: {why}',
  skipped: 'left {target} out: {why}',
  budget_refused: 'left {target} out: {why}',
  intent: '{classifier} takes it for “{label}”, at {percent} %: {verdict}',
  intent_asked: 'asked {target} what it wants: {said}; {first} comes first',
  intent_not_asked: 'did not ask {target} what it wants: {why}',
  counted: 'its prompt was counted for the {for} of {of}: {tokens} tokens ({by})',
  counted_beyond: 'its prompt was counted for the {for} of {of}: more than {tokens} tokens ({by})',
  hedge: 'slow: asked {target} as well',
  waited: 'a limit made it wait {us}',
  held: 'held up to {ceiling} against its budgets',
  waited_for_money: 'this node’s part of a budget was too small: waited {us} for the database’s word',
  plan: 'planned to try {order} ({strategy})',
  warning: '{text}',
  attempt: 'asked {target}: {outcome}',
  routing_saved: 'at {than} it would have cost {would_cost}: {saved} saved',
  settled: 'settled: {outcome}',
  retry: '{target} failed ({why}); tried again',
  fail_over: '{from} failed ({why}); went on to {to}',
  rescue: 'the stream broke; rescued by {mode} on {to}',
  rescue_impossible: 'the stream broke and could not be rescued ({mode}): {why}',
  reconciled: '{by} said what attempt {attempt} cost, {incurred_usd} instead of {was_usd}, at {at}',
  call_not_judged: 'calls of the tool {tool} are not judged: {why}',
  judged: 'the answer of {target} was judged against the JSON that was asked for: {verdict} {how}{rule}',
  asked_again: '{target} was told what was wrong ({why}) and asked again',
  passed_on: 'the answer of {target} was passed on although it is {why}',
  degraded: 'every target failed ({why}); answered by {to}',
  truncated: 'and {steps} more steps, which did not fit',
  unknown: '{why}',
}
// What is told while it happens and is in no record.
export const kMoments: Record<string, string> = {
  waiting: 'waits for room: {why}',
  asking: 'asks {target}…',
  answering: 'the answer of {target} begins',
}
// A moment is over once one of these is told, of the same target.
const kOver: Record<string, string[]> = { waiting: ['waited'], asking: ['attempt'] }

// The steps so far, without the moments that are over.
export function soFar(steps: Facts[]): Facts[] {
  return steps.filter((step, i) => {
    const name = plain(step.step)
    const ends = Object.hasOwn(kOver, name) ? kOver[name]! : []
    return !steps.slice(i + 1).some((later) => ends.includes(plain(later.step)) && later.target === step.target)
  })
}

const kBad = new Set(['limit_refused', 'idempotency_refused', 'budget_refused', 'rounds_used_up', 'rescue_impossible', 'degraded', 'unknown'])
const kWarn = new Set([
  'fail_over',
  'retry',
  'rescue',
  'another_round',
  'skipped',
  'breaker_open',
  'no_credential',
  'target_limited',
  'asked_again',
  'passed_on',
  'early_try',
  'rested',
  'warning',
])

export interface Told {
  at: string
  words: string
  // Facts that the words leave out.
  more: [string, string][]
  tone: 'plain' | 'good' | 'warn' | 'bad'
}

type Facts = Record<string, unknown>

export function plain(value: unknown): string {
  if (value === null || value === undefined) return ''
  if (Array.isArray(value)) return value.map(plain).join(', ')
  if (typeof value === 'object') return JSON.stringify(value)
  return String(value)
}

function facts(step: Facts): Facts {
  const known: Facts = {}
  for (const [name, value] of Object.entries(step)) {
    const whole = typeof value === 'number' && Number.isSafeInteger(value) ? value : null
    // Units are told with the figure; what is nothing is not told.
    if (name !== 'at_us' && whole !== null && /(^|_)us$/.test(name)) known[name.slice(0, -3) || name] = micros(whole)
    else if (whole !== null && name.endsWith('_nano')) known[name.slice(0, -5)] = whole === 0 ? '' : money(usdOf(BigInt(whole)))
    else if (name.endsWith('_usd')) known[name] = `$${plain(value)}`
    else known[name] = name === 'http_status' && value === 0 ? '' : value
  }
  return known
}

export function tell(step: Facts): Told {
  const name = plain(step.step)
  const known = facts(step)
  let phrase = Object.hasOwn(kPhrases, name) ? kPhrases[name]! : Object.hasOwn(kMoments, name) ? kMoments[name]! : ''
  if (name === 'route' && plain(step.route) === '') phrase = 'asked for “{model}” by name; key “{key}”'
  if (name === 'budget_refused' && plain(step.target) === '') phrase = 'a budget has no room for up to {ceiling}: {why}'
  const used = new Set(['step', 'at_us'])
  const words = phrase
    ? phrase.replace(/\{(\w+)\}/g, (_, fact: string) => {
        used.add(fact)
        // Alone nothing of nothing is told; within a sentence it is a figure.
        return clip(plain(known[fact]) || (step[`${fact}_nano`] === 0 ? '$0.00' : ''), 300)
      })
    : clip(name, 80).replaceAll('_', ' ')
  if (name === 'route') {
    used.add('route')
    used.add('stream')
  }
  const more = Object.entries(known)
    .filter(([fact, value]) => !used.has(fact) && plain(value) !== '')
    .map(([fact, value]): [string, string] => [fact.replaceAll('_', ' '), clip(plain(value), 300)])
  return {
    at: typeof step.at_us === 'number' ? micros(step.at_us) : '',
    words: name === 'route' && step.stream === true ? `${words}; a stream` : words,
    more,
    tone: toneOf(name, step),
  }
}

function toneOf(name: string, step: Facts): Told['tone'] {
  // Who is overtaken has not failed.
  if (name === 'attempt' && step.outcome === 'caller_cancelled') return 'plain'
  if (name === 'settled' || name === 'attempt') return step.outcome === 'ok' ? 'good' : 'bad'
  if (name === 'cache_hit' || name === 'routing_saved') return 'good'
  return kBad.has(name) ? 'bad' : kWarn.has(name) ? 'warn' : 'plain'
}

export interface Bar {
  // Shares of the whole, 0 to 1.
  left: number
  width: number
  firstToken: number | null
}

// Where an attempt lies within its call. Clocks may disagree a little: nothing leaves the chart.
export function placed(attempt: { started: string; latency_us: number; first_token_us: number }, arrived: string, wholeUs: number): Bar {
  const offset = Math.max(0, (Date.parse(attempt.started) - Date.parse(arrived)) * 1000) || 0
  const whole = Math.max(wholeUs, 1)
  const left = Math.min(1, offset / whole)
  const width = Math.max(0, Math.min(1 - left, attempt.latency_us / whole))
  return { left, width, firstToken: attempt.first_token_us > 0 ? Math.min(1, left + attempt.first_token_us / whole) : null }
}

export interface Said {
  role: string
  text: string
  // What is not text: images, tool calls.
  other: unknown[]
}

// The messages of a request in any of the wires, as far as they are of a known shape; null where they are not.
export function conversation(request: unknown): Said[] | null {
  if (typeof request !== 'object' || request === null) return null
  const body = request as Facts
  const list = Array.isArray(body.messages) ? body.messages : Array.isArray(body.contents) ? body.contents : Array.isArray(body.input) ? body.input : null
  const said: Said[] = []
  const system = body.system ?? body.instructions ?? body.systemInstruction
  if (system) said.push(speech('system', system))
  if (typeof body.input === 'string') said.push(speech('user', body.input))
  else if (!list) return null
  for (const each of list ?? []) {
    if (typeof each !== 'object' || each === null) return null
    const message = each as Facts
    const one = speech(plain(message.role) || 'user', message.content ?? message.parts)
    if (message.tool_calls) one.other.push(message.tool_calls)
    said.push(one)
  }
  return said
}

// What a model answered, whole or as its wire tells it.
export function replied(reply: unknown): Said[] | null {
  if (typeof reply !== 'object' || reply === null) return null
  const body = reply as Facts
  const first = (list: unknown) => (Array.isArray(list) ? (list[0] as Facts | undefined) : undefined)
  const choice = first(body.choices)
  if (choice?.message) {
    const message = choice.message as Facts
    const one = speech('assistant', message.content)
    if (message.tool_calls) one.other.push(message.tool_calls)
    return [one]
  }
  const candidate = first(body.candidates)
  if (candidate?.content) return [speech('assistant', (candidate.content as Facts).parts)]
  if (Array.isArray(body.content)) return [speech('assistant', body.content)]
  if (Array.isArray(body.output)) return body.output.map((each) => speech('assistant', (each as Facts)?.content ?? each))
  return null
}

function speech(role: string, content: unknown): Said {
  const one: Said = { role, text: '', other: [] }
  const add = (part: unknown) => {
    if (typeof part === 'string') one.text += (one.text ? '\n' : '') + part
    else if (typeof part === 'object' && part !== null && typeof (part as Facts).text === 'string') add((part as Facts).text)
    else if (typeof part === 'object' && part !== null && Array.isArray((part as Facts).parts)) for (const each of (part as Facts).parts as unknown[]) add(each)
    else if (part !== null && part !== undefined) one.other.push(part)
  }
  if (Array.isArray(content)) for (const part of content) add(part)
  else add(content)
  return one
}
