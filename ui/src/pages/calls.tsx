import { useCallback, useEffect, useMemo, useRef, useState } from 'react'
import { get, Problem, type Query, url } from '../api/client'
import { useApi } from '../api/query'
import type { CallRow, CallRows, Series } from '../api/types'
import { Badge, Button, Empty, ErrorBox, Loading, Money, Page, Panel, Status, Text, Time } from '../components/basic'
import { ChartGhost, ChartGroup, TimeChart } from '../components/chart'
import { RangePicker } from '../components/range'
import { type Column, Table } from '../components/table'
import { type Filter, type Filters, filtersOf, fits, forSeries, kFilters, wrong } from '../filters'
import { count, dateTime, millis, short, words } from '../format'
import { useLive } from '../live'
import { type Range, rangeQuery, refreshMs, setCustomRange, useRange } from '../range'
import { go, setParams, useSearch } from '../router'

const kPage = 50
const kTail = 200

export default function CallsPage() {
  const range = useRange()
  const search = useSearch()
  const filters = useMemo(() => filtersOf(search), [search])
  const [tail, setTail] = useState(false)
  return (
    <Page
      title="Calls"
      actions={
        <>
          <label className="check">
            <input type="checkbox" checked={tail} disabled={!range.live} onChange={(event) => setTail(event.target.checked)} />
            live tail
          </label>
          <RangePicker compare={false} />
        </>
      }
    >
      <FilterBar filters={filters} />
      <Trend range={range} filters={filters} />
      <List key={JSON.stringify([filters, range.name, range.live ? '' : [range.from, range.to]])} range={range} filters={filters} tail={tail && range.live} />
    </Page>
  )
}

function FilterBar({ filters }: { filters: Filters }) {
  const set = Object.keys(filters).length
  const [open, setOpen] = useState(() => window.matchMedia('(min-width: 52rem)').matches)
  return (
    <details className="panel filter-panel" open={open} onToggle={(event) => setOpen(event.currentTarget.open)}>
      <summary>
        Filters{set > 0 ? ` (${set})` : ''}
        {set > 0 ? (
          <Button
            small
            kind="quiet"
            onClick={(event) => {
              event.preventDefault()
              setParams(Object.fromEntries(Object.keys(filters).map((name) => [name, null])))
            }}
          >
            Clear
          </Button>
        ) : null}
      </summary>
      <div className="call-filters">
        <Find />
        {kFilters.map((filter) => (
          <Field key={filter.name} filter={filter} value={filters[filter.name] ?? ''} />
        ))}
      </div>
    </details>
  )
}

// A call by its id: out of a log, a header, a trace.
function Find() {
  const [id, setId] = useState('')
  return (
    <form
      onSubmit={(event) => {
        event.preventDefault()
        if (id.trim()) go(`/calls/${encodeURIComponent(id.trim())}`)
      }}
    >
      <label>
        Open a call
        <input data-search type="search" value={id} placeholder="call_01…" spellCheck={false} onChange={(event) => setId(event.target.value)} />
      </label>
    </form>
  )
}

// Typed text counts after a pause, or at once by Enter.
function Field({ filter, value }: { filter: Filter; value: string }) {
  const [text, setText] = useState(value)
  const timer = useRef<ReturnType<typeof setTimeout>>(undefined)
  useEffect(() => setText(value), [value])
  useEffect(() => () => clearTimeout(timer.current), [])
  const why = wrong(filter, text)
  const apply = (to: string) => {
    clearTimeout(timer.current)
    if (!wrong(filter, to)) setParams({ [filter.name]: to.trim() })
  }
  if (filter.kind === 'choice')
    return (
      <label>
        {filter.label}
        <select value={value} onChange={(event) => apply(event.target.value)}>
          <option value="">any</option>
          {filter.choices?.map((choice) => (
            <option key={choice} value={choice}>
              {choice.replaceAll('_', ' ')}
            </option>
          ))}
        </select>
      </label>
    )
  return (
    <label>
      {filter.label}
      <input
        value={text}
        placeholder={filter.hint ?? 'any'}
        spellCheck={false}
        maxLength={512}
        aria-invalid={why !== ''}
        title={why}
        inputMode={filter.kind === 'text' ? 'text' : 'decimal'}
        onChange={(event) => {
          const to = event.target.value
          setText(to)
          clearTimeout(timer.current)
          timer.current = setTimeout(() => apply(to), 500)
        }}
        onKeyDown={(event) => event.key === 'Enter' && apply(text)}
        onBlur={() => text !== value && apply(text)}
      />
      {why ? <small className="field-error">{why}</small> : null}
    </label>
  )
}

