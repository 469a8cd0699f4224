// A server that keeps the contract and has no back end: `npm run mock`, then `npm run dev`. Keys: "admin" and "read".
// With --dist DIR it serves a built page too, under the policy that the real server sends.

import { readFileSync } from 'node:fs'
import { createServer } from 'node:http'
import { join, normalize } from 'node:path'
import { alerts, budgets, call, id, kHostile, names, record, stat, sum } from './data.mjs'

const option = (name, otherwise) => (process.argv.includes(name) ? process.argv[process.argv.indexOf(name) + 1] : otherwise)
const port = Number(option('--port', 8799))
const dist = option('--dist', '')
const sessions = new Map()
const silences = []
let keys = [
  {
    id: 'key_01web',
    name: 'website',
    prefix: 'blst_9fk…',
    scopes: 'call',
    models: ['default', 'cheap'],
    team: 'growth',
    user: '',
    feature: '',
    created: '2026-10-01T08:00:00Z',
    expires: null,
    revoked: null,
    old_secret_until: null,
    last_used: new Date().toISOString(),
  },
  {
    id: 'key_01evil',
    name: kHostile[0],
    prefix: 'blst_333…',
    scopes: 'call,read',
    models: [],
    team: kHostile[3],
    user: kHostile[5],
    feature: '',
    created: '2026-10-01T08:00:00Z',
    expires: '2026-12-01T00:00:00Z',
    revoked: null,
    old_secret_until: null,
    last_used: null,
  },
  { id: 'key_admin', name: 'from the configuration', prefix: '', scopes: 'admin', team: '', user: '', feature: '', configured: true, last_used: null },
]

class Refusal {
  constructor(status, detail, field) {
    Object.assign(this, { status, detail, field })
  }
}
const cookieOf = (request) => /ballast_session=([\w-]+)/.exec(request.headers.cookie ?? '')?.[1]
const sessionOf = (request) => sessions.get(cookieOf(request))

function range(query) {
  const to = Date.parse(query.get('to') ?? '') || Date.now()
  const from = Date.parse(query.get('from') ?? '') || to - 3600e3
  const wanted = (to - from) / 1000 / 120
  const step = [1, 5, 10, 15, 30, 60, 300, 600, 900, 1800, 3600, 7200, 14400, 21600, 43200, 86400].find((s) => s >= wanted) ?? 604800
  const starts = []
  for (let at = Math.floor(from / 1000 / step) * step * 1000; at < to; at += step * 1000) starts.push(at)
  return { from, to, step, starts }
}
const times = ({ from, to, step, starts }) => ({
  from: new Date(from).toISOString(),
  to: new Date(to).toISOString(),
  step_seconds: step,
  starts: starts.map((at) => new Date(at).toISOString()),
})
const errorsOf = (total) =>
  ['provider_rate_limited', 'provider_timeout', kHostile[0]].map((error, i) => ({ error, calls: Math.round(total.failed / (i + 1.7)) }))

function overview(query) {
  const r = range(query)
  const buckets = r.starts.map((at) => stat(at, r.step))
  const total = sum(buckets)
  const before = query.get('compare') ? sum(r.starts.map((at) => stat(at - (r.to - r.from), r.step, 0.9))) : null
  return {
    ...times(r),
    total,
    before,
    buckets,
    errors: errorsOf(total),
    models: names.models.map((name, i) => ({ name, total: sum(r.starts.map((at) => stat(at, r.step, 0.5 / (i + 1)))) })),
    in_flight: 37,
    budgets: budgets(),
    breakers: { open: 1, half_open: 1, closed: 9 },
    queues: [
      { name: 'default', ready: 12, running: 8, waiting: 3, delayed: 1, oldest_ready_seconds: 4.2, paused: false },
      { name: kHostile[0], ready: 120_345, running: 0, waiting: 0, delayed: 0, oldest_ready_seconds: 81_234, paused: true },
    ],
    dead: 7,
    approvals: 3,
    alerts: alerts().filter(({ state }) => state === 'firing'),
  }
}

function series(query) {
  const r = range(query)
  const by = query.get('by')
  const list = by ? (names[`${by}s`] ?? names.models).slice(0, Number(query.get('groups') ?? 6)) : ['']
  const groups = list.map((name, i) => {
    const buckets = r.starts.map((at) => stat(at + i * 7e6, r.step, 1 / (i + 1)))
    return { name, rest: by !== null && i === list.length - 1, total: sum(buckets), buckets }
  })
  const total = sum(groups.map((group) => group.total))
  return { ...times(r), by, relative_error: 0.03125, total, groups, errors: errorsOf(total) }
}

