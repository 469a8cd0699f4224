// What the mock server tells: a busy hour, and every text that a stranger can put into a record.

export const kHostile = [
  '<script>window.__pwned=1</script>',
  '"><img src=x onerror="window.__pwned=1">',
  'user\u202Egnp.exe',
  'مستخدم عربي',
  '𝒖𝒏𝒊𝒄𝒐𝒅𝒆 👩🏽‍🚀',
  `long-${'x'.repeat(9990)}`,
  "'; DROP TABLE calls; --",
  'javascript:window.__pwned=1',
  '\u0007bell\u0000nul\nnewline',
  '{{constructor.constructor("window.__pwned=1")()}}',
]
const users = ['ann@example.com', 'ben', 'chloe', 'batch-nightly', ...kHostile]
const features = ['support-chat', 'summaries', 'search', 'agents', kHostile[0], kHostile[5]]
const models = [
  ['openai', 'gpt-5-mini'],
  ['anthropic', 'claude-sonnet-4-5'],
  ['google', 'gemini-2.5-flash'],
  ['local', 'llama-3.3-70b-instruct-q4_k_m'],
  ['evil', kHostile[1]],
]
const routes = ['default', 'cheap', 'careful', kHostile[2], '']
const keys = [
  { id: 'key_01web', name: 'website' },
  { id: 'key_01app', name: 'mobile app' },
  { id: 'key_01evil', name: kHostile[0] },
]
const errors = ['provider_rate_limited', 'provider_timeout', 'provider_overloaded', 'budget_exceeded', 'caller_invalid_request']

// The same at every start: a small congruential generator.
export function random(seed) {
  let state = seed >>> 0
  return () => {
    state = (Math.imul(state, 1664525) + 1013904223) >>> 0
    return state / 2 ** 32
  }
}
const hash = (n) => random((n * 2654435761) >>> 0)()
const nano = (n) => {
  const text = String(Math.max(0, Math.round(n))).padStart(10, '0')
  return `${text.slice(0, -9)}.${text.slice(-9)}`
}
export const id = (kind, n) => `${kind}_01k${n.toString(32).padStart(23, '0')}`

// Of the calls of one bucket. Deterministic in its time.
export function stat(at, seconds, factor = 1) {
  const hour = (at / 3600e3) % 24
  const day = 0.55 + 0.45 * Math.sin(((hour - 9) / 24) * 2 * Math.PI)
  const noise = 0.85 + 0.3 * hash(Math.floor(at / 1000))
  const calls = Math.round(seconds * 7 * day * noise * factor)
  const trouble = hash(Math.floor(at / 600e3)) > 0.9 ? 0.09 : 0.006
  const failed = Math.round(calls * trouble * noise)
  const input = calls * 940
  const cached = Math.round(input * 0.31)
  return {
    calls,
    failed,
    cancelled: Math.round(calls * 0.004),
    cache_hits: Math.round(calls * 0.12 * noise),
    attempts: Math.round(calls * 0.93 + failed * 2),
    attempts_failed: Math.round(failed * 2.2),
    input: input - cached,
    cached,
    cache_write: Math.round(cached / 9),
    output: calls * 210,
    reasoning: calls * 65,
    images: 0,
    incurred_usd: nano(calls * 1_934_117 * noise),
    billed_usd: nano(calls * 1_871_000 * noise),
    saved_usd: nano(calls * 240_113),
    routing_saved_usd: nano(calls * 410_207),
    latency_ms: calls ? { p50: 640 * noise, p95: 2900 * noise * (1 + trouble * 4), p99: 8100 * noise } : null,
    first_token_ms: calls ? { p50: 310 * noise, p95: 920 * noise, p99: 2100 * noise } : null,
  }
}