function Trend({ range, filters }: { range: Range; filters: Filters }) {
  const { data, error, reload } = useApi<Series>(
    '/api/series',
    { ...rangeQuery(range), ...forSeries(filters), errors: false },
    { refreshMs: range.live ? refreshMs(range.seconds) : 0 },
  )
  const lines = useMemo(() => {
    const buckets = data?.groups[0]?.buckets ?? data?.starts.map(() => undefined) ?? []
    return {
      calls: [
        { name: 'good', color: 1 as const, values: buckets.map((s) => (s ? s.calls - s.failed : 0)) },
        { name: 'failed', color: 'bad' as const, values: buckets.map((s) => s?.failed ?? 0) },
      ],
      latency: [
        { name: 'p50', color: 1 as const, values: buckets.map((s) => s?.latency_ms?.p50 ?? null) },
        { name: 'p95', color: 2 as const, values: buckets.map((s) => s?.latency_ms?.p95 ?? null) },
      ],
    }
  }, [data])
  if (!data)
    return (
      <div className="grid-2">
        {['Calls', 'Latency'].map((name) => (
          <Panel key={name}>{error ? <ErrorBox error={error} retry={reload} /> : <ChartGhost height={110} />}</Panel>
        ))}
      </div>
    )
  const beside = Object.keys(filters).length > Object.keys(forSeries(filters)).length
  const common = { starts: data.starts, stepSeconds: data.step_seconds, height: 110, onSelect: setCustomRange }
  return (
    <ChartGroup>
      {beside ? <p className="muted small">The charts are not narrowed by cost and latency; the list below is.</p> : null}
      <div className="grid-2">
        <Panel>
          <TimeChart title="Calls" kind="bars" lines={lines.calls} format={short} note={`${count(data.total.calls)} in all`} {...common} />
        </Panel>
        <Panel>
          <TimeChart title="Latency" lines={lines.latency} format={millis} {...common} />
        </Panel>
      </div>
    </ChartGroup>
  )
}

const kColumns: Column<CallRow>[] = [
  { name: 'When', cell: (row) => <Time at={row.arrived} /> },
  { name: 'Status', cell: (row) => <Status value={row.status} detail={words(row.error)} /> },
  { name: 'Asked for', cell: (row) => <Text most={40}>{row.route || row.requested_model}</Text> },
  {
    name: 'Served by',
    cell: (row) => (
      <>
        <Text most={40}>{row.served_by}</Text>
        {row.attempts > 1 ? (
          <>
            {' '}
            <Badge tone="warn" title={`${row.attempts} attempts`}>
              ×{row.attempts}
            </Badge>
          </>
        ) : null}
      </>
    ),
  },
  { name: 'User', cell: (row) => <Text most={40}>{row.user}</Text> },
  { name: 'Feature', wide: true, cell: (row) => <Text most={40}>{row.feature}</Text> },
  { name: 'Key', wide: true, roomy: true, cell: (row) => <Text most={40}>{row.key.name || row.key.id}</Text> },
  {
    name: 'Tokens',
    number: true,
    cell: (row) => `${short(row.tokens.input + row.tokens.cached + row.tokens.cache_write)} → ${short(row.tokens.output + row.tokens.reasoning)}`,
  },
  { name: 'Cost', number: true, cell: (row) => <Money usd={row.incurred_usd} /> },
  { name: 'First token', number: true, wide: true, cell: (row) => millis(row.first_token_ms) },
  { name: 'Took', number: true, cell: (row) => millis(row.latency_ms) },
]