const among = (query, name, value) => !query.get(name) || query.get(name).split(',').includes(String(value))
function calls(query) {
  const limit = Number(query.get('limit') ?? 50)
  const from = Date.parse(query.get('from') ?? '') || 0
  let n = Math.floor(Math.min(Date.now(), Date.parse(query.get('to') ?? '') || Date.now()) / 900)
  const before = query.get('before')
  if (before) n = Number.parseInt(before.slice(8), 32) - 1
  const found = []
  let looked = 0
  for (; found.length < limit && looked < 5000 && n * 900 >= from; n--, looked++) {
    const row = call(n)
    const fits =
      among(query, 'key', row.key.id) &&
      ['user', 'feature', 'model', 'route', 'status', 'error', 'cache', 'provider', 'team', 'operation'].every((name) => among(query, name, row[name])) &&
      row.latency_ms >= Number(query.get('min_latency') ?? 0) &&
      Number(row.incurred_usd) >= Number(query.get('min_cost') ?? 0)
    if (fits) found.push(row)
  }
  const next = n * 900 >= from ? { next: id('call', n + 1) } : {}
  return { calls: found, ...next, searched_to: new Date(n * 900).toISOString() }
}

function money(query) {
  const r = range(query)
  const days = []
  for (let at = Math.floor(r.from / 86400e3) * 86400e3; at < r.to; at += 86400e3)
    days.push({ day: new Date(at).toISOString().slice(0, 10), total: stat(at, 86400) })
  const total = sum(days.map((day) => day.total))
  const part = (list) => list.map((name, i) => ({ name, total: stat(r.from, (r.to - r.from) / 1000, 0.6 / (i + 1)) }))
  return {
    from: new Date(r.from).toISOString(),
    to: new Date(r.to).toISOString(),
    total,
    before: sum(days.map((_, i) => stat(r.from - i * 86400e3, 86400, 0.8))),
    days,
    by: {
      model: part(names.models),
      key: part(names.keys),
      user: part(names.users),
      feature: part(names.features),
      team: part(names.teams),
      route: part(names.routes),
      flow: part(names.flows),
    },
    saved: { cache_usd: total.saved_usd, routing_usd: total.routing_saved_usd },
    budgets: budgets().map((budget, i) => ({
      ...budget,
      forecast_usd: i === 0 ? '2611.25' : '2',
      forecast_at_limit: i === 0 ? new Date(Date.now() + 5 * 3600e3).toISOString() : null,
    })),
  }
}

const config = () => ({
  file: '/etc/ballast/ballast.yaml',
  listen: '127.0.0.1:8800',
  database: 'sqlite',
  tls: false,
  require_key: true,
  providers: names.models.map((name) => ({
    name: name.split('/')[0],
    kind: 'openai',
    base_url: 'https://api.example.com/v1',
    keys: 2,
    models: [name.slice(name.indexOf('/') + 1)],
  })),
  routes: names.routes.map((name) => ({ name, strategy: 'cheapest', targets: names.models.slice(0, 3).map((target, i) => ({ target, weight: 3 - i })) })),
  aliases: { 'gpt-4': 'default', [kHostile[0]]: 'cheap' },
  limits: [{ name: 'per key', scope: 'key', requests_per_minute: 600, tokens_per_minute: 200_000 }],
  budgets: [{ name: 'company', scope: 'all', limit_usd: '2500', window: 'month' }],
  keys: 3,
  classifiers: ['intents'],
  alerts: { receivers: ['log'] },
  telemetry: {},
  retention: { calls: '90d', messages: null },
  recording: { default: 'off' },
})

function writeKey(path, body) {
  const made = {
    id: id('key', keys.length + 100),
    prefix: 'blst_new…',
    scopes: 'call',
    models: [],
    team: '',
    user: '',
    feature: '',
    created: new Date().toISOString(),
    expires: null,
    revoked: null,
    old_secret_until: null,
    last_used: null,
  }
  if (path.endsWith('/rotate')) return { ...keys.find((key) => path.includes(key.id)), secret: 'blst_rotated_secret' }
  if (!body.name) throw new Refusal(400, 'is required', 'name')
  const key = { ...made, ...body, scopes: (body.scopes ?? ['call']).join(',') }
  keys = [...keys, key]
  return { ...key, secret: 'blst_0123456789abcdefghijklmnopqrstuv' }
}