const kSums = ['calls', 'failed', 'cancelled', 'cache_hits', 'attempts', 'attempts_failed', 'input', 'cached', 'cache_write', 'output', 'reasoning', 'images']
export function sum(stats) {
  const out = stats.length ? { ...stats[0] } : stat(0, 0)
  for (const name of kSums) out[name] = stats.reduce((all, each) => all + each[name], 0)
  for (const name of ['incurred_usd', 'billed_usd', 'saved_usd', 'routing_saved_usd'])
    out[name] = nano(stats.reduce((all, each) => all + Number(each[name]) * 1e9, 0))
  return out
}

const pick = (list, r) => list[Math.floor(r() * list.length)]

// Call `n` in time: one each 900 ms, backwards from the newest.
export function call(n) {
  const r = random(n * 7919 + 13)
  const at = n * 900
  const [provider, model] = pick(models, r)
  const bad = r() < 0.09
  const hit = !bad && r() < 0.12
  const out = Math.round(20 + r() * r() * 1400)
  const latency = hit ? 0.4 + r() * 3 : 200 + out * 4 * (0.4 + r())
  const error = bad ? pick(errors, r) : ''
  const route = pick(routes, r)
  const cost = hit ? 0 : (900 * 250 + out * 2000) * (r() < 0.02 ? 400 : 1)
  return {
    id: id('call', n),
    arrived: new Date(at).toISOString(),
    key: pick(keys, r),
    team: pick(['', 'growth', 'core'], r),
    user: r() < 0.6 ? `user-${Math.floor(r() * 400)}` : pick(users, r),
    feature: pick(features, r),
    route,
    requested_model: route || `${provider}/${model}`,
    operation: pick(['chat', 'chat', 'chat', 'embeddings'], r),
    api: pick(['openai_chat', 'anthropic_messages', 'gemini'], r),
    provider: hit ? '' : provider,
    model: hit ? '' : model,
    served_by: hit ? 'cache' : bad ? '' : `${provider}/${model}`,
    status: bad ? pick(['failed', 'failed', 'cancelled', 'unknown'], r) : 'ok',
    error,
    http_status: bad ? pick([429, 503, 504, 400], r) : 200,
    cache: hit ? 'hit' : pick(['miss', 'none'], r),
    tokens: {
      input: Math.round(200 + r() * 3000),
      cached: r() < 0.4 ? 1024 : 0,
      cache_write: 0,
      output: bad ? 0 : out,
      reasoning: r() < 0.2 ? 640 : 0,
      images: 0,
    },
    incurred_usd: nano(cost),
    billed_usd: nano(bad ? 0 : cost),
    latency_ms: Math.round(latency * 1000) / 1000,
    first_token_ms: hit || bad ? null : Math.round(latency * 300) / 1000,
    attempts: hit ? 0 : bad ? 3 : 1,
  }
}

export function record(n) {
  const row = call(n)
  const us = Math.round(row.latency_ms * 1000)
  const attempts = Array.from({ length: row.attempts }, (_, i) => {
    const last = i === row.attempts - 1
    const part = Math.round(us / Math.max(1, row.attempts)) - 900
    return {
      id: id('att', n * 10 + i),
      n: i,
      provider: row.provider,
      model: row.model,
      credential: 'main',
      started: new Date(Date.parse(row.arrived) + Math.round((us / Math.max(1, row.attempts) / 1000) * i) + 1).toISOString(),
      latency_us: Math.max(1, part),
      first_token_us: last && row.status === 'ok' ? Math.round(part * 0.3) : 0,
      outcome: last && row.status === 'ok' ? 'ok' : row.error || 'provider_timeout',
      http_status: last && row.status === 'ok' ? 200 : 503,
      tokens: row.tokens,
      incurred_usd: row.incurred_usd,
      hedged: i === 1,
      cut: false,
      cost: last && row.status === 'unknown' ? 'unknown' : 'known',
    }
  })
  const target = `${row.provider}/${row.model}`
  const decision = [
    { at_us: 21, step: 'route', model: row.requested_model, route: row.route, key: row.key.name, stream: true },
    { at_us: 60, step: 'admitted', tokens_estimated: 1240 },
    ...(row.cache === 'none' ? [] : [{ at_us: 88, step: row.cache === 'hit' ? 'cache_hit' : 'cache_miss', of: id('call', n - 5) }]),
    ...(row.attempts
      ? [
          { at_us: 130, step: 'plan', strategy: 'cheapest', order: [target, 'openai/gpt-5-mini'] },
          { at_us: 141, step: 'skipped', target: 'local/llama', why: 'breaker_open' },
        ]
      : []),
    ...attempts.map((a, i) => ({ at_us: Math.round((us / attempts.length) * (i + 1)) - 40, step: 'attempt', target, outcome: a.outcome })),
    { at_us: us - 9, step: 'something_new', text: kHostile[0], deep: { a: [1, 2, { b: kHostile[1] }] } },
    { at_us: us, step: 'settled', outcome: row.error || 'ok' },
  ]
  const { key, latency_ms, first_token_ms, attempts: _, ...rest } = row
  return {
    ...rest,
    key_id: key.id,
    key_name: key.name,
    trace_id: n % 3 ? '4bf92f3577b34da6a3ce929d0e0e4736' : '',
    latency_us: us,
    first_token_us: Math.round((first_token_ms ?? 0) * 1000),
    attempts,
    charges: { [`team|${row.team || kHostile[0]}|1763769600`]: row.incurred_usd },
    decision,
  }
}

