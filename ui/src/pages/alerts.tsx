import { useState } from 'react'
import { Problem, post, remove } from '../api/client'
import { invalidate, useApi } from '../api/query'
import type { Alert, AlertRule, AlertState, Alerts, Silence, SilenceRequest } from '../api/types'
import { figure } from '../components/alert'
import { Badge, Button, Empty, ErrorBox, Loading, Page, Panel, Status, Text, Time } from '../components/basic'
import { Dialog, toast, toastProblem } from '../components/dialog'
import { Json } from '../components/json'
import { Table } from '../components/table'
import { clip, words } from '../format'
import { useParam } from '../router'
import { setTo } from '../rules'
import { useMay } from '../session'

const kStates: ('' | AlertState)[] = ['', 'firing', 'pending', 'silenced', 'resolved']

export default function AlertsPage() {
  const [state, setState] = useParam('state')
  const [open] = useParam('open')
  const { data, error, reload } = useApi<Alerts>('/api/alerts', { state, limit: 200 }, { refreshMs: 15_000 })
  const [silencing, setSilencing] = useState<Alert | 'any' | null>(null)
  const { why } = useMay()
  return (
    <Page
      title="Alerts"
      sub={data && data.false_alarm_rate !== null ? `The default rules raised ${data.false_alarm_rate} false alarms a day over real traffic` : undefined}
      actions={
        <Button why={why} onClick={() => setSilencing('any')}>
          New silence
        </Button>
      }
    >
      <div className="segments alert-tabs" role="group" aria-label="State">
        {kStates.map((each) => (
          <button key={each} type="button" aria-pressed={state === each} onClick={() => setState(each)}>
            {each || 'all'}
          </button>
        ))}
      </div>
      <ErrorBox error={error} retry={reload} />
      {data ? (
        <>
          {data.alerts.length === 0 ? (
            <Panel>
              <Empty>{state ? `Nothing is ${state}.` : 'No alert has been raised. The rules below keep watch.'}</Empty>
            </Panel>
          ) : null}
          {data.alerts.map((alert) => (
            <Card key={alert.id} alert={alert} open={alert.id === open} why={why} onSilence={() => setSilencing(alert)} />
          ))}
          <Silences silences={data.silences} why={why} />
          <Rules rules={data.rules} />
        </>
      ) : error ? null : (
        <Loading />
      )}
      {silencing ? <SilenceForm alert={silencing === 'any' ? null : silencing} rules={data?.rules ?? []} onClose={() => setSilencing(null)} /> : null}
    </Page>
  )
}

function Card({ alert, open, why, onSilence }: { alert: Alert; open: boolean; why: string; onSilence: () => void }) {
  const loud = alert.state === 'firing'
  return (
    <Panel
      className={loud ? 'panel-bad' : ''}
      title={
        <span className="row">
          <Status value={alert.state} />
          <Text most={160}>{alert.title}</Text>
        </span>
      }
      actions={
        alert.state === 'firing' || alert.state === 'pending' ? (
          <Button small why={why} onClick={onSilence}>
            Silence
          </Button>
        ) : null
      }
    >
      <div className="alert-body">
        {alert.value !== null ? (
          <div className="alert-figure">
            <b className="number">{figure(alert.value, alert.unit)}</b>
            {alert.threshold !== null ? <span className="muted small">fires at {figure(alert.threshold, alert.unit)}</span> : null}
          </div>
        ) : null}
        <div className="column alert-text">
          <p>
            <Text most={600}>{alert.detail}</Text>
          </p>
          <div className="row small muted">
            <Badge>{alert.severity}</Badge>
            <span>
              since <Time at={alert.since} />
            </span>
            {alert.resolved_at ? (
              <span>
                resolved <Time at={alert.resolved_at} />
              </span>
            ) : null}
            <span>
              rule <Text most={40}>{alert.rule}</Text>
            </span>
            {Object.entries(alert.labels).map(([name, value]) => (
              <Badge key={name}>
                {clip(name, 30)}: <Text most={50}>{value}</Text>
              </Badge>
            ))}
          </div>
          {Object.keys(alert.evidence).length > 0 ? (
            <details className="small" open={open}>
              <summary>The figures it went by</summary>
              <Json value={alert.evidence} label="the evidence" />
            </details>
          ) : null}
        </div>
      </div>
    </Panel>
  )
}

