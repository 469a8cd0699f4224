// One question to a person: exactly what will happen, and the answer. What is sent names the digest of what was shown, so nobody answers what
// has changed meanwhile.

import { type ReactNode, useMemo, useState } from 'react'
import { Problem, post } from '../api/client'
import { invalidate, useApi } from '../api/query'
import { Button, Copy, ErrorBox, Facts, Status, Text, Time } from '../components/basic'
import { toast } from '../components/dialog'
import { Json } from '../components/json'
import { useShortcuts } from '../keys'
import { go, Link } from '../router'
import { useMay } from '../session'
import type { Approval, FlowWhole } from './types'
import { at, editable, parsed, withAt } from './words'

export function Decide({ approval, next }: { approval: Approval; next: string | undefined }) {
  const { why } = useMay('approve')
  const pending = approval.state === 'pending'
  const edit = editable(approval)
  const [editing, setEditing] = useState(false)
  const [value, setValue] = useState(approval.shown)
  const [broken, setBroken] = useState('')
  const [note, setNote] = useState('')
  const [busy, setBusy] = useState(false)
  const [problem, setProblem] = useState<Problem | undefined>()
  const answer = async (what: 'approve' | 'edit' | 'reject') => {
    if (busy || why || !pending) return
    setBusy(true)
    setProblem(undefined)
    try {
      await post(`/api/approvals/${encodeURIComponent(approval.id)}/${what}`, {
        digest: approval.digest,
        ...(note ? { note } : {}),
        ...(what === 'edit' ? { value } : {}),
      })
      toast(what === 'reject' ? 'Rejected.' : what === 'edit' ? 'Approved as edited.' : 'Approved.')
      go(next && next !== approval.id ? `/inbox/${next}` : '/inbox')
      invalidate('/api/approvals')
      invalidate('/api/jobs')
    } catch (e) {
      setProblem(e instanceof Problem ? e : new Problem(0, 'Not understood', String(e)))
      setBusy(false)
      // Somebody else was faster, or it has changed: what stands now is shown.
      if (e instanceof Problem && e.status === 409) invalidate('/api/approvals')
    }
  }
  const shortcuts = [
    { keys: 'a', what: 'Approve what is shown', run: () => void answer('approve') },
    { keys: 'r', what: 'Reject: to the note first', run: () => document.getElementById('note')?.focus() },
    ...(edit.may ? [{ keys: 'e', what: 'Edit', run: () => setEditing(true) }] : []),
  ]
  // biome-ignore lint/correctness/useExhaustiveDependencies: the list's closures read what is now
  useShortcuts(useMemo(() => (pending && !why && !editing ? shortcuts : []), [pending, why, editing, busy, note, approval]))
  return (
    <article>
      <div className="panel-head">
        <h2 id="asked" tabIndex={-1}>
          <Text most={60}>{approval.stage}</Text> <span className="muted">of</span> <Text most={60}>{approval.flow}</Text>
        </h2>
        <Status value={approval.state} />
      </div>
      <Facts rows={facts(approval)} />
      <h3>{pending ? 'What goes on if you approve, exactly' : 'What was shown'}</h3>
      {editing ? (
        <Edit approval={approval} paths={edit.paths} value={value} onChange={setValue} onBroken={setBroken} />
      ) : (
        <div className="shown">
          <Json value={approval.shown} open={6} label="what is shown" />
        </div>
      )}
      {pending ? <Then approval={approval} /> : null}
      <p className="muted digest">
        digest <code>{approval.digest.slice(0, 16)}…</code>
        <Copy text={approval.digest} label="Copy the digest" />
      </p>
      <ErrorBox error={problem} />
      {pending ? (
        <form
          className="form"
          onSubmit={(event) => {
            event.preventDefault()
            void answer(editing ? 'edit' : 'approve')
          }}
        >
          <label>
            Note
            <input
              id="note"
              value={note}
              maxLength={2000}
              onChange={(event) => setNote(event.target.value)}
              placeholder="Why, for the record"
              disabled={why !== ''}
            />
          </label>
          <div className="form-end">
            <Button kind="danger" why={why} disabled={busy} onClick={() => void answer('reject')}>
              Reject
            </Button>
            {edit.may && !editing ? (
              <Button why={why} disabled={busy} onClick={() => setEditing(true)}>
                Edit
              </Button>
            ) : null}
            {editing ? (
              <Button
                disabled={busy}
                onClick={() => {
                  setEditing(false)
                  setValue(approval.shown)
                  setBroken('')
                }}
              >
                Leave it as it was
              </Button>
            ) : null}
            <Button kind="primary" type="submit" why={why} disabled={busy || (editing && broken !== '')}>
              {editing ? 'Approve as edited' : 'Approve'}
            </Button>
          </div>
        </form>
      ) : null}
    </article>
  )
}

