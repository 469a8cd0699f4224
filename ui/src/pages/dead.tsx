import { type FormEvent, useState } from 'react'
import { Problem, post } from '../api/client'
import { invalidate, useApi } from '../api/query'
import { Button, ErrorBox, Loading, Page, Panel, Text, Time } from '../components/basic'
import { Dialog, toast } from '../components/dialog'
import { Table } from '../components/table'
import { count } from '../format'
import { Link, setParams, useSearch } from '../router'
import { useMay } from '../session'
import { Again } from '../work/again'
import { useList } from '../work/list'
import type { Dead, DeadGroup, Job, JobPage } from '../work/types'
import { nameOf } from '../work/words'
import '../styles/work.css'

const keyOf = (group: Pick<DeadGroup, 'queue' | 'name' | 'code'>) => JSON.stringify([group.queue, group.name, group.code])

export default function DeadPage() {
  const { data, error, reload } = useApi<Dead>('/api/dead', {}, { refreshMs: 10_000 })
  const cause = useSearch().get('cause') ?? ''
  const { why } = useMay('admin')
  const [many, setMany] = useState<DeadGroup | null>(null)
  const group = data?.groups.find((each) => keyOf(each) === cause)
  return (
    <Page
      title="Dead letters"
      sub={
        data
          ? `${count(data.jobs)}${data.more ? ' and more' : ''} jobs have used up their attempts, by what they failed of`
          : 'Jobs that have used up their attempts'
      }
    >
      <ErrorBox error={error} retry={reload} />
      {data ? (
        <Panel>
          <Table
            label="Causes"
            rows={[...data.groups].sort((a, b) => b.jobs - a.jobs)}
            id={keyOf}
            onOpen={(each) => setParams({ cause: keyOf(each) === cause ? '' : keyOf(each) }, {})}
            selected={cause || undefined}
            empty="No job is dead."
            columns={[
              { name: 'What', cell: (each) => <Text most={60}>{each.name}</Text> },
              { name: 'Why', cell: (each) => <code>{each.code}</code> },
              { name: 'Says', wide: true, cell: (each) => <Text most={110}>{each.error.message}</Text> },
              { name: 'Queue', wide: true, cell: (each) => <Text most={24}>{each.queue}</Text> },
              { name: 'Jobs', number: true, cell: (each) => count(each.jobs) },
              { name: 'Newest', cell: (each) => <Time at={each.newest} /> },
              { name: 'Oldest', wide: true, cell: (each) => <Time at={each.oldest} /> },
              {
                name: 'Again',
                cell: (each) => (
                  <Button small why={why} onClick={() => setMany(each)}>
                    Retry all…
                  </Button>
                ),
              },
            ]}
          />
        </Panel>
      ) : error ? null : (
        <Loading />
      )}
      {group ? <Group key={cause} group={group} /> : null}
      {many ? <Many group={many} onClose={() => setMany(null)} /> : null}
    </Page>
  )
}

// The jobs of one cause, of the pages that were read: the cause is no filter of the list, so pages may be short.
function Group({ group }: { group: DeadGroup }) {
  const { why } = useMay('call')
  const [again, setAgain] = useState<Job | null>(null)
  const list = useList<JobPage, Job>(
    '/api/jobs',
    { state: 'dead', queue: group.queue, limit: 100 },
    (page) => page.jobs,
    (job) => job.id,
  )
  const rows = list.data?.filter((job) => nameOf(job) === group.name && (job.error?.code ?? 'unknown') === group.code)
  return (
    <Panel
      title={
        <>
          <Text most={60}>{group.name}</Text> · <code>{group.code}</code>
        </>
      }
    >
      <ErrorBox error={list.error} retry={list.reload} />
      {rows ? (
        <Table
          label="Dead jobs of this cause"
          rows={rows}
          id={(job) => job.id}
          empty="Not among the newest; show more."
          more={list.more}
          loadingMore={list.loadingMore}
          columns={[
            {
              name: 'Job',
              cell: (job) => (
                <Link to={`/jobs/${job.id}`}>
                  <code>{job.id}</code>
                </Link>
              ),
            },
            { name: 'Says', cell: (job) => <Text most={140}>{job.error?.message}</Text> },
            { name: 'Died', cell: (job) => <Time at={job.finished} /> },
            { name: 'Key', wide: true, cell: (job) => <Text most={30}>{job.tenant}</Text> },
            {
              name: 'Again',
              cell: (job) => (
                <Button small why={why} onClick={() => setAgain(job)}>
                  Edit, retry…
                </Button>
              ),
            },
          ]}
        />
      ) : list.error ? null : (
        <Loading />
      )}
      {again ? <WithInput id={again.id} onClose={() => setAgain(null)} /> : null}
    </Panel>
  )
}

// Lists leave the input out; to edit it, the job is read whole.
function WithInput({ id, onClose }: { id: string; onClose: () => void }) {
  const { data, error } = useApi<Job>(`/api/jobs/${encodeURIComponent(id)}`)
  if (error) return <ErrorBox error={error} />
  return data ? <Again job={data} again={{ what: 'redrive', stage: '' }} onClose={onClose} /> : null
}

function Many({ group, onClose }: { group: DeadGroup; onClose: () => void }) {
  const [limit, setLimit] = useState(String(Math.min(group.jobs, 1000)))
  const [rate, setRate] = useState('')
  const [busy, setBusy] = useState(false)
  const [problem, setProblem] = useState<Problem | undefined>()
  const submit = async (event: FormEvent) => {
    event.preventDefault()
    setBusy(true)
    try {
      const made = await post<{ redriven: number; already: number }>('/api/dead/redrive', {
        queue: group.queue,
        name: group.name,
        code: group.code,
        limit: Number(limit),
        ...(rate.trim() ? { rate: rate.trim() } : {}),
      })
      toast(`${count(made.redriven)} submitted again${made.already ? `, ${count(made.already)} were before` : ''}.`)
      invalidate('/api/')
      onClose()
    } catch (why) {
      setProblem(why instanceof Problem ? why : new Problem(0, 'Not understood', String(why)))
      setBusy(false)
    }
  }
  return (
    <Dialog title={`Retry ${group.name}: ${group.code}`} onClose={onClose}>
      <form className="form" onSubmit={submit}>
        <p>Each of them is submitted once more, the oldest first, as a new job that points to it. Those that were driven again before are left alone.</p>
        <label>
          How many at most
          <input type="number" min={1} max={10000} required value={limit} onChange={(event) => setLimit(event.target.value)} />
        </label>
        <label>
          At what rate
          <input placeholder="at once, or 10/s, 100/m" value={rate} onChange={(event) => setRate(event.target.value)} />
        </label>
        <ErrorBox error={problem} />
        <div className="form-end">
          <Button onClick={onClose}>Leave them</Button>
          <Button kind="primary" type="submit" disabled={busy}>
            Retry
          </Button>
        </div>
      </form>
    </Dialog>
  )
}
