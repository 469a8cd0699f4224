import { type KeyboardEvent, useEffect, useRef, useState } from 'react'
import { get, Problem, send } from '../api/client'
import { useApi } from '../api/query'
import type { Call, Models } from '../api/types'
import { Badge, Button, Copy, Empty, ErrorBox, Money, Page, Panel, Text } from '../components/basic'
import { Stat, Stats } from '../components/stat'
import { count, micros, millis } from '../format'
import { Link, useParam } from '../router'
import { useMay } from '../session'
import { eventsOf } from '../sse'
import { follow, kStepsHeader, type Step } from '../steps'
import { soFar, tell } from '../story'

interface Turn {
  role: 'user' | 'assistant'
  content: string
}
interface Run {
  call: string
  servedBy: string
  cache: string
  firstMs: number | null
  wholeMs: number | null
  // The decision so far, while the call goes on.
  steps: Step[]
  // More of it may come.
  heard: boolean
  // Tokens as the stream's last event told them.
  input: number | null
  output: number | null
}
const kNothing: Run = { call: '', servedBy: '', cache: '', firstMs: null, wholeMs: null, steps: [], heard: false, input: null, output: null }
// A record holds some 200 steps at most.
const kMostSteps = 300
// Whoever stops a call hears of it no longer than the server reads on for what it cost.
const kLastStepsMs = 15_000

interface Setup {
  model: string
  system: string
  temperature: string
  most: string
  user: string
  fresh: boolean
}

export default function PlaygroundPage() {
  const { may } = useMay('call')
  const models = useApi<Models>(may ? '/v1/models' : null)
  const [model, setModel] = useParam('model')
  const [setup, setSetup] = useState<Omit<Setup, 'model'>>({ system: '', temperature: '', most: '', user: '', fresh: true })
  const chosen = model || models.data?.data[0]?.id || ''
  const chat = useChat({ ...setup, model: chosen })
  return (
    <Page title="Playground" sub="Real calls: they cost money and are recorded.">
      <ErrorBox error={models.error} retry={models.reload} />
      <div className="play">
        <div className="column">
          <Panel>
            <Turns turns={chat.turns} busy={chat.busy} onClear={chat.clear} />
            <ErrorBox error={chat.error} />
            <Ask chat={chat} ready={chosen !== ''} />
          </Panel>
          <Outcome run={chat.run} busy={chat.busy} />
        </div>
        <div className="column">
          <Panel title="With">
            <Controls models={models.data} model={chosen} setModel={setModel} setup={setup} set={setSetup} />
          </Panel>
        </div>
      </div>
    </Page>
  )
}

function bodyOf(setup: Setup, turns: Turn[]): Record<string, unknown> {
  const number = (text: string) => (text.trim() !== '' && Number.isFinite(Number(text)) ? Number(text) : undefined)
  return {
    model: setup.model,
    messages: [...(setup.system.trim() ? [{ role: 'system', content: setup.system }] : []), ...turns],
    stream: true,
    stream_options: { include_usage: true },
    ...(number(setup.temperature) === undefined ? {} : { temperature: number(setup.temperature) }),
    ...(number(setup.most) === undefined ? {} : { max_tokens: number(setup.most) }),
  }
}

interface Piece {
  choices?: { delta?: { content?: unknown } }[]
  usage?: { prompt_tokens?: number; completion_tokens?: number } | null
  error?: { message?: string; code?: string }
}

