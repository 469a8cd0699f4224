import { type FormEvent, useState } from 'react'
import { Problem, put } from '../api/client'
import { invalidate, useApi } from '../api/query'
import { Button, ErrorBox, Loading, Panel, Status, Text } from '../components/basic'
import { Dialog, toast } from '../components/dialog'
import { Table } from '../components/table'
import { count, short, span } from '../format'
import { Link } from '../router'
import { useMay } from '../session'
import { change } from './change'
import type { Queue } from './types'

const path = (queue: Queue) => `/api/queues/${encodeURIComponent(queue.queue)}`

export function Queues() {
  const { data, error, reload } = useApi<{ queues: Queue[] }>('/api/queues', {}, { refreshMs: 5_000 })
  const { why } = useMay('admin')
  const [limits, setLimits] = useState<Queue | null>(null)
  const pause = (queue: Queue) =>
    change(() => put(path(queue), { paused: !queue.paused }), `${queue.queue} ${queue.paused ? 'goes on' : 'is paused'}.`, '/api/queues')
  return (
    <Panel title="Queues">
      <ErrorBox error={error} retry={reload} />
      {data ? (
        <Table
          label="Queues"
          rows={data.queues}
          id={(queue) => queue.queue}
          empty="No job was submitted yet."
          columns={[
            {
              name: 'Queue',
              cell: (queue) => (
                <Link to={`/jobs?queue=${encodeURIComponent(queue.queue)}`}>
                  <Text most={40}>{queue.queue}</Text>
                </Link>
              ),
            },
            { name: 'State', cell: (queue) => (queue.paused ? <Status value="paused" /> : <Status value="running" />) },
            { name: 'Ready', number: true, cell: (queue) => count(queue.ready) },
            { name: 'Oldest', number: true, cell: (queue) => (queue.ready > 0 ? span(queue.oldest_ready_s) : '–') },
            { name: 'Running', number: true, cell: (queue) => count(queue.running) },
            { name: 'Waiting', number: true, wide: true, cell: (queue) => count(queue.waiting) },
            { name: 'Delayed', number: true, wide: true, cell: (queue) => count(queue.delayed) },
            { name: 'In, out per s', number: true, wide: true, cell: (queue) => `${short(queue.arrivals_per_s?.['1m'])}, ${short(queue.ends_per_s?.['1m'])}` },
            { name: 'At once', number: true, wide: true, cell: (queue) => queue.concurrency || 'no limit' },
            {
              name: 'By hand',
              cell: (queue) => (
                <span className="tags">
                  <Button small why={why} onClick={() => void pause(queue)}>
                    {queue.paused ? 'Resume' : 'Pause'}
                  </Button>
                  <Button small why={why} onClick={() => setLimits(queue)}>
                    Limits…
                  </Button>
                </span>
              ),
            },
          ]}
        />
      ) : error ? null : (
        <Loading />
      )}
      {limits ? <Limits queue={limits} onClose={() => setLimits(null)} /> : null}
    </Panel>
  )
}

function Limits({ queue, onClose }: { queue: Queue; onClose: () => void }) {
  const [concurrency, setConcurrency] = useState(String(queue.concurrency))
  const [perTenant, setPerTenant] = useState(String(queue.per_tenant))
  const [problem, setProblem] = useState<Problem | undefined>()
  const submit = async (event: FormEvent) => {
    event.preventDefault()
    try {
      await put(path(queue), { concurrency: Number(concurrency), per_tenant: Number(perTenant) })
      toast('The limits are in force.')
      invalidate('/api/queues')
      onClose()
    } catch (why) {
      setProblem(why instanceof Problem ? why : new Problem(0, 'Not understood', String(why)))
    }
  }
  return (
    <Dialog title={`Limits of ${queue.queue}`} onClose={onClose}>
      <form className="form" onSubmit={submit}>
        <label>
          Jobs at once
          <input type="number" min={0} required value={concurrency} onChange={(event) => setConcurrency(event.target.value)} />
          <small>0: no limit</small>
        </label>
        <label>
          Of one tenant at once
          <input type="number" min={0} required value={perTenant} onChange={(event) => setPerTenant(event.target.value)} />
          <small>0: no limit</small>
        </label>
        <ErrorBox error={problem} />
        <div className="form-end">
          <Button onClick={onClose}>Leave them</Button>
          <Button kind="primary" type="submit">
            Set
          </Button>
        </div>
      </form>
    </Dialog>
  )
}