const reads = {
  '/api/overview': overview,
  '/api/series': series,
  '/api/calls': calls,
  '/api/money': money,
  '/api/config': config,
  '/api/budgets': () => ({ budgets: budgets(), distrusted_models: [] }),
  '/api/keys': () => ({ keys }),
  '/api/alerts': (query) => ({
    alerts: alerts().filter(({ state }) => !query.get('state') || state === query.get('state')),
    rules: [
      { name: 'cost_spike', kind: 'cost_spike', severity: 'page', factor: 4 },
      { name: kHostile[0], kind: 'error_rate', severity: 'ticket' },
    ],
    silences,
    false_alarm_rate: 0.4,
  }),
  '/api/dead': () => ({ groups: [], jobs: 7, more: false }),
  '/api/approvals': () => ({ approvals: [] }),
  '/api/feedback': () => ({ rows: [], recent: [{ id: 'fb_1', at: new Date().toISOString(), call: id('call', 1), verdict: 'bad', comment: kHostile[0] }] }),
  '/api/breakers': () => ({
    breakers: [
      {
        provider: 'openai',
        model: '',
        state: 'open',
        consecutive_failures: 9,
        successes: 120,
        failures: 31,
        opened: 2,
        early_tries: 0,
        last_error: kHostile[0],
        retry_in_s: 12.5,
        latency_s: 1.2,
        first_token_s: 0.3,
      },
    ],
  }),
  '/api/providers': () => ({
    providers: [
      {
        name: 'openai',
        kind: 'openai',
        base_url: 'https://api.example.com/v1',
        credentials: [{ name: 'main', dead: false, reason: '', available_in_s: null, in_flight: 3, picked: 812, limited: 2 }],
      },
    ],
  }),
  '/api/nodes': () => ({
    self: 'node_01m8394g07000kywsd94j2jsqh',
    installation: 'inst_01m8394g07000kywsd94j2jsqh',
    read_age_s: 0.2,
    nodes: [
      {
        name: 'node_01m8394g07000kywsd94j2jsqh',
        slot: 0,
        state: 'serving',
        version: '0.1.0',
        address: 'ballast-1:8080',
        since: new Date(Date.now() - 86_400_000).toISOString(),
        beat_age_s: 0.3,
        load: { calls: 12, jobs: { leased: 4, ready: 90, live: 1200 }, memory_bytes: 210_000_000, database: { queued: 0, reconnects: 0 } },
        duties: ['alerts', 'rollups'],
      },
      {
        name: 'node_01m8394g45000z2kvyp2h3wzsa',
        slot: 1,
        state: 'silent',
        version: '0.1.0',
        address: kHostile[0],
        since: new Date(Date.now() - 3_600_000).toISOString(),
        beat_age_s: 1.9,
        load: {},
        duties: [],
      },
    ],
  }),
  '/v1/models': () => ({
    object: 'list',
    served_by: 'ballast',
    data: [...names.routes, ...names.models].map((each) => ({ id: each, object: 'model', owned_by: each.includes('/') ? 'provider' : 'route' })),
    has_more: false,
    first_id: null,
    last_id: null,
  }),
}

function read(path, query) {
  if (reads[path]) return reads[path](query)
  const messages = /^\/api\/calls\/call_01k(\w+)\/messages$/.exec(path)
  if (messages) {
    if (Number.parseInt(messages[1], 32) % 4 === 0) throw new Refusal(404, 'messages of this route are not recorded: recording is off')
    return {
      recorded: 'full',
      at: new Date().toISOString(),
      redacted: true,
      truncated: false,
      request: {
        messages: [
          { role: 'system', content: 'Be brief.' },
          { role: 'user', content: [{ type: 'text', text: kHostile.join('\n') }] },
        ],
      },
      reply: { choices: [{ message: { role: 'assistant', content: 'Certainly. <b>Not bold.</b>' } }] },
    }
  }
  const decision = /^\/api\/decisions\/call_01k(\w+)$/.exec(path)
  if (decision) return record(Number.parseInt(decision[1], 32))
  throw new Refusal(404, 'there is nothing at this path')
}

function change(method, path, body) {
  if (path === '/api/alerts/silences') {
    if (!body.note) throw new Refusal(400, 'is required: say why', 'note')
    silences.push({
      id: id('sil', silences.length + 1),
      until: new Date(Date.now() + 3600e3).toISOString(),
      by: 'admin',
      created: new Date().toISOString(),
      ...body,
    })
    return silences.at(-1)
  }
  if (path.startsWith('/api/alerts/silences/'))
    return void silences.splice(
      silences.findIndex((each) => path.endsWith(each.id)),
      1,
    )
  if (path.startsWith('/api/keys')) {
    if (method === 'DELETE') keys = keys.filter((key) => !path.endsWith(key.id))
    else if (method === 'PATCH') keys = keys.map((key) => (path.endsWith(key.id) ? { ...key, ...body, scopes: body.scopes?.join(',') ?? key.scopes } : key))
    else return writeKey(path, body)
    return {}
  }
  if (path === '/api/feedback') return { id: 'fb_2' }
  throw new Refusal(404, 'there is nothing at this path')
}

