import { type ReactNode, useState } from 'react'
import { post } from '../api/client'
import { useApi } from '../api/query'
import type { Attempt, Call, Messages, Tokens } from '../api/types'
import { Button, Copy, Empty, ErrorBox, Facts, Loading, Money, Page, Panel, Status, Text, Time } from '../components/basic'
import { toast, toastProblem } from '../components/dialog'
import { Json } from '../components/json'
import { Stat, Stats } from '../components/stat'
import { count, micros, percent, share, words } from '../format'
import { sumUsd } from '../money'
import { Link } from '../router'
import { useMay } from '../session'
import { conversation, placed, replied, type Said, tell } from '../story'

export default function CallPage({ params }: { params: Record<string, string> }) {
  const id = params.id ?? ''
  const { data, error, reload } = useApi<Call>(`/api/decisions/${encodeURIComponent(id)}`)
  return (
    <Page
      title={data ? 'Call' : id}
      sub={
        <>
          <Link to="/calls">Calls</Link> / <code>{id.slice(0, 64)}</code>
          <Copy text={id} label="Copy the call's id" />
        </>
      }
      actions={data ? <Verdict id={id} /> : null}
    >
      <ErrorBox error={error} retry={reload} />
      {data ? <Content call={data} /> : error ? null : <Loading />}
    </Page>
  )
}

function Content({ call }: { call: Call }) {
  return (
    <>
      <Head call={call} />
      <div className="grid-2 grid-story">
        <div className="column">
          <Story call={call} />
          <Recorded id={call.id} />
        </div>
        <div className="column">
          <Attempts call={call} />
          <TokenPanel call={call} />
          <Asked call={call} />
        </div>
      </div>
      <Panel>
        <details>
          <summary>The whole record as JSON</summary>
          <Json value={call} label="the record" />
        </details>
      </Panel>
    </>
  )
}

function Head({ call }: { call: Call }) {
  return (
    <Stats>
      <Stat
        name="Ended"
        value={<Status value={call.status} />}
        note={call.error ? `${words(call.error)} · HTTP ${call.http_status}` : `HTTP ${call.http_status}`}
      />
      <Stat
        name="Took"
        value={micros(call.latency_us)}
        note={call.first_token_us > 0 ? `first token after ${micros(call.first_token_us)}` : 'no first token'}
      />
      <Stat
        name="Cost"
        value={<Money usd={call.incurred_usd} />}
        note={call.billed_usd !== call.incurred_usd ? <>of it billed {<Money usd={call.billed_usd} />}</> : 'all of it for the answer'}
      />
      <Stat name="Tokens" value={count(all(call.tokens))} note={`${count(call.tokens.output + call.tokens.reasoning)} out`} />
      <Stat
        name="Attempts"
        value={call.attempts.length}
        note={call.cache !== 'none' ? `cache: ${call.cache.replaceAll('_', ' ')}` : ''}
        tone={call.attempts.length > 1 ? 'warn' : undefined}
      />
    </Stats>
  )
}

const all = (t: Tokens) => t.input + t.cached + t.cache_write + t.output + t.reasoning

function Story({ call }: { call: Call }) {
  return (
    <Panel title="What happened">
      {call.decision.length === 0 ? <Empty>No decision was recorded.</Empty> : null}
      <ol className="story">
        {call.decision.map((step, i) => {
          const told = tell(step)
          return (
            <li key={i} className={`story-${told.tone}`}>
              <span className="story-at number">{told.at}</span>
              <div>
                <bdi>{told.words}</bdi>
                {told.more.length > 0 ? (
                  <div className="story-more">
                    {told.more.map(([name, value]) => (
                      <span key={name}>
                        {name.slice(0, 60)} <bdi>{value}</bdi>
                      </span>
                    ))}
                  </div>
                ) : null}
              </div>
            </li>
          )
        })}
      </ol>
    </Panel>
  )
}

function Attempts({ call }: { call: Call }) {
  return (
    <Panel title="Attempts">
      {call.attempts.length === 0 ? <Empty>No provider was asked.</Empty> : null}
      {call.attempts.map((attempt) => (
        <AttemptRow key={attempt.id} attempt={attempt} call={call} />
      ))}
      {call.attempts.length > 0 ? (
        <div className="lane-scale number" aria-hidden="true">
          <span>0</span>
          <span>{micros(call.latency_us / 2)}</span>
          <span>{micros(call.latency_us)}</span>
        </div>
      ) : null}
    </Panel>
  )
}

