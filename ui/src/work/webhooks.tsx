import { useState } from 'react'
import { post } from '../api/client'
import { useApi } from '../api/query'
import { Button, ErrorBox, Loading, Panel, Status, Text, Time } from '../components/basic'
import { Dialog } from '../components/dialog'
import { Json } from '../components/json'
import { Table } from '../components/table'
import { Link, useParam } from '../router'
import { useMay } from '../session'
import { change } from './change'
import { useList } from './list'
import type { Webhook, WebhookPage } from './types'

const kStates = ['', 'pending', 'delivered', 'dead']

export function Webhooks() {
  const [state, setState] = useParam('webhooks')
  const list = useList<WebhookPage, Webhook>(
    '/api/webhooks',
    { state, limit: 20 },
    (page) => page.webhooks,
    (each) => each.id,
    10_000,
  )
  const { why } = useMay('admin')
  const [shown, setShown] = useState('')
  const again = (webhook: Webhook) => change(() => post(`/api/webhooks/${encodeURIComponent(webhook.id)}/redrive`), 'It is delivered again.', '/api/webhooks')
  return (
    <Panel
      title="Webhooks"
      actions={
        <div className="segments" role="group" aria-label="State">
          {kStates.map((each) => (
            <button key={each} type="button" aria-pressed={state === each} onClick={() => setState(each)}>
              {each || 'all'}
            </button>
          ))}
        </div>
      }
    >
      <ErrorBox error={list.error} retry={list.reload} />
      {list.data ? (
        <Table
          label="Webhooks"
          rows={list.data}
          id={(webhook) => webhook.id}
          onOpen={(webhook) => setShown(webhook.id)}
          empty="None is like that."
          more={list.more}
          loadingMore={list.loadingMore}
          columns={[
            { name: 'To', cell: (webhook) => <Text most={60}>{webhook.url}</Text> },
            { name: 'State', cell: (webhook) => <Status value={webhook.state} detail={webhook.status ? String(webhook.status) : undefined} /> },
            { name: 'Tells', cell: (webhook) => <code>{webhook.type}</code> },
            { name: 'Of', wide: true, cell: (webhook) => (webhook.job ? <Link to={`/jobs/${webhook.job}`}>{webhook.job}</Link> : '–') },
            { name: 'Attempts', number: true, wide: true, cell: (webhook) => webhook.attempts },
            { name: 'Made', cell: (webhook) => <Time at={webhook.created} /> },
            { name: 'Why', wide: true, cell: (webhook) => <Text most={60}>{webhook.why}</Text> },
            {
              name: 'By hand',
              cell: (webhook) => (
                <Button small why={why} disabled={webhook.state === 'pending'} onClick={() => void again(webhook)}>
                  Deliver again
                </Button>
              ),
            },
          ]}
        />
      ) : list.error ? null : (
        <Loading />
      )}
      {shown ? <Payload id={shown} onClose={() => setShown('')} /> : null}
    </Panel>
  )
}

function Payload({ id, onClose }: { id: string; onClose: () => void }) {
  const { data, error } = useApi<Webhook>(`/api/webhooks/${encodeURIComponent(id)}`)
  return (
    <Dialog title="What it tells" onClose={onClose} wide>
      <ErrorBox error={error} />
      {data ? <Json value={data.payload} label="payload" /> : error ? null : <Loading />}
    </Dialog>
  )
}
