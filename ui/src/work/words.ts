// How work is told in words.

import { span } from '../format'
import type { Approval, Job } from './types'

export const nameOf = (job: Pick<Job, 'flow' | 'task' | 'operation'>) => job.flow ?? job.task ?? job.operation ?? ''
export const isOver = (state: string) => state === 'done' || state === 'dead' || state === 'cancelled'
// A version's name: a number stays, a digest is told by its beginning.
export const versionOf = (version: string | undefined) => (version ? version.slice(0, 12) : '')

export function took(job: Pick<Job, 'created' | 'finished'>, now: Date): string {
  const end = job.finished ? Date.parse(job.finished) : now.getTime()
  const seconds = (end - Date.parse(job.created)) / 1000
  return seconds < 10 ? `${Math.max(0, seconds).toFixed(seconds < 1 ? 3 : 2)} s` : span(seconds)
}

// What may be changed in what an approval shows: its paths; null where all of it may.
export function editable(approval: Approval): { may: boolean; paths: string[] | null } {
  const edit = approval.edit
  if (!edit) return { may: false, paths: null }
  return { may: true, paths: edit.paths && edit.paths.length > 0 ? edit.paths : null }
}

// The value at a path of member names ("reply.text"); undefined where there is none.
export function at(value: unknown, path: string): unknown {
  return path
    .split('.')
    .reduce<unknown>(
      (from, name) => (from !== null && typeof from === 'object' && Object.hasOwn(from, name) ? (from as Record<string, unknown>)[name] : undefined),
      value,
    )
}

// The same value with another one at a path. What is shared with the old one stays shared; nothing is made where the path leads nowhere.
export function withAt(value: unknown, path: string, next: unknown): unknown {
  const [name, ...rest] = path.split('.')
  if (name === undefined || value === null || typeof value !== 'object' || !Object.hasOwn(value, name)) return value
  const old = (value as Record<string, unknown>)[name]
  const child = rest.length === 0 ? next : withAt(old, rest.join('.'), next)
  if (Array.isArray(value)) return value.map((each, i) => (String(i) === name ? child : each))
  return { ...value, [name]: child }
}

// A text that somebody typed as JSON; what is wrong with it is said where it is.
export function parsed(text: string): { value: unknown; problem: string } {
  try {
    return { value: JSON.parse(text), problem: '' }
  } catch (why) {
    return { value: undefined, problem: why instanceof Error ? why.message : String(why) }
  }
}