function AttemptRow({ attempt, call }: { attempt: Attempt; call: Call }) {
  const bar = placed(attempt, call.arrived, call.latency_us)
  const good = attempt.outcome === 'ok'
  // Of two that were asked at once the slower one: it has not failed.
  const overtaken = attempt.outcome === 'caller_cancelled' && call.status === 'ok'
  const notes = [
    attempt.hedged ? 'hedged' : '',
    attempt.cut ? 'cut mid-stream' : '',
    attempt.cost === 'unknown' ? 'cost unknown: charged at its ceiling' : '',
    attempt.cost === 'reconciled' ? `reconciled by ${attempt.reconciled_by ?? '?'} (was $${attempt.was_usd ?? '?'})` : '',
    attempt.credential ? `credential ${attempt.credential}` : '',
  ].filter(Boolean)
  return (
    <div className="attempt">
      <div className="row-apart">
        <b>
          <Text most={48}>{`${attempt.provider}/${attempt.model}`}</Text>
        </b>
        <Status
          value={good ? 'ok' : overtaken ? 'overtaken' : 'failed'}
          detail={good || overtaken ? undefined : `${words(attempt.outcome)}${attempt.http_status ? `, HTTP ${attempt.http_status}` : ''}`}
        />
      </div>
      <div
        className="lane"
        role="img"
        aria-label={`began ${percent(bar.left)} into the call, ran ${micros(attempt.latency_us)}${bar.firstToken === null ? '' : `, first token after ${micros(attempt.first_token_us)}`}`}
      >
        <div
          className={`lane-bar ${good ? 'lane-good' : overtaken ? 'lane-plain' : 'lane-bad'}`}
          style={{ left: `${bar.left * 100}%`, width: `${bar.width * 100}%` }}
        />
        {bar.firstToken !== null ? <div className="lane-mark" style={{ left: `${bar.firstToken * 100}%` }} /> : null}
      </div>
      <div className="row-apart small muted">
        <span className="number">
          {micros(attempt.latency_us)}
          {attempt.first_token_us > 0 ? `, first token ${micros(attempt.first_token_us)}` : ''}
        </span>
        <Money usd={attempt.incurred_usd} />
      </div>
      {notes.length > 0 ? (
        <div className="small muted">
          <Text most={200}>{notes.join(' · ')}</Text>
        </div>
      ) : null}
    </div>
  )
}

const kKinds: [keyof Tokens, string, number][] = [
  ['input', 'input', 1],
  ['cached', 'from the provider’s cache', 6],
  ['cache_write', 'written to its cache', 7],
  ['output', 'output', 2],
  ['reasoning', 'reasoning', 3],
]

function TokenPanel({ call }: { call: Call }) {
  const whole = all(call.tokens)
  const wasted = call.attempts.filter((attempt) => attempt.outcome !== 'ok').map((attempt) => attempt.incurred_usd)
  return (
    <Panel title="Tokens and cost">
      {whole > 0 ? (
        <div className="kinds" role="img" aria-label="Tokens by kind">
          {kKinds.map(([kind, , color]) =>
            call.tokens[kind] > 0 ? <div key={kind} className={`color-${color}`} style={{ flexGrow: call.tokens[kind] }} /> : null,
          )}
        </div>
      ) : null}
      <Facts
        rows={[
          ...kKinds
            .filter(([kind]) => call.tokens[kind] > 0)
            .map(([kind, called, color]): [ReactNode, ReactNode] => [
              <span key={kind} className={`legend color-${color}`}>
                <i />
                {called}
              </span>,
              <span key="n" className="number">
                {count(call.tokens[kind])} · {percent(share(call.tokens[kind], whole))}
              </span>,
            ]),
          ...(call.tokens.images > 0 ? [['images', count(call.tokens.images)] as [ReactNode, ReactNode]] : []),
          ['incurred', <Money key="i" usd={call.incurred_usd} />],
          ['billed', <Money key="b" usd={call.billed_usd} />],
          ...(call.saved_usd ? [['saved by the cache', <Money key="s" usd={call.saved_usd} />] as [ReactNode, ReactNode]] : []),
          ...(call.routing_saved_usd ? [['saved by routing', <Money key="r" usd={call.routing_saved_usd} />] as [ReactNode, ReactNode]] : []),
          ...(wasted.length > 0 ? [['failed attempts', <Money key="w" usd={sumUsd(wasted)} />] as [ReactNode, ReactNode]] : []),
          ...Object.entries(call.charges).map(([window, usd]): [ReactNode, ReactNode] => [
            'charged to',
            <span key={window}>
              <Text most={40}>{window.split('|').slice(0, 2).filter(Boolean).join(' ')}</Text> <Money usd={usd} />
            </span>,
          ]),
        ]}
      />
    </Panel>
  )
}

