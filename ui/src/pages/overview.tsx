import { useMemo } from 'react'
import { useApi } from '../api/query'
import type { Budget, Stat as Figures, LiveFigures, Overview, Series } from '../api/types'
import { AlertLine } from '../components/alert'
import { Badge, Empty, ErrorBox, Meter, Money, Page, Panel, Text } from '../components/basic'
import { ChartGhost, ChartGroup, type Line, TimeChart } from '../components/chart'
import { RangePicker } from '../components/range'
import { covered } from '../components/scale'
import { change, Stat, Stats } from '../components/stat'
import { Table } from '../components/table'
import { count, dollars, millis, percent, share, short, span, words } from '../format'
import { useLiveFigures } from '../live'
import { compareUsd, money, usdNumber } from '../money'
import { type Range, rangeQuery, refreshMs, setCustomRange, useRange } from '../range'
import { Link } from '../router'

export default function OverviewPage() {
  const range = useRange()
  const options = { refreshMs: range.live ? refreshMs(range.seconds) : 0 }
  const { data, error, reload, stale } = useApi<Overview>('/api/overview', { ...rangeQuery(range), compare: range.compare ? 'before' : '' }, options)
  const before = useBefore(range)
  return (
    <Page title="Overview" sub={<Now />} actions={<RangePicker />}>
      <ErrorBox error={error} retry={reload} />
      {data ? <Content data={data} before={before} dim={stale && !range.live} /> : error ? null : <Ghosts />}
    </Page>
  )
}

// The page's shape while its figures are on their way.
function Ghosts() {
  return (
    <div className="loading-shape" role="status" aria-label="Loading">
      <Stats>
        {['Calls', 'Failed', 'Latency p95', 'First token p95', 'Spend', 'Tokens', 'Cache hits'].map((name) => (
          <Stat key={name} name={name} value={<>&nbsp;</>} />
        ))}
      </Stats>
      <div className="grid-2">
        {[0, 1, 2, 3, 4, 5].map((n) => (
          <Panel key={n}>
            <ChartGhost />
          </Panel>
        ))}
      </div>
    </div>
  )
}

// The same figures one range earlier, to draw beneath.
function useBefore(range: Range): Figures[] | undefined {
  const query = { from: new Date(range.from.getTime() - range.seconds * 1000).toISOString(), to: range.from.toISOString(), errors: false }
  const { data } = useApi<Series>(range.compare ? '/api/series' : null, query)
  return range.compare ? data?.groups[0]?.buckets : undefined
}

function Now() {
  const now = useLiveFigures()
  if (!now) return <span>&nbsp;</span>
  const parts: [string, keyof LiveFigures, string][] = [
    [short(now.calls_per_second), 'calls_per_second', 'calls/s'],
    [count(now.in_flight), 'in_flight', 'in flight'],
    [short(now.tokens_per_second), 'tokens_per_second', 'tokens/s'],
    [`$${short(Number(now.usd_per_minute))}`, 'usd_per_minute', 'a minute'],
  ]
  return (
    <span className="now">
      {parts.map(([value, name, unit]) => (
        <span key={name}>
          <b className="number">{value}</b> {unit}
        </span>
      ))}
    </span>
  )
}

function Content({ data, before, dim }: { data: Overview; before: Figures[] | undefined; dim: boolean }) {
  return (
    <div className={dim ? 'dim' : ''}>
      {data.alerts.length > 0 ? (
        <Panel title={`Firing (${data.alerts.length})`} className="panel-bad" actions={<Link to="/alerts">All alerts</Link>}>
          {data.alerts.slice(0, 5).map((alert) => (
            <AlertLine key={alert.id} alert={alert} />
          ))}
        </Panel>
      ) : null}
      <Tiles data={data} />
      <Charts data={data} before={before} />
      <div className="grid-2">
        <Errors data={data} />
        <TopModels data={data} />
        <BudgetPanel budgets={data.budgets} />
        <Standing data={data} />
      </div>
    </div>
  )
}

const tokens = (s: Figures) => s.input + s.cached + s.cache_write + s.output + s.reasoning

