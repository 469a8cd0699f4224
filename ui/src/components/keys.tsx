// Callers' keys: made, changed, rotated, revoked. A secret is shown once, when it is made.

import { useState } from 'react'
import { Problem, patch, post, remove } from '../api/client'
import { invalidate, useApi } from '../api/query'
import type { Key, KeyChange, Keys, KeyWithSecret } from '../api/types'
import { useMay } from '../session'
import { Badge, Button, Copy, ErrorBox, Loading, Panel, Text, Time } from './basic'
import { Dialog, toast } from './dialog'
import { Table } from './table'

type Doing = { what: 'new' } | { what: 'change' | 'rotate' | 'revoke'; key: Key }

export function KeysPanel() {
  const [all, setAll] = useState(false)
  const [doing, setDoing] = useState<Doing | null>(null)
  const [secret, setSecret] = useState<KeyWithSecret | null>(null)
  const { may, why } = useMay()
  const { data, error, reload } = useApi<Keys>(may ? '/api/keys' : null, { revoked: all ? 'true' : '' })
  const made = (key: KeyWithSecret | null) => {
    setDoing(null)
    setSecret(key)
    invalidate('/api/keys')
  }
  if (!may) return null
  return (
    <Panel
      title="Keys"
      actions={
        <>
          <label className="check">
            <input type="checkbox" checked={all} onChange={(event) => setAll(event.target.checked)} />
            revoked too
          </label>
          <Button small why={why} onClick={() => setDoing({ what: 'new' })}>
            New key
          </Button>
        </>
      }
    >
      <ErrorBox error={error} retry={reload} />
      {data ? <List keys={data.keys} why={why} set={setDoing} /> : error ? null : <Loading />}
      {doing?.what === 'new' || doing?.what === 'change' ? (
        <KeyForm of={doing.what === 'change' ? doing.key : null} onDone={made} onClose={() => setDoing(null)} />
      ) : null}
      {doing?.what === 'rotate' ? <Rotate of={doing.key} onDone={made} onClose={() => setDoing(null)} /> : null}
      {doing?.what === 'revoke' ? <Revoke of={doing.key} onDone={() => made(null)} onClose={() => setDoing(null)} /> : null}
      {secret ? <Secret of={secret} onClose={() => setSecret(null)} /> : null}
    </Panel>
  )
}

function List({ keys, why, set }: { keys: Key[]; why: string; set: (doing: Doing) => void }) {
  return (
    <Table
      label="Keys"
      rows={keys}
      id={(row) => row.id}
      empty="No key yet."
      columns={[
        { name: 'Name', cell: (row) => <Text most={40}>{row.name}</Text> },
        { name: 'Begins', wide: true, roomy: true, cell: (row) => <code>{row.prefix}</code> },
        {
          name: 'May',
          cell: (row) => (
            <span className="tags">
              {row.scopes.split(',').map((scope) => (
                <Badge key={scope}>{scope}</Badge>
              ))}
            </span>
          ),
        },
        {
          name: 'Models',
          wide: true,
          roomy: true,
          cell: (row) => (
            <Text most={40} empty="all">
              {row.models?.join(', ')}
            </Text>
          ),
        },
        { name: 'Counts for', wide: true, cell: (row) => <Text most={40}>{[row.team, row.user, row.feature].filter(Boolean).join(' · ')}</Text> },
        { name: 'Last used', cell: (row) => <Time at={row.last_used} /> },
        {
          name: 'State',
          wide: true,
          cell: (row) =>
            row.revoked ? (
              <Badge tone="bad">revoked</Badge>
            ) : row.configured ? (
              <Badge>configured</Badge>
            ) : row.expires ? (
              <>
                ends <Time at={row.expires} />
              </>
            ) : (
              <Badge tone="good">in use</Badge>
            ),
        },
        {
          name: 'Change it',
          cell: (row) =>
            row.configured || row.revoked ? (
              <span className="muted">{row.revoked ? 'nothing more' : 'in the configuration'}</span>
            ) : (
              <span className="row nowrap">
                <Button small why={why} onClick={() => set({ what: 'change', key: row })}>
                  Change
                </Button>
                <Button small why={why} onClick={() => set({ what: 'rotate', key: row })}>
                  Rotate
                </Button>
                <Button small kind="danger" why={why} onClick={() => set({ what: 'revoke', key: row })}>
                  Revoke
                </Button>
              </span>
            ),
        },
      ]}
    />
  )
}

const kScopes: [string, string][] = [
  ['call', 'ask models'],
  ['usage', 'see its own usage'],
  ['read', 'see everything'],
  ['work', 'submit jobs'],
  ['approve', 'decide approvals'],
  ['admin', 'change everything'],
]

const asProblem = (why: unknown) => (why instanceof Problem ? why : new Problem(0, 'Not understood', String(why)))

