import { useApi } from '../api/query'
import { Badge, ErrorBox, Loading, Page, Panel, Text, type Tone } from '../components/basic'
import { Stat, Stats } from '../components/stat'
import { useParam } from '../router'
import type { LineState, Readiness, ReadinessLine } from '../work/types'
import '../styles/work.css'

const kWords: Record<LineState, string> = { failed: 'failed', unproven: 'not proven', passed: 'passed', not_applicable: 'does not apply' }
const kTones: Record<LineState, Tone> = { failed: 'bad', unproven: 'warn', passed: 'good', not_applicable: 'plain' }
const kStates = ['', 'failed', 'unproven', 'passed'] as const

// The production checklist: from the configuration, and from what was really seen. The same as `ballast check --production`.
export default function ReadinessPage() {
  const { data, error, reload } = useApi<Readiness>('/api/readiness', {}, { refreshMs: 30_000 })
  const [state, setState] = useParam('state')
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
          <div className="segments" role="group" aria-label="Which lines">
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
                    <Line key={line.id} line={line} />
                  ))}
              </ul>
            </Panel>
          ))}
          {groups.length === 0 ? <p className="muted">No line is like that.</p> : null}
        </>
      ) : error ? null : (
        <Loading />
      )}
    </Page>
  )
}

function Line({ line }: { line: ReadinessLine }) {
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
      </div>
    </li>
  )
}
