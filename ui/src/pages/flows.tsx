import { useApi } from '../api/query'
import { ErrorBox, Loading, Page, Panel, Text } from '../components/basic'
import { Table } from '../components/table'
import type { FlowBrief } from '../work/types'
import { versionOf } from '../work/words'

export default function FlowsPage() {
  const { data, error, reload } = useApi<{ flows: FlowBrief[] }>('/api/flows', {}, { refreshMs: 15_000 })
  return (
    <Page title="Flows" sub="Those in force: what `ballast serve` read from its folder of flows.">
      <ErrorBox error={error} retry={reload} />
      {data ? (
        <Panel>
          <Table
            label="Flows"
            rows={data.flows}
            id={(flow) => flow.flow}
            to={(flow) => `/flows/${encodeURIComponent(flow.flow)}`}
            empty="There is no flow: put one into flows/ beside the configuration."
            columns={[
              { name: 'Flow', cell: (flow) => <Text most={80}>{flow.flow}</Text> },
              { name: 'Version', cell: (flow) => <Text most={20}>{versionOf(flow.version)}</Text> },
              { name: 'Digest', wide: true, cell: (flow) => <code>{versionOf(flow.digest)}</code> },
              { name: 'Stages', number: true, cell: (flow) => flow.stages },
            ]}
          />
        </Panel>
      ) : error ? null : (
        <Loading />
      )}
    </Page>
  )
}
