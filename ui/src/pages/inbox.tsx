import { useEffect, useMemo } from 'react'
import { useApi } from '../api/query'
import { Empty, ErrorBox, Loading, Page, Panel, Status, Text, Time } from '../components/basic'
import { type Column, Table } from '../components/table'
import { setParams, useParam } from '../router'
import { useMay } from '../session'
import { Decide } from '../work/decide'
import { useList } from '../work/list'
import type { Approval, ApprovalPage } from '../work/types'
import '../styles/work.css'

const kStates = ['', 'approved', 'edited', 'rejected', 'expired', 'withdrawn', 'any']
const kColumns: Column<Approval>[] = [
  {
    name: 'Asked',
    cell: (approval) => (
      <>
        <Text most={40}>{approval.flow}</Text> · <Text most={40}>{approval.stage}</Text>
      </>
    ),
  },
  { name: 'State', wide: true, cell: (approval) => <Status value={approval.state} /> },
  { name: 'Since', cell: (approval) => <Time at={approval.asked} /> },
  { name: 'Until', cell: (approval) => <Time at={approval.expires} /> },
  { name: 'Of', wide: true, cell: (approval) => <Text most={60}>{approval.assignees.join(', ')}</Text> },
]

// What runs ask of people. /inbox/ID has one of them open: j and k walk, Enter opens, a approves, e edits, r rejects.
export default function InboxPage({ params }: { params: Record<string, string> }) {
  const { may, why } = useMay('approve')
  const [state] = useParam('state')
  const id = params.id ?? ''
  const list = useList<ApprovalPage, Approval>(
    may ? '/api/approvals' : null,
    { state, limit: 100 },
    (page) => page.approvals,
    (approval) => approval.id,
    5000,
  )
  const one = useApi<Approval>(may && id ? `/api/approvals/${encodeURIComponent(id)}` : null)
  // Never the one before, while this one is on its way: a key that is pressed is meant for this one.
  const asked = one.data?.id === id ? one.data : undefined
  const next = useMemo(() => {
    const at = list.data?.findIndex((approval) => approval.id === id) ?? -1
    return at < 0 ? list.data?.[0]?.id : (list.data?.[at + 1] ?? list.data?.[at - 1])?.id
  }, [list.data, id])
  const shown = asked?.id
  useEffect(() => {
    if (shown) document.getElementById('asked')?.focus()
  }, [shown])
  return (
    <Page title="Inbox" sub="What runs ask of people: nothing goes on before somebody has looked.">
      {may ? (
        <>
          <div className="segments" role="group" aria-label="State">
            {kStates.map((each) => (
              <button key={each} type="button" aria-pressed={state === each} onClick={() => setParams({ state: each })}>
                {each || 'pending'}
              </button>
            ))}
          </div>
          <ErrorBox error={list.error} retry={list.reload} />
          <div className={id ? 'inbox inbox-open' : 'inbox'}>
            {list.data ? (
              <Panel className="inbox-list">
                <Table
                  label="Approvals"
                  columns={id ? kColumns.slice(0, 3) : kColumns}
                  rows={list.data}
                  id={(approval) => approval.id}
                  to={(approval) => `/inbox/${approval.id}${state ? `?state=${state}` : ''}`}
                  selected={id || undefined}
                  empty={state ? 'None is like that.' : 'Nobody is asked for anything.'}
                  more={list.more}
                  loadingMore={list.loadingMore}
                />
              </Panel>
            ) : list.error ? null : (
              <Loading />
            )}
            {id ? (
              <Panel className="inbox-one">
                {asked ? <Decide key={asked.id} approval={asked} next={next} /> : one.error ? <ErrorBox error={one.error} retry={one.reload} /> : <Loading />}
              </Panel>
            ) : null}
          </div>
        </>
      ) : (
        <Empty>{why}</Empty>
      )}
    </Page>
  )
}