function useChat(setup: Setup) {
  const [turns, setTurns] = useState<Turn[]>([])
  const [run, setRun] = useState<Run>(kNothing)
  const [error, setError] = useState<Problem>()
  const [busy, setBusy] = useState(false)
  const abort = useRef<AbortController>(undefined)
  const reads = useReads()
  const listening = useRef<AbortController>(undefined)
  useEffect(
    () => () => {
      abort.current?.abort()
      listening.current?.abort()
    },
    [],
  )

  // What the call says of its steps; nothing where nobody may follow it.
  const followed = async (): Promise<Record<string, string>> => {
    listening.current?.abort()
    if (!reads) return {}
    const mine = new AbortController()
    listening.current = mine
    const name = await follow(
      {
        begun: (call) => setRun((now) => ({ ...now, call })),
        step: (step) => setRun((now) => (now.steps.length < kMostSteps ? { ...now, steps: [...now.steps, step] } : now)),
        ended: () => setRun((now) => ({ ...now, heard: false })),
      },
      mine.signal,
    )
    if (!name) return {}
    setRun((now) => ({ ...now, heard: true }))
    return { [kStepsHeader]: name }
  }
  const ask = async (text: string) => {
    const asked: Turn[] = [...turns, { role: 'user', content: text }]
    const mine = new AbortController()
    abort.current = mine
    let began = performance.now()
    let answer = ''
    setTurns([...asked, { role: 'assistant', content: '' }])
    setRun(kNothing)
    setError(undefined)
    setBusy(true)
    try {
      const headers: Record<string, string> = { accept: 'text/event-stream' }
      if (setup.fresh) headers['cache-control'] = 'no-cache'
      if (/^[\x20-\x7e]+$/.test(setup.user)) headers['x-ballast-user'] = setup.user
      Object.assign(headers, await followed())
      mine.signal.throwIfAborted()
      began = performance.now()
      const response = await send('POST', '/v1/chat/completions', { body: bodyOf(setup, asked), headers, signal: mine.signal })
      const told = (name: string) => response.headers.get(name) ?? ''
      setRun((now) => ({ ...now, call: told('x-ballast-call-id'), servedBy: told('x-ballast-served-by'), cache: told('x-ballast-cache') }))
      for await (const data of eventsOf(response)) {
        if (data === '[DONE]') break
        const piece = JSON.parse(data) as Piece
        if (piece.error) throw new Problem(0, 'The stream broke', piece.error.message ?? '', '', piece.error.code ?? '')
        const more = piece.choices?.[0]?.delta?.content
        if (typeof more === 'string' && more !== '') {
          if (answer === '') setRun((now) => ({ ...now, firstMs: performance.now() - began }))
          answer += more
          setTurns([...asked, { role: 'assistant', content: answer }])
        }
        if (piece.usage) setRun((now) => ({ ...now, input: piece.usage?.prompt_tokens ?? null, output: piece.usage?.completion_tokens ?? null }))
      }
    } catch (why) {
      if (!mine.signal.aborted) setError(why instanceof Problem ? why : new Problem(0, 'Not understood', String(why)))
      if (answer === '') setTurns(asked)
    } finally {
      setRun((now) => ({ ...now, wholeMs: performance.now() - began }))
      setBusy(false)
      const heard = listening.current
      setTimeout(() => {
        heard?.abort()
        if (listening.current === heard) setRun((now) => ({ ...now, heard: false }))
      }, kLastStepsMs)
    }
  }
  return {
    turns,
    run,
    error,
    busy,
    ask,
    stop: () => abort.current?.abort(),
    clear: () => {
      abort.current?.abort()
      listening.current?.abort()
      setTurns([])
      setRun(kNothing)
      setError(undefined)
    },
  }
}

function Turns({ turns, busy, onClear }: { turns: Turn[]; busy: boolean; onClear: () => void }) {
  const end = useRef<HTMLDivElement>(null)
  const last = turns.at(-1)?.content.length ?? 0
  // biome-ignore lint/correctness/useExhaustiveDependencies: follows what grows
  useEffect(() => {
    end.current?.scrollIntoView({ block: 'nearest' })
  }, [last])
  if (turns.length === 0) return <Empty>Ask any route or model, and see how the answer comes about.</Empty>
  return (
    <>
      <div className="turns" aria-live="polite" aria-busy={busy}>
        {turns.map((turn, i) => (
          <div key={i} className={turn.role === 'assistant' ? 'bubble bubble-answer' : 'bubble'}>
            <div className="row-apart">
              <span className="bubble-role">{turn.role}</span>
              {turn.role === 'assistant' && turn.content ? <Copy text={turn.content} label="Copy the answer" /> : null}
            </div>
            <div className="bubble-text" dir="auto">
              {turn.content || (busy ? '…' : '')}
            </div>
          </div>
        ))}
        <div ref={end} />
      </div>
      <Button small kind="quiet" onClick={onClear}>
        Begin anew
      </Button>
    </>
  )
}

function Ask({ chat, ready }: { chat: ReturnType<typeof useChat>; ready: boolean }) {
  const [text, setText] = useState('')
  const { why } = useMay('call')
  const submit = () => {
    if (chat.busy || !ready || why || text.trim() === '') return
    void chat.ask(text)
    setText('')
  }
  const keys = (event: KeyboardEvent) => {
    if (event.key !== 'Enter' || event.shiftKey || event.nativeEvent.isComposing) return
    event.preventDefault()
    submit()
  }
  return (
    <form
      className="ask"
      onSubmit={(event) => {
        event.preventDefault()
        submit()
      }}
    >
      <textarea
        data-search
        aria-label="Message"
        placeholder={why || 'Message: Enter sends, Shift+Enter begins a line'}
        rows={3}
        value={text}
        disabled={!!why}
        onChange={(event) => setText(event.target.value)}
        onKeyDown={keys}
      />
      {chat.busy ? (
        <Button onClick={chat.stop}>Stop</Button>
      ) : (
        <Button type="submit" kind="primary" why={why} disabled={!ready || text.trim() === ''}>
          Send
        </Button>
      )}
    </form>
  )
}

