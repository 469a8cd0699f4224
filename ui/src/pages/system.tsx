import { post, put } from '../api/client'
import { useApi } from '../api/query'
import { Button, ErrorBox, Loading, Page, Panel, Status, Text, Time } from '../components/basic'
import { Table } from '../components/table'
import { count, millis, span } from '../format'
import { Link } from '../router'
import { useMay } from '../session'
import { Audit } from '../work/audit'
import { change } from '../work/change'
import { Nodes } from '../work/nodes'
import { Queues } from '../work/queues'
import type { Batch, Breaker, Provider, Schedule } from '../work/types'
import { Webhooks } from '../work/webhooks'
import '../styles/work.css'

export default function SystemPage() {
  return (
    <Page title="System" sub="What this server stands on, and what can be stopped and let go by hand.">
      <div className="in-order">
        <Providers />
        <Nodes />
        <Queues />
        <Schedules />
        <Batches />
        <Webhooks />
        <Audit />
      </div>
    </Page>
  )
}

function Providers() {
  const providers = useApi<{ providers: Provider[] }>('/api/providers', {}, { refreshMs: 10_000 })
  const breakers = useApi<{ breakers: Breaker[] }>('/api/breakers', {}, { refreshMs: 3_000 })
  const { why } = useMay('admin')
  const reset = (breaker: Breaker) =>
    change(
      () => post(`/api/breakers/reset?provider=${encodeURIComponent(breaker.provider)}&model=${encodeURIComponent(breaker.model)}`),
      `The breaker of ${breaker.provider}/${breaker.model} is closed.`,
      '/api/breakers',
    )
  return (
    <Panel title="Providers">
      <ErrorBox error={providers.error ?? breakers.error} retry={providers.error ? providers.reload : breakers.reload} />
      {providers.data && (breakers.data || breakers.error) ? (
        <Table
          label="Credentials of the providers"
          rows={providers.data.providers.flatMap((provider) => provider.credentials.map((credential) => ({ provider, credential })))}
          id={({ provider, credential }) => `${provider.name} ${credential.name}`}
          empty="No provider is configured."
          columns={[
            { name: 'Provider', cell: ({ provider }) => <Text most={40}>{provider.name}</Text> },
            { name: 'Kind', wide: true, cell: ({ provider }) => provider.kind },
            { name: 'Address', wide: true, cell: ({ provider }) => <Text most={60}>{provider.base_url}</Text> },
            { name: 'Credential', cell: ({ credential }) => <Text most={30}>{credential.name}</Text> },
            {
              name: 'State',
              cell: ({ credential }) =>
                credential.dead ? (
                  <Status value="dead" detail={credential.reason} />
                ) : (credential.available_in_s ?? 0) > 0 ? (
                  `rests ${span(credential.available_in_s)}`
                ) : (
                  <Status value="ok" />
                ),
            },
            { name: 'In flight', number: true, cell: ({ credential }) => count(credential.in_flight) },
            { name: 'Used', number: true, wide: true, cell: ({ credential }) => count(credential.picked) },
            { name: 'Limited', number: true, wide: true, cell: ({ credential }) => count(credential.limited) },
          ]}
        />
      ) : providers.error ? null : (
        <Loading />
      )}
      {providers.data && breakers.data ? <h3>Breakers</h3> : null}
      {providers.data && breakers.data ? (
        <Table
          label="Breakers"
          rows={breakers.data.breakers}
          id={(breaker) => `${breaker.provider} ${breaker.model}`}
          empty="No model was called yet."
          columns={[
            {
              name: 'Model',
              cell: (breaker) => <Text most={60}>{`${breaker.provider}/${breaker.model}`}</Text>,
            },
            {
              name: 'State',
              cell: (breaker) => <Status value={breaker.state} detail={breaker.retry_in_s ? `asks again in ${span(breaker.retry_in_s)}` : undefined} />,
            },
            { name: 'Failures', number: true, cell: (breaker) => `${count(breaker.failures)} of ${count(breaker.failures + breaker.successes)}` },
            { name: 'Opened', number: true, wide: true, cell: (breaker) => count(breaker.opened) },
            { name: 'Latency', number: true, wide: true, cell: (breaker) => millis(breaker.latency_s === null ? null : breaker.latency_s * 1000) },
            { name: 'Last error', wide: true, cell: (breaker) => <Text most={40}>{breaker.last_error}</Text> },
            {
              name: 'By hand',
              cell: (breaker) => (
                <Button small why={why} disabled={breaker.state === 'closed'} onClick={() => void reset(breaker)}>
                  Reset
                </Button>
              ),
            },
          ]}
        />
      ) : null}
    </Panel>
  )
}

