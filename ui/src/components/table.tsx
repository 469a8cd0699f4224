// A list of things: keyboard (j/k, arrows, Enter), further pages by cursor, and cards instead of columns on a phone.

import { type KeyboardEvent, type ReactNode, useEffect, useMemo, useRef } from 'react'
import { typing, useShortcuts } from '../keys'
import { go, Link } from '../router'
import { Button, Empty } from './basic'

export interface Column<T> {
  name: string
  // Right-aligned, tabular figures.
  number?: boolean
  // Not on a phone.
  wide?: boolean
  // Only where there is much room.
  roomy?: boolean
  // May take several lines.
  wrap?: boolean
  cell: (row: T) => ReactNode
}

interface Props<T> {
  label: string
  columns: Column<T>[]
  rows: T[]
  id: (row: T) => string
  // Where a row leads. The first column is the link.
  to?: (row: T) => string
  // Or what a row does: the first column is then a button.
  onOpen?: (row: T) => void
  selected?: string | undefined
  empty?: ReactNode
  more?: (() => void) | undefined
  loadingMore?: boolean
  dim?: boolean
  // On a phone a card a row, also where there are few columns: what they hold is wide.
  cards?: boolean
}

// The index after a step, kept within the list. From nowhere the first step goes to the first row.
export function step(at: number, by: number, rows: number): number {
  if (rows === 0) return -1
  return at < 0 ? 0 : Math.max(0, Math.min(rows - 1, at + by))
}

export function Table<T>({ label, columns, rows, id, to, onOpen, selected, empty = 'Nothing here.', more, loadingMore, dim, cards: asCards }: Props<T>) {
  const ref = useRef<HTMLTableElement>(null)
  // What does not fit a phone as columns becomes a card a row.
  const cards = asCards || columns.filter((column) => !column.wide && !column.roomy).length > 4
  const opens = to !== undefined || onOpen !== undefined
  const shortcuts = useMemo(() => {
    const focus = (by: number) => {
      const all = [...(ref.current?.querySelectorAll<HTMLElement>('[data-row]') ?? [])]
      const now = all.findIndex((each) => each === document.activeElement || each.closest('tr')?.contains(document.activeElement))
      const at = step(now, by, all.length)
      all[at]?.focus()
      all[at]?.closest('tr')?.scrollIntoView({ block: 'nearest' })
    }
    return {
      focus,
      list: opens
        ? [
            { keys: 'j', what: 'Next row', run: () => focus(1) },
            { keys: 'k', what: 'Row before', run: () => focus(-1) },
          ]
        : [],
    }
  }, [opens])
  useShortcuts(shortcuts.list)
  useEffect(() => {
    if (selected) ref.current?.querySelector('tr[aria-selected=true]')?.scrollIntoView({ block: 'nearest' })
  }, [selected])
  if (rows.length === 0) return <>{typeof empty === 'string' ? <Empty>{empty}</Empty> : empty}</>
  const arrows = (event: KeyboardEvent) => {
    if (typing(event.target) || (event.key !== 'ArrowDown' && event.key !== 'ArrowUp')) return
    event.preventDefault()
    shortcuts.focus(event.key === 'ArrowDown' ? 1 : -1)
  }
  return (
    <div className={dim ? 'table-wrap dim' : 'table-wrap'} {...(opens ? {} : { tabIndex: 0, role: 'region', 'aria-label': label })}>
      <table
        ref={ref}
        className={['table', opens ? 'table-opens' : '', cards ? 'table-cards' : '', columns.length > 8 ? 'table-dense' : columns.length < 7 ? 'table-few' : '']
          .filter(Boolean)
          .join(' ')}
        onKeyDown={arrows}
        aria-label={label}
      >
        <thead>
          <tr>
            {columns.map((column) => (
              <th key={column.name} scope="col" className={kind(column)}>
                {column.name}
              </th>
            ))}
          </tr>
        </thead>
        <tbody>
          {rows.map((row) => (
            <tr key={id(row)} aria-selected={selected === undefined ? undefined : id(row) === selected} onClick={(event) => rowClick(event, row, to, onOpen)}>
              {columns.map((column, i) => (
                <td key={column.name} className={kind(column)} data-label={column.name}>
                  {i === 0 && to ? (
                    <Link to={to(row)} data-row className="row-link">
                      {column.cell(row)}
                    </Link>
                  ) : i === 0 && onOpen ? (
                    <button type="button" data-row className="row-link" onClick={() => onOpen(row)}>
                      {column.cell(row)}
                    </button>
                  ) : (
                    column.cell(row)
                  )}
                </td>
              ))}
            </tr>
          ))}
        </tbody>
      </table>
      {more ? (
        <div className="table-more">
          <Button onClick={more} disabled={loadingMore ?? false}>
            {loadingMore ? 'Loading…' : 'Show more'}
          </Button>
        </div>
      ) : null}
    </div>
  )
}

function kind<T>(column: Column<T>): string {
  return [column.number ? 'number' : '', column.wide ? 'wide-only' : '', column.roomy ? 'roomy-only' : '', column.wrap ? 'wrap' : ''].filter(Boolean).join(' ')
}

// A click anywhere in a row opens it, unless it was meant for something within, or for selecting text.
function rowClick<T>(event: React.MouseEvent, row: T, to?: (row: T) => string, onOpen?: (row: T) => void) {
  if (event.defaultPrevented || (event.target as HTMLElement).closest('a,button,input,select,label,summary')) return
  if (window.getSelection()?.toString()) return
  if (to) {
    if (event.ctrlKey || event.metaKey) window.open(to(row), '_blank', 'noopener')
    else go(to(row))
  } else onOpen?.(row)
}