function Silences({ silences, why }: { silences: Silence[]; why: string }) {
  const end = async (silence: Silence) => {
    try {
      await remove(`/api/alerts/silences/${encodeURIComponent(silence.id)}`)
      toast('The silence is over.')
      invalidate('/api/alerts')
    } catch (problem) {
      toastProblem(problem)
    }
  }
  if (silences.length === 0) return null
  return (
    <Panel title="Silences">
      <Table
        label="Silences"
        rows={silences}
        id={(row) => row.id}
        columns={[
          {
            name: 'Of',
            cell: (row) => (
              <Text most={60}>
                {[row.rule, ...Object.entries(row.labels ?? {}).map(([name, value]) => `${name}: ${value}`)].filter(Boolean).join(', ') || 'everything'}
              </Text>
            ),
          },
          { name: 'Why', wrap: true, cell: (row) => <Text most={120}>{row.note}</Text> },
          { name: 'By', wide: true, cell: (row) => <Text most={40}>{row.by}</Text> },
          { name: 'Ends', cell: (row) => <Time at={row.until} /> },
          {
            name: 'End it',
            cell: (row) => (
              <Button small why={why} onClick={() => void end(row)}>
                End now
              </Button>
            ),
          },
        ]}
      />
    </Panel>
  )
}

function Rules({ rules }: { rules: AlertRule[] }) {
  return (
    <Panel title="Rules">
      <Table
        label="Rules in force"
        rows={rules}
        id={(row) => row.name}
        empty="No rule is in force."
        columns={[
          { name: 'Rule', cell: (row) => <Text most={60}>{row.name}</Text> },
          { name: 'Kind', wide: true, cell: (row) => <Text most={40}>{words(row.kind)}</Text> },
          { name: 'Severity', cell: (row) => <Status value={row.severity} /> },
          {
            name: 'Set to',
            wrap: true,
            cell: (row) => <Text most={240}>{setTo(row, figure)}</Text>,
          },
        ]}
      />
    </Panel>
  )
}

const kFor: [string, string][] = [
  ['30m', '30 minutes'],
  ['2h', '2 hours'],
  ['8h', '8 hours'],
  ['1d', 'a day'],
  ['7d', '7 days'],
]

function SilenceForm({ alert, rules, onClose }: { alert: Alert | null; rules: AlertRule[]; onClose: () => void }) {
  const labels = alert ? Object.entries(alert.labels) : []
  const [rule, setRule] = useState(alert?.rule ?? '')
  const [only, setOnly] = useState(labels.length > 0)
  const [how, setHow] = useState('2h')
  const [note, setNote] = useState('')
  const [problem, setProblem] = useState<Problem>()
  const [busy, setBusy] = useState(false)
  const save = async () => {
    setBusy(true)
    const body: SilenceRequest = {
      for: how,
      note: note.trim(),
      ...(rule ? { rule } : {}),
      ...(only && labels.length > 0 ? { labels: Object.fromEntries(labels) } : {}),
    }
    try {
      await post('/api/alerts/silences', body)
      toast('Silenced.')
      invalidate('/api/alerts')
      invalidate('/api/overview')
      onClose()
    } catch (e) {
      setProblem(e instanceof Problem ? e : new Problem(0, 'Not understood', String(e)))
      setBusy(false)
    }
  }
  return (
    <Dialog title="Silence" onClose={onClose}>
      <form
        className="form"
        onSubmit={(event) => {
          event.preventDefault()
          void save()
        }}
      >
        <label>
          Rule
          <select value={rule} onChange={(event) => setRule(event.target.value)}>
            {alert ? null : <option value="">every rule</option>}
            {[...new Set([...(alert ? [alert.rule] : []), ...rules.map((each) => each.name)])].map((name) => (
              <option key={name} value={name}>
                {clip(name, 60)}
              </option>
            ))}
          </select>
        </label>
        {labels.length > 0 ? (
          <label className="check">
            <input type="checkbox" checked={only} onChange={(event) => setOnly(event.target.checked)} />
            only where {clip(labels.map(([name, value]) => `${name} is ${value}`).join(' and '), 120)}
          </label>
        ) : null}
        <label>
          For
          <select value={how} onChange={(event) => setHow(event.target.value)}>
            {kFor.map(([value, words]) => (
              <option key={value} value={value}>
                {words}
              </option>
            ))}
          </select>
        </label>
        <label>
          Why
          <input value={note} maxLength={500} required onChange={(event) => setNote(event.target.value)} />
        </label>
        <ErrorBox error={problem} />
        <div className="form-end">
          <Button type="submit" kind="primary" disabled={busy || note.trim() === ''}>
            Silence
          </Button>
        </div>
      </form>
    </Dialog>
  )
}
