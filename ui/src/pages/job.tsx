import { useMemo, useState } from 'react'
import { post } from '../api/client'
import { invalidate, useApi } from '../api/query'
import { Badge, Button, Copy, Empty, ErrorBox, Facts, Loading, Page, Panel, Status, Text, Time } from '../components/basic'
import { toast, toastProblem } from '../components/dialog'
import { Json } from '../components/json'
import { Link, useParam } from '../router'
import { useMay } from '../session'
import { Again, type AgainWhat } from '../work/again'
import { useFollow } from '../work/follow'
import { axis, lanes } from '../work/gantt'
import { Gantt } from '../work/ganttview'
import { StageView } from '../work/stageview'
import type { ApprovalPage, Effects, FailedAttempts, FlowWhole, Job, RunStages } from '../work/types'
import { isOver, nameOf, took, versionOf } from '../work/words'
import '../styles/work.css'

export default function JobPage({ params }: { params: Record<string, string> }) {
  const id = params.id ?? ''
  const path = `/api/jobs/${encodeURIComponent(id)}`
  const job = useApi<Job>(path)
  const over = job.data ? isOver(job.data.state) : false
  const told = useFollow(id, job.data !== undefined && !over)
  if (!job.data) return <Page title="Job">{job.error ? <ErrorBox error={job.error} retry={job.reload} /> : <Loading />}</Page>
  const it = job.data
  return (
    <Page title={nameOf(it) || 'Job'} sub={<Sub job={it} />} actions={<Actions job={it} />}>
      <ErrorBox error={job.error} retry={job.reload} />
      {it.error ? (
        <div className="error-box" role="status">
          <div>
            <strong>
              <code>{it.error.code}</code>
            </strong>
            {it.error.field ? (
              <>
                <code>
                  <Text>{it.error.field}</Text>
                </code>{' '}
              </>
            ) : null}
            <Text most={600}>{it.error.message}</Text>
          </div>
        </div>
      ) : null}
      {it.state === 'waiting' ? <Asked job={id} /> : null}
      {it.kind === 'flow' ? <Stages job={it} live={!over} /> : null}
      {told.progress !== undefined && !over ? (
        <Panel title="Progress">
          <Json value={told.progress} label="progress" />
        </Panel>
      ) : null}
      {told.tokens ? (
        <Panel title="As it is written">
          <pre className="told" aria-live="off">
            {told.tokens}
          </pre>
        </Panel>
      ) : null}
      <div className="grid-2">
        <Panel title={it.kind === 'task' ? 'Payload' : 'Input'}>
          <Json value={it.kind === 'task' ? it.payload : it.input} label="input" />
        </Panel>
        <Panel title="Output">
          {it.state === 'done' ? <Json value={it.output} label="output" /> : <Empty>{over ? 'It ended without one.' : 'Not yet.'}</Empty>}
        </Panel>
        <Panel title="Facts">
          <JobFacts job={it} />
        </Panel>
        <Attempts id={id} />
        {it.kind === 'flow' ? <Outside job={it} /> : null}
      </div>
    </Page>
  )
}

function Sub({ job }: { job: Job }) {
  return (
    <span className="tags">
      <Status value={job.state} />
      <span>
        {job.kind === 'flow' ? 'run of a flow' : job.kind}, submitted <Time at={job.created} />, {isOver(job.state) ? 'took' : 'for'} {took(job, new Date())}
      </span>
      <code>{job.id}</code>
      <Copy text={job.id} label="Copy the id" />
    </span>
  )
}

function Actions({ job }: { job: Job }) {
  const { why } = useMay('call')
  const [again, setAgain] = useState<AgainWhat | null>(null)
  const over = isOver(job.state)
  const cancel = async () => {
    try {
      await post(`/api/jobs/${encodeURIComponent(job.id)}/cancel`)
      toast('Cancelled.')
    } catch (problem) {
      toastProblem(problem)
    }
    invalidate('/api/jobs')
  }
  return (
    <>
      {!over ? (
        <Button kind="danger" why={why} onClick={() => void cancel()}>
          Cancel
        </Button>
      ) : null}
      {job.state === 'dead' || job.state === 'cancelled' ? (
        <Button kind="primary" why={why} onClick={() => setAgain({ what: 'redrive', stage: '' })}>
          Retry…
        </Button>
      ) : null}
      {job.kind === 'flow' && over ? (
        <Button why={why} onClick={() => setAgain({ what: 'fork', stage: '' })}>
          Fork…
        </Button>
      ) : null}
      {again ? <Again job={job} again={again} onClose={() => setAgain(null)} /> : null}
    </>
  )
}

// What the run asks of people: a waiting run mostly waits for one.
function Asked({ job }: { job: string }) {
  const { may } = useMay('approve')
  const { data } = useApi<ApprovalPage>(may ? '/api/approvals' : null, { job })
  if (!data || data.approvals.length === 0) return null
  return (
    <div className="notice" role="status">
      Somebody is asked:{' '}
      {data.approvals.map((approval) => (
        <Link key={approval.id} to={`/inbox/${approval.id}`}>
          <Text most={40}>{approval.stage}</Text>
        </Link>
      ))}
    </div>
  )
}

