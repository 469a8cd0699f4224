import { useState } from 'react'
import { type Problem, post } from '../api/client'
import { invalidate, useApi } from '../api/query'
import { Badge, Button, ErrorBox, Loading, Page, Panel, Text, type Tone } from '../components/basic'
import { Dialog, toast } from '../components/dialog'
import { Stat, Stats } from '../components/stat'
import { useParam } from '../router'
import { useMay } from '../session'
import type { LineState, Readiness, ReadinessLine } from '../work/types'
import '../styles/work.css'

const kWords: Record<LineState, string> = { failed: 'failed', unproven: 'not proven', passed: 'passed', not_applicable: 'does not apply' }
const kTones: Record<LineState, Tone> = { failed: 'bad', unproven: 'warn', passed: 'good', not_applicable: 'plain' }
const kStates = ['', 'failed', 'unproven', 'passed'] as const

// The production checklist: from the configuration, and from what was really seen. The same as `ballast check --production`.
export default function ReadinessPage() {
  const { data, error, reload } = useApi<Readiness>('/api/readiness', {}, { refreshMs: 30_000 })
  const [state, setState] = useParam('state')
  const [telling, setTelling] = useState<ReadinessLine | null>(null)
  const { may } = useMay('admin')
  const lines = data?.lines.filter((line) => state === '' || line.state === state) ?? []
  const groups = [...new Set(lines.map((line) => line.group))]
  return (
    <Page title="Readiness" sub="Is this ready for production? From the configuration, and from what was really seen to work.">
      <ErrorBox error={error} retry={reload} />
      {data ? (
        <>
          <Stats>
            <Stat name="Failed" value={data.failed} tone={data.failed > 0 ? 'bad' : 'good'} />
            <Stat name="Not proven" value={data.unproven} tone={data.unproven > 0 ? 'warn' : 'good'} note="nothing was seen of it yet" />
            <Stat name="Passed" value={data.passed} tone="good" />
          </Stats>
          <div className="segments alert-tabs" role="group" aria-label="Which lines">
            {kStates.map((each) => (
              <button key={each} type="button" aria-pressed={state === each} onClick={() => setState(each)}>
                {each ? kWords[each] : 'all'}
              </button>
            ))}
          </div>
          {groups.map((group) => (
            <Panel key={group} title={<Text most={80}>{group}</Text>}>
              <ul className="checklist">
                {lines
                  .filter((line) => line.group === group)
                  .map((line) => (
                    <Line key={line.id} line={line} onTell={may && line.told ? () => setTelling(line) : null} />
                  ))}
              </ul>
            </Panel>
          ))}
          {groups.length === 0 ? <p className="muted">No line is like that.</p> : null}
        </>
      ) : error ? null : (
        <Loading />
      )}
      {telling ? <EvidenceForm line={telling} onClose={() => setTelling(null)} /> : null}
    </Page>
  )
}

function Line({ line, onTell }: { line: ReadinessLine; onTell: (() => void) | null }) {
  return (
    <li>
      <Badge tone={kTones[line.state] ?? 'plain'}>{kWords[line.state] ?? line.state}</Badge>
      <div>
        <strong>
          <Text most={300}>{line.question}</Text>
        </strong>
        {line.evidence ? (
          <p className="muted">
            <Text most={600}>{line.evidence}</Text>
          </p>
        ) : null}
        {line.todo && line.state !== 'passed' && line.state !== 'not_applicable' ? (
          <p>
            <Text most={600}>{line.todo}</Text>
          </p>
        ) : null}
        {line.see ? (
          <code className="muted">
            <Text most={120}>{line.see}</Text>
          </code>
        ) : null}
        {onTell ? (
          <p>
            <Button small onClick={onTell}>
              Tell that it was done
              <span className="hidden">: {line.question}</span>
            </Button>
          </p>
        ) : null}
      </div>
    </li>
  )
}

// A day as the date field has it, by the reader's own calendar.
function dayOf(date: Date): string {
  const two = (n: number) => String(n).padStart(2, '0')
  return `${date.getFullYear()}-${two(date.getMonth() + 1)}-${two(date.getDate())}`
}

// What no figure shows: when it was done, and what came of it. It counts for half a year, and stands in the audit trail.
function EvidenceForm({ line, onClose }: { line: ReadinessLine; onClose: () => void }) {
  const today = dayOf(new Date())
  const [day, setDay] = useState(today)
  const [note, setNote] = useState('')
  const [busy, setBusy] = useState(false)
  const [problem, setProblem] = useState<Problem>()
  const save = async () => {
    setBusy(true)
    setProblem(undefined)
    try {
      // Today is now: the server knows no day that has not begun for it.
      await post('/api/readiness/evidence', { line: line.id, note: note.trim(), ...(day === today ? {} : { at: day }) })
      invalidate('/api/readiness')
      toast('Told. It counts for 180 days.')
      onClose()
    } catch (why) {
      setProblem(why as Problem)
      setBusy(false)
    }
  }
  return (
    <Dialog title="Tell that it was done" onClose={onClose}>
      <form
        className="form"
        onSubmit={(event) => {
          event.preventDefault()
          void save()
        }}
      >
        <p>
          <Text most={300}>{line.question}</Text>
        </p>
        <label>
          When
          <input type="date" required max={today} value={day} onChange={(event) => setDay(event.target.value)} data-focus />
        </label>
        <label>
          What came of it, and where one reads it
          <textarea rows={3} maxLength={300} required value={note} onChange={(event) => setNote(event.target.value)} />
        </label>
        <p className="muted small">It counts for 180 days, and the audit trail says who told it.</p>
        <ErrorBox error={problem} />
        <div className="form-end">
          <Button type="submit" kind="primary" disabled={busy || day === '' || note.trim() === ''}>
            Tell it
          </Button>
        </div>
      </form>
    </Dialog>
  )
}