function session(request, response, method, body) {
  const told = (s) => ({ key: s.key, csrf: s.csrf, expires: new Date(Date.now() + 43_200e3).toISOString(), version: '0.1.0 (mock)', require_key: true })
  if (method === 'POST') {
    if (!['admin', 'read'].includes(body.key)) throw new Refusal(401, 'unknown key', 'key')
    const made = {
      key: { id: `key_${body.key}`, name: body.key === 'read' ? `read only ${kHostile[0]}` : 'admin', scopes: body.key },
      csrf: `csrf-${Math.random()}`,
    }
    const token = String(Math.random()).slice(2)
    sessions.set(token, made)
    response.setHeader('set-cookie', `ballast_session=${token}; HttpOnly; SameSite=Strict; Path=/`)
    return told(made)
  }
  const mine = sessionOf(request)
  if (!mine) throw new Refusal(401, 'no session')
  if (method === 'DELETE') return void sessions.delete(cookieOf(request))
  return told(mine)
}

function live(response) {
  response.writeHead(200, { 'content-type': 'text/event-stream', 'cache-control': 'no-store' })
  const event = (name, data) => response.write(`event: ${name}\ndata: ${JSON.stringify(data)}\n\n`)
  event('hello', { version: 'mock', at: new Date().toISOString() })
  const timer = setInterval(() => {
    const now = Date.now()
    event('figures', {
      at: new Date().toISOString(),
      in_flight: Math.round(30 + 10 * Math.sin(now / 5000)),
      calls_per_second: 6 + Math.random(),
      failed_per_second: 0.1,
      usd_per_minute: 0.61 + Math.random() / 10,
      tokens_per_second: 8100,
      first_token_ms_p95: 910,
      latency_ms_p95: 2950,
    })
    event('call', call(Math.floor(now / 900)))
  }, 1000)
  response.on('close', () => clearInterval(timer))
}

async function chat(response, body) {
  response.writeHead(200, {
    'content-type': 'text/event-stream',
    'x-ballast-call-id': id('call', Math.floor(Date.now() / 900)),
    'x-ballast-served-by': 'openai/gpt-5-mini',
  })
  for (const word of `You said <b>${JSON.stringify(body.messages?.at(-1)?.content)}</b>, and I answer in a stream of a few dozen words. `
    .repeat(3)
    .split(' ')) {
    response.write(`data: ${JSON.stringify({ choices: [{ index: 0, delta: { content: `${word} ` } }] })}\n\n`)
    await new Promise((done) => setTimeout(done, 20))
  }
  response.end(`data: ${JSON.stringify({ choices: [], usage: { prompt_tokens: 12, completion_tokens: 60, total_tokens: 72 } })}\n\ndata: [DONE]\n\n`)
}

const kPolicy =
  "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; connect-src 'self'; font-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
const kTypes = { js: 'text/javascript', css: 'text/css', svg: 'image/svg+xml' }
function file(path, response) {
  const name = path.startsWith('/assets/') ? normalize(path) : 'index.html'
  response.writeHead(200, { 'content-type': kTypes[name.split('.').at(-1)] ?? 'text/html; charset=utf-8', 'content-security-policy': kPolicy })
  response.end(readFileSync(join(dist, name)))
}

async function answer(request, response) {
  const url = new URL(request.url, 'http://mock')
  const path = decodeURIComponent(url.pathname)
  const chunks = []
  for await (const chunk of request) chunks.push(chunk)
  const body = chunks.length ? JSON.parse(Buffer.concat(chunks).toString()) : {}
  if (dist && !path.startsWith('/api/') && !path.startsWith('/v1/')) return file(path, response)
  let found
  if (path === '/api/session') found = session(request, response, request.method, body)
  else {
    const mine = sessionOf(request)
    if (!mine) throw new Refusal(401, 'sign in first')
    if (path === '/api/live') return live(response)
    if (request.method === 'GET') found = read(path, url.searchParams)
    else {
      if (request.headers['x-ballast-csrf'] !== mine.csrf) throw new Refusal(403, 'x-ballast-csrf is not the one of the session')
      if (mine.key.scopes !== 'admin') throw new Refusal(403, 'this key has no scope admin')
      if (path === '/v1/chat/completions') return chat(response, body)
      found = change(request.method, path, body)
    }
  }
  response.writeHead(found === undefined ? 204 : 200, { 'content-type': 'application/json', 'cache-control': 'no-store' })
  response.end(found === undefined ? undefined : JSON.stringify(found))
}

createServer((request, response) => {
  answer(request, response).catch((why) => {
    const status = why instanceof Refusal ? why.status : 500
    if (!(why instanceof Refusal)) console.error(why)
    if (response.headersSent) return response.end()
    response.writeHead(status, { 'content-type': 'application/problem+json' })
    response.end(
      JSON.stringify({
        type: 'about:blank',
        title: `HTTP ${status}`,
        status,
        detail: why.detail ?? 'the mock broke',
        code: 'mock',
        ...(why.field ? { field: why.field } : {}),
      }),
    )
  })
}).listen(port, '127.0.0.1', () => console.log(`mock at http://127.0.0.1:${port}/ (keys: admin, read)`))
