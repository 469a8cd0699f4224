import { type KeyboardEvent, useMemo, useRef, useState } from 'react'
import { Facts, Status } from '../components/basic'
import { clip } from '../format'
import { curve, kSizes, layout, neighbour } from './graph'

export interface GraphNode {
  name: string
  after: readonly string[]
  kind: string
  risk: string
}

const kMargin = 8
const kIcons: Record<string, string> = {
  model: '✦',
  http: '⇄',
  transform: 'ƒ',
  template: '¶',
  approve: '✓',
  wait: '◷',
  map: '≡',
  choose: '◇',
  flow: '▤',
  worker: '⚙',
  query: '?',
  classify: '◫',
  settle: '$',
}

interface Props {
  nodes: readonly GraphNode[]
  selected: string
  onSelect: (name: string) => void
}

// The flow from left to right. One stage has the focus; arrow keys walk along the edges, Home and End go to the ends. The same in words
// follows as a list, for who does not see the picture.
export function FlowGraph({ nodes, selected, onSelect }: Props) {
  const places = useMemo(() => layout(nodes), [nodes])
  const ref = useRef<SVGSVGElement>(null)
  const [at, setAt] = useState('')
  const current = places.nodes.some((node) => node.name === at) ? at : (places.nodes[0]?.name ?? '')
  const byName = useMemo(() => new Map(nodes.map((node) => [node.name, node])), [nodes])
  const chosen = byName.get(selected)
  const near = (name: string) => selected !== '' && (name === selected || chosen?.after.includes(name) || byName.get(name)?.after.includes(selected))
  const key = (event: KeyboardEvent, name: string) => {
    if (event.key === 'Enter' || event.key === ' ') {
      event.preventDefault()
      onSelect(name === selected ? '' : name)
      return
    }
    const next = neighbour(places, name, event.key)
    if (next === name) return
    event.preventDefault()
    setAt(next)
    for (const each of ref.current?.querySelectorAll<SVGGElement>('[data-stage]') ?? []) if (each.dataset.stage === next) each.focus()
  }
  return (
    <>
      <div className="graph">
        <svg
          ref={ref}
          width={places.width + 2 * kMargin}
          height={places.height + 2 * kMargin}
          viewBox={`${-kMargin} ${-kMargin} ${places.width + 2 * kMargin} ${places.height + 2 * kMargin}`}
          role="group"
          aria-label="The flow's stages; arrow keys walk along it"
        >
          <defs>
            <marker id="tip" viewBox="0 0 8 8" refX="7" refY="4" markerWidth="7" markerHeight="7" orient="auto">
              <path d="M0,0.5 L8,4 L0,7.5 z" className="graph-tip" />
            </marker>
          </defs>
          {places.edges.map((edge) => (
            <path
              key={`${edge.from} ${edge.to}`}
              d={curve(edge.points)}
              className={selected !== '' && (edge.from === selected || edge.to === selected) ? 'graph-edge graph-edge-near' : 'graph-edge'}
              markerEnd="url(#tip)"
            />
          ))}
          {places.nodes.map((place) => {
            const node = byName.get(place.name)
            const after = node?.after ?? []
            return (
              <g
                key={place.name}
                data-stage={place.name}
                transform={`translate(${place.x},${place.y})`}
                className={`graph-node ${place.name === selected ? 'graph-selected' : near(place.name) ? 'graph-near' : ''} ${node?.risk ? 'graph-effect' : ''}`}
                role="button"
                tabIndex={place.name === current ? 0 : -1}
                aria-pressed={place.name === selected}
                aria-label={`${place.name}, ${node?.kind}${node?.risk ? `, ${node.risk}` : ''}, ${after.length > 0 ? `after ${after.join(', ')}` : 'at the beginning'}`}
                onClick={() => {
                  setAt(place.name)
                  onSelect(place.name === selected ? '' : place.name)
                }}
                onFocus={() => setAt(place.name)}
                onKeyDown={(event) => key(event, place.name)}
              >
                <rect width={kSizes.width} height={kSizes.height} rx="6" />
                <text x="12" y="20" className="graph-name">
                  {clip(place.name, 20)}
                </text>
                <text x="12" y="36" className="graph-kind">
                  {kIcons[node?.kind ?? ''] ?? '•'} {node?.kind}
                  {node?.risk ? ` · ${node.risk}` : ''}
                </text>
              </g>
            )
          })}
        </svg>
      </div>
      {chosen ? (
        <section className="stage" aria-label={`Stage ${clip(chosen.name, 80)}`}>
          <h3>
            <bdi>{clip(chosen.name, 120)}</bdi>
          </h3>
          <Facts
            rows={[
              ['Kind', chosen.kind],
              ['Comes after', chosen.after.join(', ') || 'nothing: it begins with the run'],
              [
                'Before',
                nodes
                  .filter((node) => node.after.includes(chosen.name))
                  .map((node) => node.name)
                  .join(', ') || 'nothing',
              ],
              ...(chosen.risk ? ([['Risk', <Status key="r" value={chosen.risk} />]] as [string, React.ReactNode][]) : []),
            ]}
          />
        </section>
      ) : null}
      <details>
        <summary>The flow in words</summary>
        <ol>
          {places.nodes.map((place) => {
            const node = byName.get(place.name)
            return (
              <li key={place.name}>
                <bdi>{clip(place.name, 120)}</bdi> ({node?.kind}
                {node?.risk ? `, ${node.risk}` : ''}){node && node.after.length > 0 ? <>, after {node.after.join(', ')}</> : ', at the beginning'}
              </li>
            )
          })}
        </ol>
      </details>
    </>
  )
}