// The list stands still while one reads it: what came since is fetched on demand, or flows in with the tail.
function List({ range, filters, tail }: { range: Range; filters: Filters; tail: boolean }) {
  const [pages, setPages] = useState<CallRows[]>([])
  const [newer, setNewer] = useState<CallRow[]>([])
  const [error, setError] = useState<Problem>()
  const [busy, setBusy] = useState(false)
  const [missed, setMissed] = useState(0)
  const asked = useRef<AbortController>(undefined)
  const { from, to } = rangeQuery(range)
  const query: Query = { from, ...(range.live ? {} : { to }), ...filters, view: 'row', limit: kPage }
  const load = useCallback(async (more: Query, keep: CallRows[]) => {
    asked.current?.abort()
    const mine = new AbortController()
    asked.current = mine
    setBusy(true)
    try {
      const page = await get<CallRows>('/api/calls', more, mine.signal)
      setPages([...keep, page])
      setError(undefined)
    } catch (why) {
      if (!mine.signal.aborted) setError(why instanceof Problem ? why : new Problem(0, 'Not understood', String(why)))
    } finally {
      if (!mine.signal.aborted) setBusy(false)
    }
  }, [])
  const again = () => {
    setNewer([])
    setMissed(0)
    void load(query, [])
  }
  // biome-ignore lint/correctness/useExhaustiveDependencies: another question is another list; this one asks once
  useEffect(() => {
    again()
    return () => asked.current?.abort()
  }, [])
  useLive((event) => {
    if (event.name === 'skipped') setMissed((n) => n + event.data.calls)
    if (event.name === 'call' && fits(event.data, filters)) setNewer((rows) => [event.data, ...rows].slice(0, kTail))
  }, range.live)
  const listed = pages.flatMap((page) => page.calls)
  const known = new Set(listed.map((row) => row.id))
  const fresh = newer.filter((row) => !known.has(row.id))
  const rows = tail ? [...fresh, ...listed] : listed
  const last = pages.at(-1)
  const next = last?.next
  return (
    <Panel
      title={pages.length > 0 ? `${count(rows.length)}${next ? '+' : ''} calls` : 'Calls'}
      actions={
        <>
          {tail && missed > 0 ? <span className="muted small">{count(missed)} came too fast to show</span> : null}
          {['csv', 'jsonl'].map((format) => (
            <a key={format} className="button button-small" download href={url('/api/calls/export', { format, from, to, ...filters })}>
              <span className="hidden">These calls as </span>
              {format.toUpperCase()}
            </a>
          ))}
          <Button small disabled={busy} onClick={again}>
            {!tail && fresh.length > 0 ? `Show ${fresh.length >= kTail ? `${kTail}+` : fresh.length} new` : 'Read anew'}
          </Button>
        </>
      }
    >
      <ErrorBox error={error} retry={again} />
      {pages.length === 0 ? (
        error ? null : (
          <Loading what="Searching" />
        )
      ) : (
        <Table
          label="Calls"
          columns={kColumns}
          rows={rows}
          id={(row) => row.id}
          to={(row) => `/calls/${row.id}`}
          empty={<Empty>{next ? 'Nothing so far.' : 'No call fits in this range.'}</Empty>}
        />
      )}
      {next ? (
        <div className="table-more">
          <Button disabled={busy} onClick={() => void load({ ...query, before: next }, pages)}>
            {busy ? 'Searching…' : last && last.calls.length < kPage ? 'Search further back' : 'Show more'}
          </Button>
          {last?.searched_to ? <span className="muted small"> searched back to {dateTime(new Date(last.searched_to))}</span> : null}
        </div>
      ) : null}
    </Panel>
  )
}
