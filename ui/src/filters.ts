// The filters of the calls, kept in the URL under the API's own names. Pure.

import type { CallRow } from './api/types'
import { compareUsd, nanoOf } from './money'

export interface Filter {
  name: string
  label: string
  kind: 'text' | 'usd' | 'ms' | 'choice'
  choices?: string[]
  hint?: string
}

export const kFilters: Filter[] = [
  { name: 'user', label: 'User', kind: 'text' },
  { name: 'key', label: 'Key', kind: 'text', hint: 'its id' },
  { name: 'feature', label: 'Feature', kind: 'text' },
  { name: 'team', label: 'Team', kind: 'text' },
  { name: 'model', label: 'Model', kind: 'text' },
  { name: 'provider', label: 'Provider', kind: 'text' },
  { name: 'route', label: 'Route', kind: 'text' },
  { name: 'status', label: 'Status', kind: 'choice', choices: ['ok', 'failed', 'cancelled', 'unknown'] },
  { name: 'error', label: 'Error', kind: 'text', hint: 'provider_timeout' },
  { name: 'cache', label: 'Cache', kind: 'choice', choices: ['none', 'miss', 'hit', 'semantic_hit', 'stale', 'bypass', 'joined', 'replay'] },
  { name: 'min_cost', label: 'Cost from $', kind: 'usd', hint: '0.10' },
  { name: 'max_cost', label: 'Cost to $', kind: 'usd' },
  { name: 'min_latency', label: 'Latency from ms', kind: 'ms', hint: '2000' },
  { name: 'max_latency', label: 'Latency to ms', kind: 'ms' },
]
// What /api/series can be filtered by as well.
const kOfSeries = ['key', 'team', 'user', 'feature', 'route', 'operation', 'provider', 'model', 'status', 'error', 'cache']

export type Filters = Record<string, string>

export function filtersOf(search: URLSearchParams): Filters {
  const found: Filters = {}
  for (const { name } of [...kFilters, { name: 'operation' }]) {
    const value = search.get(name)
    if (value) found[name] = value
  }
  return found
}

export function forSeries(filters: Filters): Filters {
  return Object.fromEntries(Object.entries(filters).filter(([name]) => kOfSeries.includes(name)))
}

// Why a value cannot be asked for; empty where it can.
export function wrong(filter: Filter, value: string): string {
  if (value === '') return ''
  if (filter.kind === 'usd' && (nanoOf(value) === null || value.startsWith('-'))) return 'an amount such as 0.25'
  if (filter.kind === 'ms' && !/^\d{1,9}(\.\d+)?$/.test(value)) return 'a number of milliseconds'
  return ''
}

// Does a call of the live feed fit what the list shows?
export function fits(row: CallRow, filters: Filters): boolean {
  const texts: Record<string, string> = {
    user: row.user,
    key: row.key.id,
    feature: row.feature,
    team: row.team,
    model: row.model,
    provider: row.provider,
    route: row.route,
    status: row.status,
    error: row.error,
    cache: row.cache,
    operation: row.operation,
  }
  for (const [name, wanted] of Object.entries(filters)) {
    if (name in texts) {
      if (texts[name] !== wanted) return false
    } else if (name === 'min_cost' && compareUsd(row.incurred_usd, wanted) < 0) return false
    else if (name === 'max_cost' && compareUsd(row.incurred_usd, wanted) > 0) return false
    else if (name === 'min_latency' && row.latency_ms < Number(wanted)) return false
    else if (name === 'max_latency' && row.latency_ms > Number(wanted)) return false
  }
  return true
}