function Stages({ job, live }: { job: Job; live: boolean }) {
  const stages = useApi<RunStages>(`/api/jobs/${encodeURIComponent(job.id)}/stages`, {}, { refreshMs: live ? 2000 : 0 })
  const flow = useApi<FlowWhole>(`/api/flows/${encodeURIComponent(job.flow ?? '')}`)
  const [selected, select] = useParam('stage')
  const now = useMemo(() => (stages.data || job ? Date.now() : 0), [stages.data, job])
  const shape = useMemo(
    () => (flow.data?.stages ?? []).map((stage) => ({ name: stage.stage, kind: stage.kind, after: stage.after, ...(stage.risk ? { risk: stage.risk } : {}) })),
    [flow.data],
  )
  if (!stages.data || (!flow.data && !flow.error))
    return <Panel title="Stages">{stages.error ? <ErrorBox error={stages.error} retry={stages.reload} /> : <Loading />}</Panel>
  const list = lanes(job, shape, stages.data.records, now)
  const other = flow.data && job.version !== flow.data.digest
  const lane = list.find((each) => each.path === selected)
  return (
    <Panel title="Stages" wide actions={<Link to={`/flows/${encodeURIComponent(job.flow ?? '')}`}>The flow as a graph</Link>}>
      {other ? (
        <p className="muted">
          This run has version <code>{versionOf(job.version)}</code>; in force is <code>{versionOf(flow.data?.digest)}</code>. Where they differ, beginnings are
          estimates.
        </p>
      ) : null}
      {list.length > 0 ? <Gantt lanes={list} axis={axis(list, job, now)} selected={selected} onSelect={select} /> : <Empty>Nothing has begun yet.</Empty>}
      {lane ? <StageView job={job} lane={lane} after={shape.find((each) => each.name === lane.path)?.after ?? []} records={stages.data.records} /> : null}
    </Panel>
  )
}

// A URL, or {url, secret}.
function webhookOf({ webhook }: Job): string {
  const url = webhook !== null && typeof webhook === 'object' && 'url' in webhook ? webhook.url : webhook
  return typeof url === 'string' ? url : ''
}

function JobFacts({ job }: { job: Job }) {
  const rows: [string, React.ReactNode][] = [
    ['Queue', <Text key="q">{job.queue}</Text>],
    ['Priority', `${job.priority} (0 first)`],
    ['Attempt', `${job.attempt} of ${job.attempts}`],
    ['Submitted', <Time key="c" at={job.created} both />],
  ]
  const put = (name: string, value: React.ReactNode) => value && rows.push([name, value])
  put('Due', job.due ? <Time at={job.due} both /> : '')
  put('Ended', job.finished ? <Time at={job.finished} both /> : '')
  put('Deadline', job.deadline ? <Time at={job.deadline} both /> : '')
  put('Version', job.version ? <code>{versionOf(job.version)}</code> : '')
  put('Model', job.model ? <Text>{job.model}</Text> : '')
  put('Key', <Text>{job.tenant}</Text>)
  put('User', job.user ? <Text>{job.user}</Text> : '')
  put('Feature', job.feature ? <Text>{job.feature}</Text> : '')
  put('Webhook', job.webhook ? <Text most={120}>{webhookOf(job)}</Text> : '')
  put('Concurrency', job.concurrency ? <Text>{`${job.concurrency.key}: ${job.concurrency.limit} at once`}</Text> : '')
  put('Origin', job.origin ? <Text>{job.origin}</Text> : '')
  put('From', job.parent ? <Link to={`/jobs/${job.parent}`}>{job.parent}</Link> : '')
  put(
    'Trace',
    job.trace_id ? (
      <>
        <code>{job.trace_id.slice(0, 64)}</code>
        <Copy text={job.trace_id} label="Copy the trace's id" />
      </>
    ) : (
      ''
    ),
  )
  put('Batch', job.batch ? <code>{job.batch}</code> : '')
  put(
    'Tags',
    job.tags?.length ? (
      <span className="tags">
        {job.tags.map((tag) => (
          <Badge key={tag}>
            <Text most={40}>{tag}</Text>
          </Badge>
        ))}
      </span>
    ) : (
      ''
    ),
  )
  return <Facts rows={rows} />
}

function Attempts({ id }: { id: string }) {
  const { data, error } = useApi<FailedAttempts>(`/api/jobs/${encodeURIComponent(id)}/attempts`)
  if (error) return <ErrorBox error={error} />
  if (!data || data.attempts.length === 0) return null
  return (
    <Panel title="Failed attempts">
      <ol className="plain">
        {data.attempts.map((attempt) => (
          <li key={attempt.attempt}>
            <strong>{attempt.attempt}</strong> <Time at={attempt.at} /> <code>{attempt.error?.code}</code> <Text most={300}>{attempt.error?.message}</Text>
          </li>
        ))}
      </ol>
    </Panel>
  )
}

function Outside({ job }: { job: Job }) {
  const { data, error } = useApi<Effects>(`/api/jobs/${encodeURIComponent(job.id)}/effects`)
  if (error) return <ErrorBox error={error} />
  if (!data || data.effects.length === 0) return null
  return (
    <Panel title="What it did outside">
      {data.unknown > 0 ? (
        <p className="notice">
          {data.unknown} {data.unknown === 1 ? 'call has' : 'calls have'} an unknown end: look it up at the other side, then <code>ballast jobs resolve</code>.
        </p>
      ) : null}
      <ol className="plain">
        {data.effects.map((effect, i) => (
          <li key={i}>
            <Status value={effect.state} /> <Text most={40}>{effect.stage}</Text> <span className="muted">{effect.kind}</span>{' '}
            <Text most={160}>{effect.target}</Text>
          </li>
        ))}
      </ol>
    </Panel>
  )
}
