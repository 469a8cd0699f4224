// Short names for what the server answers about work. The shapes themselves are generated: api/schema.ts.

import type { components } from '../api/schema'

type Schemas = components['schemas']
export type Approval = Schemas['Approval']
export type ApprovalPage = Schemas['Approvals']
export type AuditEntry = Schemas['AuditEntry']
export type AuditPage = Schemas['Audit']
// OpenAI's shape is open: of the times, those that the page shows.
export type Batch = Schemas['Batch'] & { expires_at?: number | null; completed_at?: number | null }
export type Breaker = Schemas['Breaker']
export type Dead = Schemas['DeadGroups']
export type DeadGroup = Schemas['DeadGroup']
export type Effects = Schemas['Effects']
export type FailedAttempts = Schemas['JobAttempts']
export type FlowBrief = Schemas['FlowSummary']
export type FlowWhole = Schemas['Flow']
export type Job = Schemas['Job']
export type JobPage = Schemas['Jobs']
export type JobState = Schemas['JobState']
export type Nodes = Schemas['Nodes']
export type Provider = Schemas['Provider']
export type Queue = Schemas['Queue']
export type Readiness = Schemas['Readiness']
export type ReadinessLine = Schemas['ReadinessLine']
export type LineState = ReadinessLine['state']
export type RunMade = Schemas['RunMade']
export type RunStages = Schemas['RunStages']
export type Schedule = Schemas['Schedule']
export type Webhook = Schemas['Webhook']
export type WebhookPage = Schemas['Webhooks']