function KeyForm({ of, onDone, onClose }: { of: Key | null; onDone: (made: KeyWithSecret | null) => void; onClose: () => void }) {
  const [name, setName] = useState(of?.name ?? '')
  const [scopes, setScopes] = useState<string[]>(of ? of.scopes.split(',') : ['call'])
  const [models, setModels] = useState(of?.models?.join(', ') ?? '')
  const [whose, setWhose] = useState({ team: of?.team ?? '', user: of?.user ?? '', feature: of?.feature ?? '' })
  const [expires, setExpires] = useState(of?.expires?.slice(0, 10) ?? '')
  const [problem, setProblem] = useState<Problem>()
  const [busy, setBusy] = useState(false)
  const save = async () => {
    setBusy(true)
    const list = models.split(',').map((each) => each.trim())
    // A day names its last moment; an untouched one stays as it was, to the second.
    const end = expires === (of?.expires?.slice(0, 10) ?? '') ? (of?.expires ?? null) : expires ? `${expires}T23:59:59Z` : null
    const body: KeyChange = { name: name.trim(), scopes, models: list.filter(Boolean), ...whose, ...(of || end ? { expires: end } : {}) }
    try {
      if (of) await patch<Key>(`/api/keys/${encodeURIComponent(of.id)}`, body)
      toast(of ? 'The key is changed.' : 'The key is made.')
      onDone(of ? null : await post<KeyWithSecret>('/api/keys', body))
    } catch (why) {
      setProblem(asProblem(why))
      setBusy(false)
    }
  }
  return (
    <Dialog title={of ? `Change the key ${of.name}` : 'New key'} onClose={onClose}>
      <form
        className="form"
        onSubmit={(event) => {
          event.preventDefault()
          void save()
        }}
      >
        <label>
          Name
          <input value={name} required maxLength={128} onChange={(event) => setName(event.target.value)} />
        </label>
        <fieldset>
          <legend>May</legend>
          {kScopes.map(([scope, words]) => (
            <label key={scope} className="check">
              <input
                type="checkbox"
                checked={scopes.includes(scope)}
                onChange={(event) => setScopes(event.target.checked ? [...scopes, scope] : scopes.filter((each) => each !== scope))}
              />
              {scope}: {words}
            </label>
          ))}
        </fieldset>
        <label>
          Routes and models it may ask for
          <input value={models} placeholder="all" onChange={(event) => setModels(event.target.value)} />
          <small>Commas between.</small>
        </label>
        <div className="form-row">
          {(['team', 'user', 'feature'] as const).map((member) => (
            <label key={member}>
              {member[0]!.toUpperCase() + member.slice(1)}
              <input value={whose[member]} maxLength={128} onChange={(event) => setWhose({ ...whose, [member]: event.target.value })} />
            </label>
          ))}
        </div>
        <label>
          Ends (UTC)
          <input type="date" value={expires} onChange={(event) => setExpires(event.target.value)} />
        </label>
        <ErrorBox error={problem} />
        <div className="form-end">
          <Button type="submit" kind="primary" disabled={busy || name.trim() === '' || scopes.length === 0}>
            {of ? 'Change it' : 'Make it'}
          </Button>
        </div>
      </form>
    </Dialog>
  )
}

const kOverlaps: [number, string][] = [
  [0, 'not at all'],
  [3600, 'for an hour'],
  [86400, 'for a day'],
  [604800, 'for a week'],
]

function Rotate({ of, onDone, onClose }: { of: Key; onDone: (made: KeyWithSecret) => void; onClose: () => void }) {
  const [overlap, setOverlap] = useState(86400)
  const [problem, setProblem] = useState<Problem>()
  const [busy, setBusy] = useState(false)
  const go = async () => {
    setBusy(true)
    try {
      onDone(await post<KeyWithSecret>(`/api/keys/${encodeURIComponent(of.id)}/rotate`, { overlap }))
    } catch (why) {
      setProblem(asProblem(why))
      setBusy(false)
    }
  }
  return (
    <Dialog title={`Rotate the key ${of.name}`} onClose={onClose}>
      <div className="form">
        <p>It gets a new secret. Its limits, budgets and history stay.</p>
        <label>
          The old secret stays good
          <select value={overlap} onChange={(event) => setOverlap(Number(event.target.value))}>
            {kOverlaps.map(([seconds, words]) => (
              <option key={seconds} value={seconds}>
                {words}
              </option>
            ))}
          </select>
        </label>
        <ErrorBox error={problem} />
        <div className="form-end">
          <Button kind="primary" disabled={busy} onClick={() => void go()}>
            Rotate it
          </Button>
        </div>
      </div>
    </Dialog>
  )
}

function Revoke({ of, onDone, onClose }: { of: Key; onDone: () => void; onClose: () => void }) {
  const [problem, setProblem] = useState<Problem>()
  const [busy, setBusy] = useState(false)
  const go = async () => {
    setBusy(true)
    try {
      await remove(`/api/keys/${encodeURIComponent(of.id)}`)
      toast('The key is revoked.')
      onDone()
    } catch (why) {
      setProblem(asProblem(why))
      setBusy(false)
    }
  }
  return (
    <Dialog title={`Revoke the key ${of.name}?`} onClose={onClose}>
      <div className="form">
        <p>Who calls with it is refused at once, and it cannot be brought back. Its history stays.</p>
        <ErrorBox error={problem} />
        <div className="form-end">
          <Button onClick={onClose}>Keep it</Button>
          <Button kind="danger" disabled={busy} onClick={() => void go()}>
            Revoke it
          </Button>
        </div>
      </div>
    </Dialog>
  )
}

function Secret({ of, onClose }: { of: KeyWithSecret; onClose: () => void }) {
  return (
    <Dialog title={`The secret of ${of.name}`} onClose={onClose}>
      <div className="form">
        <p>It is shown this once; only its digest is kept.</p>
        <p className="secret">
          <code>{of.secret}</code>
          <Copy text={of.secret} label="Copy the secret" />
        </p>
        <div className="form-end">
          <Button kind="primary" onClick={onClose}>
            I have it
          </Button>
        </div>
      </div>
    </Dialog>
  )
}
