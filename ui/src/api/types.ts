// What the server answers (docs/plans/005-see-it.md).

export interface Percentiles {
  p50: number
  p95: number
  p99: number
}
export interface Tokens {
  input: number
  cached: number
  cache_write: number
  output: number
  reasoning: number
  images: number
}
export interface Stat extends Tokens {
  calls: number
  failed: number
  cancelled: number
  cache_hits: number
  attempts: number
  attempts_failed: number
  incurred_usd: string
  billed_usd: string
  saved_usd: string
  latency_ms: Percentiles | null
  first_token_ms: Percentiles | null
}
export interface Session {
  key: { id: string; name: string; scopes: string[] } | null
  csrf?: string
  expires?: string | null
  version: string
  require_key: boolean
}
export interface ErrorCount {
  error: string
  calls: number
}
export interface NamedStat {
  name: string
  total: Stat
}
export interface SeriesGroup extends NamedStat {
  rest?: boolean
  buckets: Stat[]
}
export interface Series {
  from: string
  to: string
  step_seconds: number
  by: string
  relative_error: number
  starts: string[]
  total: Stat
  groups: SeriesGroup[]
  errors: ErrorCount[]
}
export interface QueueState {
  name: string
  ready: number
  running: number
  waiting: number
  delayed: number
  oldest_ready_seconds: number | null
  paused: boolean
}
export interface Overview {
  from: string
  to: string
  step_seconds: number
  starts: string[]
  total: Stat
  before: Stat | null
  buckets: Stat[]
  errors: ErrorCount[]
  models: NamedStat[]
  in_flight: number
  budgets: Budget[]
  breakers: { open: number; half_open: number; closed: number }
  queues: QueueState[]
  dead: number
  approvals: number
  alerts: Alert[]
}
export interface Budget {
  name: string
  value: string
  window: string
  limit_usd: string
  spent_usd: string
  held_usd?: string
  starts?: string
  resets?: string | null
}
export interface CallRow {
  id: string
  arrived: string
  key: { id: string; name: string }
  team: string
  user: string
  feature: string
  route: string
  requested_model: string
  operation: string
  api: string
  provider: string
  model: string
  served_by: string
  status: 'ok' | 'failed' | 'cancelled' | 'unknown'
  error: string
  http_status: number
  cache: string
  tokens: Tokens
  incurred_usd: string
  billed_usd: string
  latency_ms: number
  first_token_ms: number | null
  attempts: number
}
export interface CallPage {
  calls: CallRow[]
  next?: string | null
  searched_to?: string | null
}
export interface Attempt {
  id: string
  n: number
  provider: string
  model: string
  credential: string
  started: string
  latency_us: number
  first_token_us: number
  outcome: string
  http_status: number
  tokens: Tokens
  incurred_usd: string
  hedged: boolean
  cut: boolean
  cost: 'known' | 'unknown' | 'reconciled'
  was_usd?: string
  reconciled_by?: string
  reconciled_at?: string
}
export type Step = { step: string; at_us?: number } & Record<string, unknown>
export interface CallRecord {
  id: string
  arrived: string
  status: 'ok' | 'failed' | 'cancelled' | 'unknown'
  error: string
  http_status: number
  key_id: string
  key_name: string
  team: string
  user: string
  feature: string
  route: string
  requested_model: string
  operation: string
  api: string
  served_by: string
  provider: string
  model: string
  trace_id: string
  cache: string
  tokens: Tokens
  incurred_usd: string
  billed_usd: string
  latency_us: number
  first_token_us: number
  attempts: Attempt[]
  charges: Record<string, string>
  decision: Step[]
}
export interface Messages {
  recorded: 'full' | 'sampled'
  at: string
  redacted: boolean
  request: unknown
  reply: unknown
  truncated: boolean
}
export interface MoneyBudget extends Budget {
  forecast_usd: string | null
  forecast_at_limit: string | null
}
export interface Money {
  from: string
  to: string
  total: Stat
  before: Stat | null
  days: { day: string; total: Stat }[]
  by: Record<string, NamedStat[]>
  saved: { cache_usd: string }
  budgets: MoneyBudget[]
}
export interface LiveFigures {
  in_flight: number
  calls_per_second: number
  failed_per_second: number
  usd_per_minute: string | number
  tokens_per_second: number
  first_token_ms_p95: number | null
  latency_ms_p95: number | null
}
export interface LiveState {
  what: string
}
export type AlertState = 'pending' | 'firing' | 'silenced' | 'resolved'
export interface Alert {
  id: string
  rule: string
  kind: string
  severity: 'page' | 'ticket' | 'info'
  state: AlertState
  title: string
  detail: string
  labels: Record<string, string>
  value: number | null
  threshold: number | null
  unit: string
  since: string
  updated: string
  resolved_at: string | null
  evidence: Record<string, unknown>
}
export interface Rule {
  name: string
  kind: string
  [fact: string]: unknown
}
export interface Silence {
  id: string
  rule?: string
  labels?: Record<string, string>
  until: string
  note: string
  by?: string
  created?: string
}
export interface Alerts {
  alerts: Alert[]
  rules: Rule[]
  silences: Silence[]
  false_alarm_rate: number | string | null
  next?: string | null
}
export interface Key {
  id: string
  name: string
  prefix: string
  scopes: string
  models?: string[]
  team: string
  user: string
  feature: string
  configured?: boolean
  created?: string
  expires?: string | null
  revoked?: string | null
  old_secret_until?: string | null
  last_used: string | null
  secret?: string
}