// What the flow does next with it: the stages that come right after.
function Then({ approval }: { approval: Approval }) {
  const { may } = useMay('call')
  const { data } = useApi<FlowWhole>(may ? `/api/flows/${encodeURIComponent(approval.flow)}` : null)
  const next = data?.stages.filter((stage) => stage.after.includes(approval.stage)) ?? []
  if (next.length === 0) return null
  return (
    <p>
      Then:{' '}
      {next.map((stage) => (
        <span key={stage.stage} className="tags">
          <Text most={60}>{stage.stage}</Text> <span className="muted">({stage.kind})</span> {stage.risk ? <Status value={stage.risk} /> : null}
        </span>
      ))}
    </p>
  )
}

function facts(approval: Approval): [string, ReactNode][] {
  const rows: [string, ReactNode][] = [
    [
      'Run',
      <Link key="j" to={`/jobs/${approval.job}`}>
        {approval.job}
      </Link>,
    ],
    ['Asked', <Time key="a" at={approval.asked} both />],
    ['Until', <Time key="e" at={approval.expires} both />],
    [
      'Of',
      <Text key="of" most={200}>
        {approval.assignees.join(', ')}
      </Text>,
    ],
    [
      'Submitted by',
      <Text key="s" most={80}>
        {approval.submitted_by.user || approval.submitted_by.key}
      </Text>,
    ],
  ]
  if (approval.decided) rows.push(['Decided', <Time key="d" at={approval.decided} both />])
  if (approval.by) rows.push(['By', <Text key="b">{approval.by}</Text>])
  if (approval.note)
    rows.push([
      'Note',
      <Text key="n" most={400}>
        {approval.note}
      </Text>,
    ])
  return rows
}

interface EditProps {
  approval: Approval
  paths: string[] | null
  value: unknown
  onChange: (value: unknown) => void
  onBroken: (why: string) => void
}

// A field for each member that may differ; the whole as JSON where all of it may.
function Edit({ approval, paths, value, onChange, onBroken }: EditProps) {
  const [whole, setWhole] = useState(() => JSON.stringify(approval.shown, null, 2) ?? 'null')
  const [why, setWhy] = useState('')
  if (paths)
    return (
      <div className="form">
        {paths.map((path, i) => (
          <Field
            key={path}
            path={path}
            first={i === 0}
            given={at(approval.shown, path)}
            onChange={(next) => onChange(withAt(value, path, next))}
            onBroken={onBroken}
          />
        ))}
        <p className="muted">Only {paths.join(', ')} may be changed; the rest stays as it is shown.</p>
      </div>
    )
  return (
    <div className="form">
      <label>
        The whole value (JSON)
        <textarea
          className="code"
          rows={14}
          spellCheck={false}
          // biome-ignore lint/a11y/noAutofocus: somebody asked to edit just now
          autoFocus
          value={whole}
          onChange={(event) => {
            setWhole(event.target.value)
            const { value: next, problem } = parsed(event.target.value)
            setWhy(problem)
            onBroken(problem)
            if (!problem) onChange(next)
          }}
        />
        {why ? <span className="field-error">{why}</span> : null}
      </label>
    </div>
  )
}

// A text is edited as a text, anything else as JSON.
function Field({
  path,
  given,
  first,
  onChange,
  onBroken,
}: {
  path: string
  given: unknown
  first: boolean
  onChange: (value: unknown) => void
  onBroken: (why: string) => void
}) {
  const plain = typeof given === 'string'
  const [text, setText] = useState(() => (plain ? given : (JSON.stringify(given, null, 2) ?? 'null')))
  const [why, setWhy] = useState('')
  return (
    <label>
      <bdi>{path}</bdi>
      <textarea
        className={plain ? '' : 'code'}
        rows={Math.min(14, Math.max(3, text.split('\n').length + Math.floor(text.length / 90)))}
        // biome-ignore lint/a11y/noAutofocus: somebody asked to edit just now
        autoFocus={first}
        value={text}
        onChange={(event) => {
          setText(event.target.value)
          const { value, problem } = plain ? { value: event.target.value, problem: '' } : parsed(event.target.value)
          setWhy(problem)
          onBroken(problem)
          if (!problem) onChange(value)
        }}
      />
      {why ? <span className="field-error">{why}</span> : null}
    </label>
  )
}
