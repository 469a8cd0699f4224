// Any JSON as a tree that folds. What comes from outside is text, and however much there is, only a part is drawn at a time.

import { useState } from 'react'
import { clip, visible } from '../format'
import { Copy } from './basic'

const kChildren = 100
const kText = 2000
const kDeep = 60

export function Json({ value, open = 2, label }: { value: unknown; open?: number; label?: string }) {
  return (
    <div className="json">
      {value !== undefined ? (
        <div className="json-tools">
          <Copy text={JSON.stringify(value, null, 2) ?? ''} label={`Copy ${label ?? 'JSON'}`} />
        </div>
      ) : null}
      <Node value={value} depth={0} open={open} />
    </div>
  )
}

function Node({ name, value, depth, open }: { name?: string; value: unknown; depth: number; open: number }) {
  const [unfolded, setUnfolded] = useState(depth < open)
  const [shown, setShown] = useState(kChildren)
  const key = name === undefined ? null : <span className="json-key">{clip(name, 200)}: </span>
  if (value === null || typeof value !== 'object') {
    return (
      <div className="json-line">
        {key}
        <Leaf value={value} />
      </div>
    )
  }
  const list = Array.isArray(value)
  const all: [string, unknown][] = list ? value.map((each, i) => [String(i), each]) : Object.entries(value)
  const summary = list ? `[${all.length}]` : `{${all.length}}`
  if (all.length === 0 || depth > kDeep) {
    return (
      <div className="json-line">
        {key}
        <span className="muted">{all.length === 0 ? (list ? '[]' : '{}') : `${summary}, too deep to show`}</span>
      </div>
    )
  }
  return (
    <details open={unfolded} onToggle={(event) => setUnfolded(event.currentTarget.open)}>
      <summary>
        {key}
        <span className="muted">{summary}</span>
      </summary>
      {unfolded ? (
        <div className="json-children">
          {all.slice(0, shown).map(([each, child]) => (
            <Node key={each} name={each} value={child} depth={depth + 1} open={open} />
          ))}
          {all.length > shown ? (
            <button type="button" className="link" onClick={() => setShown(shown + kChildren * 5)}>
              {all.length - shown} more
            </button>
          ) : null}
        </div>
      ) : null}
    </details>
  )
}

function Leaf({ value }: { value: unknown }) {
  const [whole, setWhole] = useState(false)
  if (typeof value !== 'string') return <span className={`json-${value === null ? 'null' : typeof value}`}>{String(value)}</span>
  const long = value.length > kText && !whole
  return (
    <span className="json-string">
      <bdi>{long ? clip(value, kText) : visible(value)}</bdi>
      {long ? (
        <button type="button" className="link" onClick={() => setWhole(true)}>
          {' '}
          all {value.length} characters
        </button>
      ) : null}
    </span>
  )
}