interface ControlsProps {
  models: Models | undefined
  model: string
  setModel: (model: string) => void
  setup: Omit<Setup, 'model'>
  set: (setup: Omit<Setup, 'model'>) => void
}
function Controls({ models, model, setModel, setup, set }: ControlsProps) {
  const list = models?.data ?? []
  return (
    <div className="form">
      <label>
        Route or model
        <select value={model} onChange={(event) => setModel(event.target.value)}>
          {list.some((each) => each.id === model) || model === '' ? null : <option value={model}>{model.slice(0, 100)}</option>}
          {list.map((each) => (
            <option key={each.id} value={each.id}>
              {each.id.slice(0, 100)}
              {each.leads_to ? ` → ${each.leads_to.slice(0, 60)}` : ''}
            </option>
          ))}
        </select>
      </label>
      <label>
        System
        <textarea rows={3} value={setup.system} onChange={(event) => set({ ...setup, system: event.target.value })} />
      </label>
      <div className="form-row">
        <label>
          Temperature
          <input
            inputMode="decimal"
            placeholder="the model’s own"
            value={setup.temperature}
            onChange={(event) => set({ ...setup, temperature: event.target.value })}
          />
        </label>
        <label>
          Tokens at most
          <input inputMode="numeric" placeholder="no limit" value={setup.most} onChange={(event) => set({ ...setup, most: event.target.value })} />
        </label>
      </div>
      <label>
        For user
        <input placeholder="nobody" maxLength={128} value={setup.user} onChange={(event) => set({ ...setup, user: event.target.value })} />
      </label>
      <label className="check">
        <input type="checkbox" checked={setup.fresh} onChange={(event) => set({ ...setup, fresh: event.target.checked })} />
        past the cache
      </label>
    </div>
  )
}

// Whether it may see what became of its calls.
function useReads(): boolean {
  return [useMay('read').may, useMay('usage').may].includes(true)
}

// The record is there once the call is settled: asked for until it is, but not for ever.
function useRecord(call: string, busy: boolean): Call | undefined {
  const [record, setRecord] = useState<Call>()
  useEffect(() => {
    setRecord(undefined)
    if (!call || busy) return
    const abort = new AbortController()
    let timer: ReturnType<typeof setTimeout>
    let tries = 0
    const look = async () => {
      try {
        setRecord(await get<Call>(`/api/decisions/${encodeURIComponent(call)}`, undefined, abort.signal))
      } catch (why) {
        const missing = why instanceof Problem && why.status === 404
        if (missing && !abort.signal.aborted && ++tries < 20) timer = setTimeout(look, 250)
      }
    }
    void look()
    return () => {
      abort.abort()
      clearTimeout(timer)
    }
  }, [call, busy])
  return record
}

function Story({ steps }: { steps: Step[] }) {
  return (
    <ol className="story">
      {steps.map((step, i) => {
        const told = tell(step)
        return (
          <li key={i} className={`story-${told.tone}`}>
            <span className="story-at number">{told.at}</span>
            <bdi>{told.words}</bdi>
          </li>
        )
      })}
    </ol>
  )
}

function Outcome({ run, busy }: { run: Run; busy: boolean }) {
  const record = useRecord(useReads() ? run.call : '', busy || run.heard)
  if (!busy && !run.call && run.wholeMs === null) return null
  const rate = run.output && run.wholeMs && run.firstMs !== null && run.wholeMs > run.firstMs ? (run.output / (run.wholeMs - run.firstMs)) * 1000 : null
  return (
    <Panel
      title="How it came about"
      actions={
        run.call ? (
          <Link to={`/calls/${run.call}`} className="small">
            The call
          </Link>
        ) : null
      }
    >
      <Stats>
        <Stat name="First token" value={millis(run.firstMs)} note="as seen here" />
        <Stat name="Whole" value={busy ? '…' : millis(run.wholeMs)} note={record ? `${micros(record.latency_us)} in Ballast` : ''} />
        <Stat name="Cost" value={record ? <Money usd={record.incurred_usd} /> : '…'} note={rate ? `${count(rate)} tokens/s` : ''} />
        <Stat name="Tokens" value={run.output === null ? '…' : count(run.output)} note={run.input === null ? '' : `${count(run.input)} in`} />
      </Stats>
      <p className="row">
        {run.servedBy || record?.served_by ? <Text most={60}>{record?.served_by || run.servedBy}</Text> : null}
        {record && record.cache !== 'none' ? <Badge>cache {record.cache}</Badge> : null}
      </p>
      {record ? (
        <Story steps={record.decision} />
      ) : run.steps.length > 0 ? (
        <div role="log" aria-label="The decision so far">
          <Story steps={soFar(run.steps)} />
        </div>
      ) : (
        <p className="muted small">{busy ? 'The decision is told when the call is settled.' : run.call ? 'Waiting for the record…' : ''}</p>
      )}
    </Panel>
  )
}
