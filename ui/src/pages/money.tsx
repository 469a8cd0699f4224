import { type ReactNode, useMemo } from 'react'
import { type Read, useApi } from '../api/query'
import type { BudgetForecast, Feedback, Money as MoneyAnswer, NamedStat, Series } from '../api/types'
import { Badge, Empty, ErrorBox, Loading, Meter, Money, Page, Panel, Text, Time } from '../components/basic'
import { ChartGhost, type Line, TimeChart } from '../components/chart'
import { RangePicker } from '../components/range'
import { change, Stat, Stats } from '../components/stat'
import { Table } from '../components/table'
import { count, dollars, percent, share, short, span } from '../format'
import { compareUsd, minusUsd, money, sumUsd, usdNumber } from '../money'
import { rangeQuery, refreshMs, setCustomRange, useRange } from '../range'
import { useParam } from '../router'

const kBy = ['model', 'key', 'user', 'feature', 'team', 'route', 'flow'] as const
type By = (typeof kBy)[number]
// Seconds: from here on the bars are days, as a bill's are, and as cheap to read.
const kByDay = 14 * 24 * 3600

export default function MoneyPage() {
  const range = useRange()
  const [asked, setBy] = useParam('by')
  const by: By = kBy.find((each) => each === asked) ?? 'model'
  const options = { refreshMs: range.live ? Math.max(15_000, refreshMs(range.seconds)) : 0 }
  const { data, error, reload } = useApi<MoneyAnswer>('/api/money', { ...rangeQuery(range), by }, options)
  // Flows are added up, and no dimension of the series.
  const series = useApi<Series>(
    by === 'flow' ? null : '/api/series',
    { ...rangeQuery(range), by, rank: 'spend', groups: 7, errors: false, ...(range.seconds >= kByDay ? { step: '24h' } : {}) },
    options,
  )
  const rows = data?.by[by]
  return (
    <Page title="Money" actions={<RangePicker compare={false} />}>
      <ErrorBox error={error} retry={reload} />
      {data ? (
        <>
          <Tiles data={data} />
          <Panel actions={<ByPicker by={by} set={setBy} />} title="Where it went">
            <ErrorBox error={series.error} retry={series.reload} />
            {by === 'flow' ? null : <Spend read={series} by={by} />}
            {rows ? <Breakdown by={by} rows={rows} whole={data.total.incurred_usd} /> : <Loading />}
          </Panel>
          <div className="grid-2">
            <Days data={data} />
            <Budgets budgets={data.budgets} />
          </div>
          <Worth query={rangeQuery(range)} />
        </>
      ) : error ? null : (
        <Loading />
      )}
    </Page>
  )
}

function Tiles({ data: { total, before, saved } }: { data: MoneyAnswer }) {
  const good = total.calls - total.failed - total.cancelled
  const nano = good > 0 ? (usdNumber(total.incurred_usd) / good).toFixed(9) : null
  return (
    <Stats>
      <Stat
        name="Spent"
        value={<Money usd={total.incurred_usd} />}
        delta={before ? change(usdNumber(total.incurred_usd), usdNumber(before.incurred_usd)) : null}
        note={before ? `${money(before.incurred_usd)} before` : undefined}
      />
      <Stat name="For answers" value={<Money usd={total.billed_usd} />} note="billed" />
      <Stat name="For nothing" value={<Money usd={minusUsd(total.incurred_usd, total.billed_usd)} />} note="failed, hedged or cut attempts" />
      <Stat name="Saved by the cache" value={<Money usd={saved.cache_usd} />} note={`${short(total.cache_hits)} hits`} tone="good" />
      <Stat name="Saved by routing" value={<Money usd={saved.routing_usd} />} note="less than at the dearest target each call could have had" tone="good" />
      <Stat name="Cost of a good call" value={<Money usd={nano} />} note={`${count(good)} calls`} />
    </Stats>
  )
}

// By the cache and by routing: no call has both.
const savedUsd = (total: NamedStat['total']) => sumUsd([total.saved_usd, total.routing_saved_usd])

function ByPicker({ by, set }: { by: By; set: (by: string) => void }) {
  return (
    <div className="segments" role="group" aria-label="Split by">
      {kBy.map((name) => (
        <button key={name} type="button" aria-pressed={by === name} onClick={() => set(name === 'model' ? '' : name)}>
          {name}
        </button>
      ))}
    </div>
  )
}

// What is shown is of the split asked for: while another is on its way, the one before would be told under the wrong name.
function Spend({ read: { data, stale, error }, by }: { read: Read<Series>; by: By }) {
  const series = data && !(stale && data.by !== by) ? data : undefined
  const lines = useMemo(
    () =>
      series?.groups.map(
        (group, i): Line => ({
          name: group.rest ? 'the others' : group.name || 'none',
          color: group.rest ? 8 : (((i % 7) + 1) as Line['color']),
          values: group.buckets.map((bucket) => usdNumber(bucket.incurred_usd)),
        }),
      ) ?? [],
    [series],
  )
  if (!series) return error ? null : <ChartGhost />
  return (
    <TimeChart
      title={`Spend by ${by}`}
      kind="bars"
      starts={series.starts}
      stepSeconds={series.step_seconds}
      lines={lines}
      format={dollars}
      note={`each ${span(series.step_seconds)}`}
      onSelect={setCustomRange}
    />
  )
}

