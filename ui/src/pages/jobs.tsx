import type { FormEvent } from 'react'
import { Badge, Button, ErrorBox, Loading, Page, Panel, Status, Text, Time } from '../components/basic'
import { type Column, Table } from '../components/table'
import { setParams, useSearch } from '../router'
import { useList } from '../work/list'
import type { Job, JobPage } from '../work/types'
import { nameOf, took } from '../work/words'
import '../styles/work.css'

const kStates = ['queued', 'running', 'waiting', 'done', 'dead', 'cancelled']
// What the URL keeps, as the API names it, and as people do.
const kFields: [string, string][] = [
  ['flow', 'Flow'],
  ['task', 'Task'],
  ['operation', 'Operation'],
  ['queue', 'Queue'],
  ['tenant', 'Tenant'],
  ['tag', 'Tag'],
]

export const kJobColumns: Column<Job>[] = [
  { name: 'Job', cell: (job) => <Text most={60}>{nameOf(job)}</Text> },
  { name: 'State', cell: (job) => <Status value={job.state} /> },
  { name: 'Queue', wide: true, cell: (job) => <Text most={24}>{job.queue}</Text> },
  { name: 'Submitted', cell: (job) => <Time at={job.created} /> },
  { name: 'Took', number: true, cell: (job) => took(job, new Date()) },
  { name: 'Attempt', number: true, wide: true, cell: (job) => `${job.attempt} of ${job.attempts}` },
  { name: 'For', wide: true, cell: (job) => <Text most={28}>{job.user || job.feature || job.tenant}</Text> },
  {
    name: 'Why',
    wide: true,
    cell: (job) =>
      job.error ? (
        <Text most={70}>{`${job.error.code}: ${job.error.message}`}</Text>
      ) : (
        <span className="tags">
          {job.tags?.slice(0, 3).map((tag) => (
            <Badge key={tag}>
              <Text most={20}>{tag}</Text>
            </Badge>
          ))}
        </span>
      ),
  },
]

export default function JobsPage() {
  const search = useSearch()
  const filter = Object.fromEntries(['state', 'text', ...kFields.map(([name]) => name)].map((name) => [name, search.get(name) ?? '']))
  const list = useList<JobPage, Job>(
    '/api/jobs',
    { ...filter, limit: 50 },
    (page) => page.jobs,
    (job) => job.id,
    5000,
  )
  return (
    <Page title="Jobs" sub="Work that survives a crash: runs of flows, tasks of workers, calls that may wait.">
      <Filters filter={filter} />
      <ErrorBox error={list.error} retry={list.reload} />
      {list.data ? (
        <Panel>
          <Table
            label="Jobs"
            columns={kJobColumns}
            rows={list.data}
            id={(job) => job.id}
            to={(job) => `/jobs/${job.id}`}
            empty="No job is like that."
            more={list.more}
            loadingMore={list.loadingMore}
            dim={list.stale}
          />
        </Panel>
      ) : list.error ? null : (
        <Loading />
      )}
    </Page>
  )
}

function Filters({ filter }: { filter: Record<string, string> }) {
  const submit = (event: FormEvent<HTMLFormElement>) => {
    event.preventDefault()
    const form = new FormData(event.currentTarget)
    setParams(Object.fromEntries([...form].map(([name, value]) => [name, String(value).trim()])))
  }
  const active = Object.entries(filter).filter(([, value]) => value !== '')
  const hidden = active.filter(([name]) => name !== 'state' && name !== 'text')
  return (
    <form className="filters" onSubmit={submit} key={JSON.stringify(filter)} role="search" aria-label="Filter the jobs">
      <div className="segments" role="group" aria-label="State">
        {['', ...kStates].map((state) => (
          <button key={state} type="button" aria-pressed={filter.state === state} onClick={() => setParams({ state })}>
            {state || 'all'}
          </button>
        ))}
      </div>
      <input
        data-search
        name="text"
        type="search"
        placeholder="In input, output or error"
        aria-label="Text in input, output or error"
        defaultValue={filter.text}
      />
      <details className="filter-more" open={hidden.length > 0}>
        <summary>More filters{hidden.length > 0 ? ` (${hidden.length})` : ''}</summary>
        <div className="filter-fields">
          {kFields.map(([name, title]) => (
            <label key={name}>
              {title}
              <input name={name} defaultValue={filter[name]} />
            </label>
          ))}
        </div>
      </details>
      <Button type="submit">Search</Button>
      {active.length > 0 ? (
        <Button kind="quiet" onClick={() => setParams(Object.fromEntries(active.map(([name]) => [name, null])))}>
          Clear
        </Button>
      ) : null}
    </form>
  )
}