function Asked({ call }: { call: Call }) {
  const filter = (name: string, value: string) =>
    value ? <Link to={`/calls?${name}=${encodeURIComponent(value)}`}>{<Text most={60}>{value}</Text>}</Link> : <Text>{''}</Text>
  return (
    <Panel title="Asked">
      <Facts
        rows={[
          ['when', <Time key="t" at={call.arrived} both />],
          ['for', <Text key="m">{call.requested_model}</Text>],
          ['route', filter('route', call.route)],
          ['how', `${call.operation}, ${call.api.replaceAll('_', ' ')}`],
          ['served by', <Text key="s">{call.served_by}</Text>],
          [
            'key',
            call.key_id ? <Link to={`/calls?key=${encodeURIComponent(call.key_id)}`}>{<Text most={60}>{call.key_name || call.key_id}</Text>}</Link> : '–',
          ],
          ['user', filter('user', call.user)],
          ['feature', filter('feature', call.feature)],
          ['team', filter('team', call.team)],
          [
            'trace',
            call.trace_id ? (
              <>
                <code>{call.trace_id.slice(0, 64)}</code>
                <Copy text={call.trace_id} label="Copy the trace's id" />
              </>
            ) : (
              '–'
            ),
          ],
        ]}
      />
    </Panel>
  )
}

// Who reads messages is told in the audit trail: nobody does so by passing through.
function Recorded({ id }: { id: string }) {
  const [wanted, setWanted] = useState(false)
  const { data, error } = useApi<Messages>(wanted ? `/api/calls/${encodeURIComponent(id)}/messages` : null)
  if (!wanted)
    return (
      <Panel title="Messages">
        <Empty action={<Button onClick={() => setWanted(true)}>Show the messages</Button>}>
          Where the route records them. That you looked is noted in the audit trail.
        </Empty>
      </Panel>
    )
  return (
    <Panel title="Messages" actions={data ? <Status value={data.redacted ? 'redacted' : data.recorded} /> : null}>
      {error ? (
        error.status === 404 ? (
          <Empty>{error.detail || 'None are recorded.'}</Empty>
        ) : (
          <ErrorBox error={error} />
        )
      ) : data ? (
        <Conversation data={data} />
      ) : (
        <Loading />
      )}
    </Panel>
  )
}

function Conversation({ data }: { data: Messages }) {
  const asked = conversation(data.request)
  const answered = replied(data.reply)
  return (
    <div className="column">
      {asked ? asked.map((said, i) => <Bubble key={i} said={said} />) : <Json value={data.request} label="the request" />}
      {answered ? answered.map((said, i) => <Bubble key={i} said={said} />) : <Json value={data.reply} label="the reply" />}
      {data.truncated ? <p className="muted small">Cut: it was longer than is kept.</p> : null}
      {asked || answered ? (
        <details className="small">
          <summary>As JSON</summary>
          <Json value={{ request: data.request, reply: data.reply }} open={3} label="the messages" />
        </details>
      ) : null}
    </div>
  )
}

const kFold = 1500
export function Bubble({ said }: { said: Said }) {
  const [whole, setWhole] = useState(false)
  const long = said.text.length > kFold && !whole
  return (
    <div className={`bubble ${said.role === 'assistant' || said.role === 'model' ? 'bubble-answer' : ''}`}>
      <div className="bubble-role">{said.role.slice(0, 40)}</div>
      <div className="bubble-text" dir="auto">
        {long ? said.text.slice(0, kFold) : said.text}
      </div>
      {long ? (
        <button type="button" className="link" onClick={() => setWhole(true)}>
          All {count(said.text.length)} characters
        </button>
      ) : null}
      {said.other.map((part, i) => (
        <Json key={i} value={part} open={1} />
      ))}
    </div>
  )
}

function Verdict({ id }: { id: string }) {
  const { why } = useMay()
  const [said, setSaid] = useState('')
  const [comment, setComment] = useState('')
  const say = async (verdict: 'good' | 'bad') => {
    try {
      await post('/api/feedback', { call: id, verdict, ...(comment.trim() ? { comment: comment.trim() } : {}) })
      setSaid(verdict)
      setComment('')
      toast(`Marked as ${verdict}.`)
    } catch (problem) {
      toastProblem(problem)
    }
  }
  return (
    <div className="row">
      <input
        aria-label="Comment on the answer"
        placeholder="Comment"
        maxLength={1000}
        value={comment}
        disabled={!!why}
        onChange={(event) => setComment(event.target.value)}
      />
      <Button small why={why} aria-pressed={said === 'good'} onClick={() => void say('good')}>
        Good answer
      </Button>
      <Button small why={why} aria-pressed={said === 'bad'} onClick={() => void say('bad')}>
        Bad answer
      </Button>
    </div>
  )
}