function Schedules() {
  const { data, error, reload } = useApi<{ schedules: Schedule[] }>('/api/schedules', {}, { refreshMs: 15_000 })
  const { why } = useMay('call')
  const name = (schedule: Schedule) => `/api/schedules/${encodeURIComponent(schedule.name)}`
  const toggle = (schedule: Schedule) =>
    change(
      () =>
        put(name(schedule), {
          cron: schedule.cron,
          timezone: schedule.timezone,
          job: schedule.job,
          overlap: schedule.overlap,
          catch_up: schedule.catch_up,
          enabled: !schedule.enabled,
        }),
      `${schedule.name} ${schedule.enabled ? 'is paused' : 'runs again'}.`,
      '/api/schedules',
    )
  const run = (schedule: Schedule) => change(() => post(`${name(schedule)}/run`), `A job of ${schedule.name} was submitted.`, '/api/')
  return (
    <Panel title="Schedules">
      <ErrorBox error={error} retry={reload} />
      {data ? (
        <Table
          label="Schedules"
          cards
          rows={data.schedules}
          id={(schedule) => schedule.name}
          empty="Nothing is submitted by the clock."
          columns={[
            { name: 'Schedule', cell: (schedule) => <Text most={40}>{schedule.name}</Text> },
            { name: 'When', cell: (schedule) => <Text most={60}>{schedule.when}</Text> },
            { name: 'Next', cell: (schedule) => (schedule.enabled ? <Time at={schedule.next[0]} /> : <Status value="paused" />) },
            {
              name: 'Last',
              wide: true,
              cell: (schedule) =>
                schedule.last_job ? (
                  <Link to={`/jobs/${schedule.last_job}`}>
                    <Time at={schedule.last} />
                  </Link>
                ) : (
                  <Text most={60}>{schedule.why}</Text>
                ),
            },
            { name: 'Of', wide: true, cell: (schedule) => <Text most={30}>{schedule.owner}</Text> },
            {
              name: 'By hand',
              cell: (schedule) => (
                <span className="tags">
                  <Button small why={why} onClick={() => void toggle(schedule)}>
                    {schedule.enabled ? 'Pause' : 'Resume'}
                  </Button>
                  <Button small why={why} onClick={() => void run(schedule)}>
                    Run now
                  </Button>
                </span>
              ),
            },
          ]}
        />
      ) : error ? null : (
        <Loading />
      )}
    </Panel>
  )
}

// A key sees its own batches; one that may only look has none.
function Batches() {
  const { may } = useMay('call')
  const { data, error, reload } = useApi<{ data: Batch[] }>(may ? '/v1/batches' : null, { limit: 20 }, { refreshMs: 10_000 })
  if (!may) return null
  const when = (seconds: number | null | undefined) => (typeof seconds !== 'number' ? null : new Date(seconds * 1000).toISOString())
  const live = (batch: Batch) => ['validating', 'in_progress', 'finalizing'].includes(batch.status)
  const cancel = (batch: Batch) =>
    change(() => post(`/v1/batches/${encodeURIComponent(batch.id)}/cancel`), 'Cancelling: what is answered already stays.', '/v1/batches')
  return (
    <Panel title="Batches of this key">
      <ErrorBox error={error} retry={reload} />
      {data ? (
        <Table
          label="Batches"
          rows={data.data}
          id={(batch) => batch.id}
          empty="This key has made no batch."
          columns={[
            { name: 'Batch', cell: (batch) => <code>{batch.id}</code> },
            { name: 'State', cell: (batch) => <Status value={batch.status} /> },
            { name: 'Asks', wide: true, cell: (batch) => <Text most={40}>{batch.endpoint}</Text> },
            { name: 'Done', number: true, cell: (batch) => `${count(batch.request_counts.completed)} of ${count(batch.request_counts.total)}` },
            { name: 'Failed', number: true, cell: (batch) => count(batch.request_counts.failed) },
            { name: 'Made', cell: (batch) => <Time at={when(batch.created_at)} /> },
            { name: 'Until', wide: true, cell: (batch) => <Time at={when(batch.completed_at ?? batch.expires_at)} /> },
            {
              name: 'By hand',
              cell: (batch) =>
                live(batch) ? (
                  <Button small onClick={() => void cancel(batch)}>
                    Cancel
                  </Button>
                ) : null,
            },
          ]}
        />
      ) : error ? null : (
        <Loading />
      )}
    </Panel>
  )
}
