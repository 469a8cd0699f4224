// Driving a job again, and forking a run: perhaps with another input, perhaps with the flow as it is now.

import { type FormEvent, useState } from 'react'
import { Problem, post } from '../api/client'
import { invalidate } from '../api/query'
import { Button, ErrorBox } from '../components/basic'
import { Dialog, toast } from '../components/dialog'
import { go } from '../router'
import type { Job, RunMade } from './types'
import { nameOf, parsed } from './words'

export interface AgainWhat {
  what: 'redrive' | 'fork'
  // Of a fork: performed anew, with what depends on it; empty: only what has no answer yet.
  stage: string
}

export function Again({ job, again, onClose }: { job: Job; again: AgainWhat; onClose: () => void }) {
  const given = job.kind === 'task' ? job.payload : job.input
  const [edit, setEdit] = useState(false)
  const [text, setText] = useState(() => JSON.stringify(given, null, 2) ?? 'null')
  const [current, setCurrent] = useState(false)
  const [busy, setBusy] = useState(false)
  const [problem, setProblem] = useState<Problem | undefined>()
  const input = parsed(text)
  const submit = async (event: FormEvent) => {
    event.preventDefault()
    setBusy(true)
    try {
      const made = await post<RunMade>(`/api/jobs/${encodeURIComponent(job.id)}/${again.what}`, {
        ...(edit ? { [job.kind === 'task' ? 'payload' : 'input']: input.value } : {}),
        ...(current ? { version: 'current' } : {}),
        ...(again.what === 'fork' && again.stage ? { stage: again.stage } : {}),
      })
      invalidate('/api/')
      toast(made.existing ? 'It was driven again before: this is that job.' : 'Submitted.')
      onClose()
      go(`/jobs/${made.id}`)
    } catch (why) {
      setProblem(why instanceof Problem ? why : new Problem(0, 'Not understood', String(why)))
      setBusy(false)
    }
  }
  const fork = again.what === 'fork'
  return (
    <Dialog title={fork ? `Fork ${nameOf(job)}` : `Retry ${nameOf(job)}`} onClose={onClose} wide>
      <form className="form" onSubmit={submit}>
        <p>
          {fork
            ? again.stage
              ? `A new run: “${again.stage.slice(0, 80)}” and what depends on it are performed anew, the results before stay. Effects after it happen again; what people decided is asked again.`
              : 'A new run with the results of this one that still answer the same question. What people decided is asked again.'
            : job.kind === 'flow'
              ? 'The run goes on as a new job with the results it had: only what has none is performed. Asked twice, it is the same job.'
              : 'The same work as a new job. Asked twice, it is the same job.'}
        </p>
        <label className="check">
          <input type="checkbox" checked={edit} onChange={(event) => setEdit(event.target.checked)} /> With another input
        </label>
        {edit ? (
          <label>
            Input (JSON)
            <textarea
              className="code"
              rows={10}
              spellCheck={false}
              value={text}
              onChange={(event) => setText(event.target.value)}
              aria-invalid={input.problem !== ''}
            />
            {input.problem ? <span className="field-error">{input.problem}</span> : null}
          </label>
        ) : null}
        {job.kind === 'flow' ? (
          <label className="check">
            <input type="checkbox" checked={current} onChange={(event) => setCurrent(event.target.checked)} /> With the flow as it is now
          </label>
        ) : null}
        <ErrorBox error={problem} />
        <div className="form-end">
          <Button onClick={onClose}>Leave it</Button>
          <Button kind="primary" type="submit" disabled={busy || (edit && input.problem !== '')}>
            {fork ? 'Fork' : 'Retry'}
          </Button>
        </div>
      </form>
    </Dialog>
  )
}