function Breakdown({ by, rows, whole }: { by: By; rows: NamedStat[]; whole: string }) {
  const sorted = rows.toSorted((a, b) => compareUsd(b.total.incurred_usd, a.total.incurred_usd))
  const part = (row: NamedStat) => share(usdNumber(row.total.incurred_usd), usdNumber(whole))
  const label = (row: NamedStat): ReactNode => (
    <Text most={48} empty="none">
      {row.name}
    </Text>
  )
  return (
    <Table
      label={`Spend by ${by}`}
      rows={sorted}
      id={(row) => row.name}
      {...(by === 'flow' ? {} : { to: (row: NamedStat) => `/calls?${by}=${encodeURIComponent(row.name)}` })}
      empty="Nothing was spent."
      columns={[
        { name: by[0]!.toUpperCase() + by.slice(1), cell: label },
        { name: 'Spent', number: true, cell: (row) => <Money usd={row.total.incurred_usd} /> },
        {
          name: 'Share',
          number: true,
          cell: (row) => (
            <span className="share">
              <Meter share={part(row)} tone="accent" label={percent(part(row))} /> {percent(part(row))}
            </span>
          ),
        },
        { name: 'Calls', number: true, cell: (row) => short(row.total.calls) },
        {
          name: 'Tokens',
          number: true,
          wide: true,
          cell: (row) => short(row.total.input + row.total.cached + row.total.cache_write + row.total.output + row.total.reasoning),
        },
        {
          name: 'A call',
          number: true,
          wide: true,
          cell: (row) => <Money usd={row.total.calls > 0 ? (usdNumber(row.total.incurred_usd) / row.total.calls).toFixed(9) : null} />,
        },
        { name: 'Saved', number: true, wide: true, cell: (row) => <Money usd={savedUsd(row.total)} /> },
      ]}
    />
  )
}

function Days({ data }: { data: MoneyAnswer }) {
  const most = Math.max(...data.days.map(({ total }) => usdNumber(total.incurred_usd)), 0)
  return (
    <Panel title="By day (UTC)">
      <Table
        label="Spend by day"
        rows={data.days.toReversed()}
        id={(row) => row.day}
        empty="No day yet."
        columns={[
          { name: 'Day', cell: (row) => row.day },
          { name: 'Spent', number: true, cell: (row) => <Money usd={row.total.incurred_usd} /> },
          { name: '', cell: (row) => <Meter share={share(usdNumber(row.total.incurred_usd), most)} tone="accent" label={money(row.total.incurred_usd)} /> },
          { name: 'Saved', number: true, cell: (row) => <Money usd={savedUsd(row.total)} /> },
          { name: 'Calls', number: true, cell: (row) => short(row.total.calls) },
        ]}
      />
    </Panel>
  )
}

function Budgets({ budgets }: { budgets: BudgetForecast[] }) {
  return (
    <Panel title="Budgets and forecasts">
      {budgets.length === 0 ? <Empty>No budget is set: budgets stand in the configuration.</Empty> : null}
      {budgets.map((budget) => (
        <BudgetLine key={budget.window} budget={budget} />
      ))}
    </Panel>
  )
}

function BudgetLine({ budget }: { budget: BudgetForecast }) {
  const spent = share(usdNumber(budget.spent_usd), usdNumber(budget.limit_usd))
  const over = compareUsd(budget.forecast_usd, budget.limit_usd) > 0
  return (
    <div className="budget-line">
      <div className="row-apart">
        <b>
          <Text most={30}>{budget.budget}</Text> {budget.value ? <Text most={30}>{budget.value}</Text> : null}
        </b>
        <span className="number">
          <Money usd={budget.spent_usd} /> of <Money usd={budget.limit_usd} />
        </span>
      </div>
      <Meter share={spent} label={`${percent(spent)} spent`} />
      <div className="row-apart small muted">
        <span>
          forecast <Money usd={budget.forecast_usd} /> by the window’s end, <Time at={budget.window_end} />
        </span>
        {spent >= 1 ? (
          <Badge tone="bad">spent</Badge>
        ) : budget.forecast_at_limit ? (
          <Badge tone="warn">
            full <Time at={budget.forecast_at_limit} />
          </Badge>
        ) : over ? (
          <Badge tone="warn">will not do</Badge>
        ) : null}
      </div>
    </div>
  )
}

// What users said of the answers, and what a good one cost.
function Worth({ query }: { query: { from: string; to: string } }) {
  const { data } = useApi<Feedback>('/api/feedback', { ...query, by: 'feature' })
  if (!data || data.rows.length === 0) return null
  return (
    <Panel title="What users said, by feature">
      <Table
        label="Feedback by feature"
        rows={data.rows}
        id={(row) => row.group}
        columns={[
          { name: 'Feature', cell: (row) => <Text empty="none">{row.group}</Text> },
          { name: 'Good', number: true, cell: (row) => count(row.good) },
          { name: 'Bad', number: true, cell: (row) => count(row.bad) },
          { name: 'Satisfied', number: true, cell: (row) => percent(row.satisfaction) },
          { name: 'Spent', number: true, cell: (row) => <Money usd={row.incurred_usd} /> },
          { name: 'A good answer', number: true, cell: (row) => <Money usd={row.usd_per_good} /> },
        ]}
      />
    </Panel>
  )
}
