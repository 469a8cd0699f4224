import { useMemo } from 'react'
import { useApi } from '../api/query'
import { ErrorBox, Facts, Loading, Page, Panel, Text, Time } from '../components/basic'
import { Json } from '../components/json'
import { Table } from '../components/table'
import { useParam } from '../router'
import { FlowGraph } from '../work/flowgraph'
import { useList } from '../work/list'
import type { FlowWhole, Job, JobPage } from '../work/types'
import { versionOf } from '../work/words'
import { kJobColumns } from './jobs'
import '../styles/work.css'

export default function FlowPage({ params }: { params: Record<string, string> }) {
  const name = params.name ?? ''
  const { data, error, reload } = useApi<FlowWhole>(`/api/flows/${encodeURIComponent(name)}`)
  const runs = useList<JobPage, Job>(
    '/api/jobs',
    { flow: name, limit: 50 },
    (page) => page.jobs,
    (job) => job.id,
    5000,
  )
  const [selected, select] = useParam('stage')
  const nodes = useMemo(
    () => (data?.stages ?? []).map((stage) => ({ name: stage.stage, after: stage.after, kind: stage.kind, risk: stage.risk ?? '' })),
    [data],
  )
  const versions = useMemo(() => seen(runs.data ?? []), [runs.data])
  return (
    <Page title={name} sub={data ? `Flow, version ${versionOf(data.version)}, ${data.stages.length} stages` : 'Flow'}>
      <ErrorBox error={error} retry={reload} />
      {data ? (
        <>
          <Panel title="Graph" wide>
            <FlowGraph nodes={nodes} selected={selected} onSelect={select} />
          </Panel>
          <div className="grid-2">
            <Panel title="Versions">
              <p className="muted">In force, and those that the newest runs have: a run finishes with the version it began with.</p>
              <Table
                label="Versions"
                rows={[
                  ...new Map([[data.digest, { digest: data.digest, runs: 0, newest: '' }], ...versions.map((each) => [each.digest, each] as const)]).values(),
                ]}
                id={(version) => version.digest}
                columns={[
                  { name: 'Version', cell: (version) => <code>{versionOf(version.digest)}</code> },
                  { name: '', cell: (version) => (version.digest === data.digest ? 'in force' : '') },
                  { name: 'Runs', number: true, cell: (version) => version.runs },
                  { name: 'Newest', cell: (version) => <Time at={version.newest} /> },
                ]}
              />
            </Panel>
            <Panel title="Facts">
              <Facts
                rows={[
                  ['Version', <Text key="v">{versionOf(data.version)}</Text>],
                  ['Digest', <code key="d">{data.digest}</code>],
                ]}
              />
              {data.input ? (
                <>
                  <h3>Input</h3>
                  <Json value={data.input} label="schema" open={1} />
                </>
              ) : null}
            </Panel>
          </div>
        </>
      ) : error ? null : (
        <Loading />
      )}
      <Panel title="Runs">
        <ErrorBox error={runs.error} retry={runs.reload} />
        {runs.data ? (
          <Table
            label="Runs"
            columns={kJobColumns}
            rows={runs.data}
            id={(job) => job.id}
            to={(job) => `/jobs/${job.id}`}
            empty="No run is kept."
            more={runs.more}
            loadingMore={runs.loadingMore}
          />
        ) : runs.error ? null : (
          <Loading />
        )}
      </Panel>
      {data ? (
        <Panel title="Source">
          {/* biome-ignore lint/a11y/noNoninteractiveTabindex: what scrolls must be reachable by keyboard */}
          <section className="source" aria-label="The flow's file" tabIndex={0}>
            <pre>{data.source.trim()}</pre>
          </section>
        </Panel>
      ) : null}
    </Page>
  )
}

function seen(jobs: readonly Job[]): { digest: string; runs: number; newest: string }[] {
  const found = new Map<string, { digest: string; runs: number; newest: string }>()
  for (const job of jobs) {
    if (!job.version) continue
    const known = found.get(job.version)
    if (known) known.runs++
    else found.set(job.version, { digest: job.version, runs: 1, newest: job.created })
  }
  return [...found.values()]
}