export const names = {
  users,
  features,
  models: models.map(([a, b]) => `${a}/${b}`),
  routes: routes.filter(Boolean),
  keys: keys.map(({ id: each }) => each),
  teams: ['growth', 'core', kHostile[3]],
  flows: ['support/answer', 'newsroom/daily', kHostile[1]],
}

export const budgets = () =>
  [
    ['company', 'all', '', '2500', '1843.118204771'],
    ['per team', 'team', 'growth', '400', '391.5'],
    ['per team', 'team', kHostile[0], '400', '12.000000001'],
    ['per user', 'user', kHostile[5], '5', '5.31'],
    ['huge', 'all', '', '9007199254740993.5', '1'],
  ].map(([budget, scope, value, limit, spent]) => ({
    window: `${budget}|${value}|1763769600`,
    budget,
    scope,
    value,
    limit_usd: limit,
    spent_usd: spent,
    held_usd: '0.25',
    remaining_usd: '1',
    window_end: new Date(Math.ceil(Date.now() / 86400e3) * 86400e3).toISOString(),
  }))

export const alerts = () =>
  [
    [
      'cost_spike',
      'firing',
      'page',
      'Spend is 9.4 times what this hour usually sees',
      '$412.20 in the last 10 minutes against $43.80',
      412.2,
      43.8,
      'usd',
      { feature: kHostile[0] },
    ],
    [
      'breaker_open',
      'firing',
      'ticket',
      'openai/gpt-5-mini rests: its breaker is open',
      'last error provider_overloaded',
      1,
      0,
      'breakers',
      { provider: 'openai' },
    ],
    [kHostile[1], 'pending', 'info', kHostile[0], kHostile[5], null, null, '', { x: kHostile[2] }],
    ['latency_slo', 'silenced', 'page', 'p95 is over its objective', '4.1 s against 3 s over an hour', 4100, 3000, 'ms', {}],
    ['error_rate', 'resolved', 'page', 'One call in eleven fails', '9.1 % against 2 %', 0.091, 0.02, 'share', { model: 'claude-sonnet-4-5' }],
  ].map(([rule, state, severity, title, detail, value, threshold, unit, labels], i) => ({
    id: id('alert', i + 1),
    rule,
    kind: String(rule),
    severity,
    state,
    title,
    detail,
    labels,
    value,
    threshold,
    unit,
    since: new Date(Date.now() - (i + 1) * 1_260_000).toISOString(),
    updated: new Date(Date.now() - 30_000).toISOString(),
    resolved_at: state === 'resolved' ? new Date(Date.now() - 600_000).toISOString() : null,
    evidence: { window: '10m', observed: value, baseline: { median: 43.8, mad: 6.1 }, example: id('call', 42) },
  }))
