// What the server answers about work (docs/api.md: jobs, approvals, state).

export interface Refusal {
  code: string
  message: string
  field?: string
}
export type JobState = 'queued' | 'running' | 'waiting' | 'done' | 'dead' | 'cancelled'
export interface Job {
  id: string
  kind: 'task' | 'call' | 'flow'
  task?: string
  flow?: string
  operation?: string
  state: JobState
  queue: string
  tenant: string
  priority: number
  attempt: number
  attempts: number
  created: string
  due?: string
  finished?: string
  deadline?: string
  version?: string
  model?: string
  user?: string
  feature?: string
  webhook?: string | { url: string; secret: string }
  tags?: string[]
  concurrency?: { key: string; limit: number }
  origin?: string
  urgency?: string
  batch?: string
  parent?: string
  generation?: number
  error?: Refusal
  payload?: unknown
  input?: unknown
  output?: unknown
}
export interface JobPage {
  jobs: Job[]
  next?: string
}
export interface FailedAttempt {
  attempt: number
  at?: string
  error?: Refusal
  [fact: string]: unknown
}
export interface Effect {
  stage: string
  attempt: number
  kind: string
  state: string
  target?: string
  [fact: string]: unknown
}
export interface Approval {
  id: string
  job: string
  stage: string
  flow: string
  state: string
  digest: string
  policy: string
  assignees: string[]
  asked: string
  expires?: string
  submitted_by: { key: string; user: string }
  may_be_decided_by_submitter?: boolean
  // What may differ in an edited form: `paths`, all of it where there are none, or what fits a schema.
  edit?: { paths: string[] | null; schema: unknown } | null
  shown?: unknown
  edited?: unknown
  signature?: boolean
  decision?: { by?: string; at?: string; note?: string; [fact: string]: unknown }
  decided?: string
  by?: string
  note?: string
}
export interface ApprovalPage {
  approvals: Approval[]
  next?: string
}
export interface DeadGroup {
  queue: string
  name: string
  code: string
  jobs: number
  newest: string
  oldest: string
  example: string
  error: Refusal
}
export interface Dead {
  groups: DeadGroup[]
  jobs: number
  more: boolean
}
export interface Queue {
  queue: string
  paused: boolean
  concurrency: number
  per_tenant: number
  ready: number
  delayed: number
  blocked: number
  running: number
  waiting: number
  oldest_ready_s: number
  arrivals_per_s: Record<string, number>
  ends_per_s: Record<string, number>
  wanted: number
}
export interface Schedule {
  name: string
  cron: string
  timezone: string
  when: string
  enabled: boolean
  overlap: string
  catch_up: string
  owner: string
  job: unknown
  next: string[]
  last?: string
  last_job?: string
  why?: string
}
export interface Webhook {
  id: string
  type: string
  state: 'pending' | 'delivered' | 'dead'
  url: string
  attempts: number
  created: string
  job?: string
  due?: string
  finished?: string
  status?: number
  why?: string
  payload?: unknown
}
export interface Batch {
  id: string
  endpoint: string
  status: string
  created_at: number
  expires_at: number | null
  completed_at: number | null
  request_counts: { total: number; completed: number; failed: number }
  errors: unknown
}
export interface Breaker {
  provider: string
  model: string
  state: 'closed' | 'half_open' | 'open'
  consecutive_failures: number
  successes: number
  failures: number
  opened: number
  last_error: string
  retry_in_s: number | null
  latency_s: number | null
  first_token_s: number | null
}
export interface Credential {
  name: string
  dead: boolean
  reason: string
  available_in_s: number
  in_flight: number
  picked: number
  limited: number
}
export interface Provider {
  name: string
  kind: string
  base_url: string
  credentials: Credential[]
}
export interface FlowBrief {
  flow: string
  version: string
  digest: string
  stages: number
}
export interface FlowWhole {
  flow: string
  version: string
  digest: string
  stages: { stage: string; kind: string; after: string[]; risk?: string }[]
  input?: unknown
  source: string
}
export interface AuditEntry {
  chain: string
  seq: number
  at: string
  actor: string
  action: string
  subject: string
  arguments: unknown
  outcome: unknown
}
export interface AuditPage {
  chains: string[]
  entries: AuditEntry[]
  next?: string | number | null
}
export type LineState = 'passed' | 'failed' | 'unproven' | 'not_applicable'
export interface ReadinessLine {
  id: string
  group: string
  question: string
  state: LineState
  evidence: string
  todo: string
  see: string
}
export interface Readiness {
  passed: number
  failed: number
  unproven: number
  lines: ReadinessLine[]
}