function Tiles({ data: { total, before, in_flight } }: { data: Overview }) {
  const failed = share(total.failed, total.calls)
  const hits = share(total.cache_hits, total.calls)
  return (
    <Stats>
      <Stat name="Calls" value={short(total.calls)} delta={change(total.calls, before?.calls)} note={`${count(in_flight)} in flight`} />
      <Stat
        name="Failed"
        value={percent(failed)}
        tone={failed > 0.05 ? 'bad' : failed > 0.01 ? 'warn' : undefined}
        delta={before ? change(failed, share(before.failed, before.calls)) : null}
        good="down"
        note={`${count(total.failed)} calls`}
      />
      <Stat
        name="Latency p95"
        value={millis(total.latency_ms?.p95)}
        delta={change(total.latency_ms?.p95, before?.latency_ms?.p95)}
        good="down"
        note={`p50 ${millis(total.latency_ms?.p50)} · p99 ${millis(total.latency_ms?.p99)}`}
      />
      <Stat
        name="First token p95"
        value={millis(total.first_token_ms?.p95)}
        delta={change(total.first_token_ms?.p95, before?.first_token_ms?.p95)}
        good="down"
        note={`p50 ${millis(total.first_token_ms?.p50)}`}
      />
      <Stat
        name="Spend"
        value={<Money usd={total.incurred_usd} />}
        delta={before ? change(usdNumber(total.incurred_usd), usdNumber(before.incurred_usd)) : null}
        note={
          <span title="What the answers would have cost more at the dearest target that each call could have gone to.">
            routing saved {money(total.routing_saved_usd)}
          </span>
        }
      />
      <Stat
        name="Tokens"
        value={short(tokens(total))}
        delta={before ? change(tokens(total), tokens(before)) : null}
        note={`${short(total.output + total.reasoning)} out`}
      />
      <Stat
        name="Cache hits"
        value={percent(hits)}
        delta={before ? change(hits, share(before.cache_hits, before.calls)) : null}
        good="up"
        note={`saved ${money(total.saved_usd)}`}
      />
    </Stats>
  )
}

function Charts({ data, before }: { data: Overview; before: Figures[] | undefined }) {
  const { buckets, starts, step_seconds: step, from, to } = data
  const lines = useMemo(() => {
    const of = (name: string, color: Line['color'], value: (s: Figures) => number | null): Line => ({ name, color, values: buckets.map(value) })
    const was = (name: string, color: Line['color'], value: (s: Figures) => number | null): Line[] =>
      before ? [{ name: `${name}, before`, color, before: true, values: buckets.map((_, i) => (before[i] ? value(before[i]) : null)) }] : []
    const seconds = covered(
      starts.map((start) => Date.parse(start)),
      step,
      Date.parse(from),
      Date.parse(to),
      Date.now(),
    )
    const calm = (s: Figures) => s.calls - s.failed - s.cancelled - s.cache_hits
    return {
      rate: [
        { name: 'calls', color: 1 as const, values: buckets.map((s, i) => (seconds[i] ? s.calls / seconds[i] : null)) },
        ...was('calls', 8, (s) => s.calls / step),
      ],
      ends: [
        of('from the cache', 6, (s) => s.cache_hits),
        of('answered', 1, calm),
        of('cancelled', 8, (s) => s.cancelled),
        of('failed', 'bad', (s) => s.failed),
      ],
      latency: [
        of('p50', 1, (s) => s.latency_ms?.p50 ?? null),
        of('p95', 2, (s) => s.latency_ms?.p95 ?? null),
        of('p99', 4, (s) => s.latency_ms?.p99 ?? null),
        ...was('p95', 2, (s) => s.latency_ms?.p95 ?? null),
      ],
      first: [
        of('p50', 1, (s) => s.first_token_ms?.p50 ?? null),
        of('p95', 2, (s) => s.first_token_ms?.p95 ?? null),
        ...was('p95', 2, (s) => s.first_token_ms?.p95 ?? null),
      ],
      tokens: [
        of('input', 1, (s) => s.input),
        of('cached', 6, (s) => s.cached),
        of('cache writes', 7, (s) => s.cache_write),
        of('output', 2, (s) => s.output),
        of('reasoning', 3, (s) => s.reasoning),
      ],
      spend: [of('spend', 5, (s) => usdNumber(s.incurred_usd))],
    }
  }, [buckets, before, step, starts, from, to])
  const common = { starts, stepSeconds: step, onSelect: setCustomRange }
  const each = `each ${span(step)}`
  return (
    <ChartGroup>
      <div className="grid-2">
        <Panel>
          <TimeChart title="Calls per second" kind="area" lines={lines.rate} format={short} {...common} />
        </Panel>
        <Panel>
          <TimeChart title="How calls ended" kind="bars" lines={lines.ends} format={short} note={each} {...common} />
        </Panel>
        <Panel>
          <TimeChart title="Latency" lines={lines.latency} format={millis} {...common} />
        </Panel>
        <Panel>
          <TimeChart title="First token" lines={lines.first} format={millis} {...common} />
        </Panel>
        <Panel>
          <TimeChart title="Tokens" kind="bars" lines={lines.tokens} format={short} note={each} {...common} />
        </Panel>
        <Panel>
          <TimeChart title="Spend" kind="bars" lines={lines.spend} format={dollars} note={each} {...common} />
        </Panel>
      </div>
    </ChartGroup>
  )
}

