import { useApi } from '../api/query'
import type { Overview } from '../api/types'
import { ErrorBox, Loading, Page } from '../components/basic'
import { ChartGroup, TimeChart } from '../components/chart'
import { RangePicker } from '../components/range'
import { change, Stat, Stats } from '../components/stat'
import { count, millis, percent, share, short } from '../format'
import { rangeQuery, refreshMs, setCustomRange, useRange } from '../range'

export default function OverviewPage() {
  const range = useRange()
  const { data, error, reload } = useApi<Overview>(
    '/api/overview',
    { ...rangeQuery(range), compare: range.compare ? 'before' : '' },
    { refreshMs: range.live ? refreshMs(range.seconds) : 0 },
  )
  return (
    <Page title="Overview" actions={<RangePicker />}>
      <ErrorBox error={error} retry={reload} />
      {data ? <Figures data={data} /> : error ? null : <Loading />}
    </Page>
  )
}

function Figures({ data }: { data: Overview }) {
  const { total, before } = data
  return (
    <>
      <Stats>
        <Stat name="Calls" value={short(total.calls)} delta={change(total.calls, before?.calls)} note={`${count(data.in_flight)} in flight`} />
        <Stat name="Failed" value={percent(share(total.failed, total.calls))} note={`${count(total.failed)} calls`} />
        <Stat name="Latency p95" value={millis(total.latency_ms?.p95)} delta={change(total.latency_ms?.p95, before?.latency_ms?.p95)} good="down" />
      </Stats>
      <ChartGroup>
        <TimeChart
          title="Calls per second"
          starts={data.starts}
          stepSeconds={data.step_seconds}
          kind="area"
          format={short}
          lines={[{ name: 'calls', color: 1, values: data.buckets.map((bucket) => bucket.calls / data.step_seconds) }]}
          onSelect={setCustomRange}
        />
      </ChartGroup>
    </>
  )
}
