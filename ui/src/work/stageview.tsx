import { useState } from 'react'
import { Badge, Button, Money, Text, Time } from '../components/basic'
import { Json } from '../components/json'
import { useMay } from '../session'
import { Again } from './again'
import { type Lane, parentOf, type StageRecord } from './gantt'
import type { Job } from './types'
import { isOver } from './words'

interface Props {
  job: Job
  lane: Lane
  after: readonly string[]
  records: readonly StageRecord[]
}

// One stage: what it could read, what it gave, why it failed, and what can be done from here.
export function StageView({ job, lane, after, records }: Props) {
  const { why } = useMay('call')
  const [forking, setForking] = useState(false)
  const read = Object.fromEntries(after.map((name) => [name, records.filter((record) => record.stage === name && record.what === 'done').at(-1)?.output]))
  const waits = records.filter((record) => record.stage === lane.path && record.what === 'started').at(-1)
  const failures = records.filter((record) => record.stage === lane.path && record.what === 'failed')
  const done = lane.last?.what === 'done' ? lane.last : undefined
  const inner = parentOf(lane.path) !== ''
  return (
    <section className="stage" aria-label={`Stage ${lane.path.slice(0, 80)}`}>
      <div className="panel-head">
        <h3>
          <bdi>{lane.path.slice(0, 120)}</bdi> <span className="muted">{lane.kind}</span>
        </h3>
        <div className="panel-actions">
          {lane.fallback ? <Badge tone="warn">its fallback stood in</Badge> : null}
          {lane.last?.confidence !== undefined ? <Badge>confidence {lane.last.confidence}</Badge> : null}
          {lane.last?.cost_usd ? (
            <Badge>
              <Money usd={lane.last.cost_usd} />
            </Badge>
          ) : null}
          {isOver(job.state) && !inner ? (
            <Button small why={why} onClick={() => setForking(true)}>
              Run again from here…
            </Button>
          ) : null}
        </div>
      </div>
      {failures.length > 0 ? (
        <ol className="plain">
          {failures.map((record, i) => (
            <li key={i}>
              <strong>Attempt {record.attempt}</strong> <Time at={record.at} /> <code>{record.error?.code}</code>{' '}
              <Text most={400}>{record.error?.message}</Text>
            </li>
          ))}
        </ol>
      ) : null}
      <div className="grid-2">
        <div>
          <h4>{after.length > 0 ? 'What it could read: the stages before it' : 'What it could read: the run’s input'}</h4>
          <Json value={after.length > 0 ? read : job.input} open={1} label="input" />
          {waits?.waits_for !== undefined ? (
            <>
              <h4>{lane.kind === 'map' ? 'Its items' : 'What it waited for'}</h4>
              <Json value={waits.waits_for} label="what it waits for" />
            </>
          ) : null}
        </div>
        <div>
          <h4>Output</h4>
          {done ? <Json value={done.output} label="output" /> : <p className="muted">{lane.state === 'skipped' ? 'Skipped: it did not run.' : 'None yet.'}</p>}
          {done?.taint ? (
            <>
              <h4>Derives from</h4>
              <Json value={done.taint} open={0} label="taint" />
            </>
          ) : null}
        </div>
      </div>
      {forking ? <Again job={job} again={{ what: 'fork', stage: lane.path }} onClose={() => setForking(false)} /> : null}
    </section>
  )
}