function Errors({ data }: { data: Overview }) {
  return (
    <Panel title="Errors by type">
      <Table
        label="Errors by type"
        rows={data.errors}
        id={(row) => row.error}
        to={(row) => `/calls?error=${encodeURIComponent(row.error)}`}
        empty="No call failed."
        columns={[
          { name: 'Error', cell: (row) => <Text>{words(row.error)}</Text> },
          { name: 'Calls', number: true, cell: (row) => count(row.calls) },
          { name: 'Of all', number: true, cell: (row) => percent(share(row.calls, data.total.calls)) },
        ]}
      />
    </Panel>
  )
}

function TopModels({ data }: { data: Overview }) {
  return (
    <Panel title="Models">
      <Table
        label="The models with the most calls"
        rows={data.models}
        id={(row) => row.name}
        to={(row) => `/calls?model=${encodeURIComponent(row.name)}`}
        empty="No model was asked."
        columns={[
          { name: 'Model', cell: (row) => <Text most={36}>{row.name}</Text> },
          { name: 'Calls', number: true, cell: (row) => short(row.total.calls) },
          { name: 'Failed', number: true, cell: (row) => percent(share(row.total.failed, row.total.calls)) },
          { name: 'p95', number: true, wide: true, cell: (row) => millis(row.total.latency_ms?.p95) },
          { name: 'Spend', number: true, cell: (row) => <Money usd={row.total.incurred_usd} /> },
        ]}
      />
    </Panel>
  )
}

function BudgetPanel({ budgets }: { budgets: Budget[] }) {
  const ratio = (budget: Budget) => share(usdNumber(budget.spent_usd), usdNumber(budget.limit_usd))
  const fullest = budgets.toSorted((a, b) => ratio(b) - ratio(a) || compareUsd(b.limit_usd, a.limit_usd)).slice(0, 5)
  return (
    <Panel title="Budgets" actions={<Link to="/money">All budgets</Link>}>
      {fullest.length === 0 ? <Empty>No budget is set.</Empty> : null}
      {fullest.map((budget) => (
        <div key={budget.window} className="budget-line">
          <div className="row-apart">
            <span>
              <Text most={30}>{budget.budget}</Text> {budget.value ? <Text most={30}>{budget.value}</Text> : null}
            </span>
            <span className="number">
              <Money usd={budget.spent_usd} /> of <Money usd={budget.limit_usd} />
            </span>
          </div>
          <Meter share={ratio(budget)} label={`${percent(ratio(budget))} spent`} />
        </div>
      ))}
    </Panel>
  )
}

const kQueues = 6
const work = (queue: Overview['queues'][number]) => queue.ready + queue.running + (queue.paused ? 0.5 : 0)

function Standing({ data: { breakers, queues, dead, approvals } }: { data: Overview }) {
  const busiest = queues.toSorted((a, b) => b.oldest_ready_seconds * Math.sign(b.ready) - a.oldest_ready_seconds * Math.sign(a.ready) || work(b) - work(a))
  return (
    <Panel title="Standing">
      <div className="row standing">
        <Link to="/system">
          <Badge tone={breakers.open > 0 ? 'bad' : 'good'}>{breakers.open === 1 ? '1 breaker open' : `${breakers.open} breakers open`}</Badge>
        </Link>
        {breakers.half_open > 0 ? <Badge tone="warn">{breakers.half_open} half open</Badge> : null}
        <Badge>{breakers.closed} closed</Badge>
        <Link to="/dead">
          <Badge tone={dead > 0 ? 'bad' : 'good'}>{count(dead)} dead letters</Badge>
        </Link>
        <Link to="/inbox">
          <Badge tone={approvals > 0 ? 'info' : 'plain'}>{count(approvals)} approvals wait</Badge>
        </Link>
      </div>
      <Table
        label="Queues"
        rows={busiest.slice(0, kQueues)}
        id={(row) => row.name}
        empty="No queue has anything."
        columns={[
          { name: 'Queue', cell: (row) => <Text most={30}>{row.name}</Text> },
          { name: 'Ready', number: true, cell: (row) => short(row.ready) },
          { name: 'Running', number: true, cell: (row) => short(row.running) },
          { name: 'Oldest', number: true, cell: (row) => (row.ready > 0 ? span(row.oldest_ready_seconds) : '–') },
          { name: '', cell: (row) => (row.paused ? <Badge tone="warn">paused</Badge> : null) },
        ]}
      />
      {queues.length > kQueues ? (
        <p className="small">
          <Link to="/system">{count(queues.length - kQueues)} more, less busy</Link>
        </p>
      ) : null}
    </Panel>
  )
}
