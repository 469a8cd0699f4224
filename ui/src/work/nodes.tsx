import { useApi } from '../api/query'
import { ErrorBox, Loading, Panel, Status, Text, Time } from '../components/basic'
import { Table } from '../components/table'
import { bytes, count, span } from '../format'
import type { Nodes as Answer } from './types'

// The processes of this installation. What a node says of itself may come from another version: each figure may be missing.
export function Nodes() {
  const { data, error, reload } = useApi<Answer>('/api/nodes', {}, { refreshMs: 3_000 })
  return (
    <Panel title="Nodes">
      <ErrorBox error={error} retry={reload} />
      {data ? (
        <Table
          label="Nodes"
          rows={data.nodes}
          id={(node) => `${node.slot} ${node.name} ${node.since}`}
          empty="No node says that it is there."
          columns={[
            { name: 'Node', cell: (node) => <Text most={40}>{node.address || node.name}</Text> },
            { name: 'State', cell: (node) => <Status value={node.state} detail={node.name === data.self ? 'answers here' : undefined} /> },
            { name: 'Beat', number: true, cell: (node) => `${span(node.beat_age_s)} ago` },
            { name: 'Calls', number: true, cell: (node) => count(node.load.calls) },
            { name: 'Leases', number: true, cell: (node) => count(node.load.jobs?.leased) },
            { name: 'Ready', number: true, wide: true, cell: (node) => count(node.load.jobs?.ready) },
            { name: 'Memory', number: true, wide: true, cell: (node) => bytes(node.load.memory_bytes) },
            { name: 'Version', wide: true, cell: (node) => <Text most={20}>{node.version}</Text> },
            { name: 'Since', wide: true, cell: (node) => <Time at={node.since} /> },
            { name: 'Does for all', wide: true, cell: (node) => <Text most={60}>{node.duties.join(', ')}</Text> },
          ]}
        />
      ) : error ? null : (
        <Loading />
      )}
    </Panel>
  )
}
