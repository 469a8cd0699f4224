import { useState } from 'react'
import { ErrorBox, Loading, Panel, Text, Time } from '../components/basic'
import { Dialog } from '../components/dialog'
import { Json } from '../components/json'
import { Table } from '../components/table'
import { useParam } from '../router'
import { useMay } from '../session'
import { useList } from './list'
import type { AuditEntry, AuditPage } from './types'

// Who did what by hand. `ballast audit verify` proves that nothing was taken out or changed.
export function Audit() {
  const { may } = useMay('read')
  const [chain, setChain] = useParam('chain')
  const [shown, setShown] = useState<AuditEntry | null>(null)
  const list = useList<AuditPage, AuditEntry>(
    may ? '/api/audit' : null,
    { chain, limit: 30 },
    (page) => page.entries,
    (entry) => `${entry.chain} ${entry.seq}`,
    15_000,
  )
  if (!may) return null
  return (
    <Panel
      title="Audit trail"
      actions={
        <label className="check">
          Chain
          <input
            list="chains"
            defaultValue={chain}
            onBlur={(event) => setChain(event.target.value.trim())}
            onKeyDown={(event) => event.key === 'Enter' && setChain(event.currentTarget.value.trim())}
          />
        </label>
      }
    >
      <ErrorBox error={list.error} retry={list.reload} />
      {list.data ? (
        <Table
          label="Audit trail"
          rows={list.data}
          id={(entry) => `${entry.chain} ${entry.seq}`}
          onOpen={setShown}
          empty="Nothing was done by hand yet."
          more={list.more}
          loadingMore={list.loadingMore}
          columns={[
            { name: 'Did', cell: (entry) => <Text most={40}>{entry.action}</Text> },
            { name: 'To', cell: (entry) => <Text most={50}>{entry.subject}</Text> },
            { name: 'Who', cell: (entry) => <Text most={40}>{entry.actor}</Text> },
            { name: 'When', cell: (entry) => <Time at={entry.at} /> },
            { name: 'Chain', wide: true, cell: (entry) => <Text most={40}>{entry.chain}</Text> },
            { name: 'No.', number: true, wide: true, cell: (entry) => entry.seq },
          ]}
        />
      ) : list.error ? null : (
        <Loading />
      )}
      {shown ? (
        <Dialog title={shown.action} onClose={() => setShown(null)} wide>
          <Json value={shown} open={3} label="entry" />
        </Dialog>
      ) : null}
    </Panel>
  )
}
