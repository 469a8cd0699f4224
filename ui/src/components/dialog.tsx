// Modal dialogs (the browser's own, so that focus and Escape behave) and short notices.

import { type ReactNode, useEffect, useId, useRef, useSyncExternalStore } from 'react'
import { Problem } from '../api/client'
import { clip } from '../format'

export function Dialog({ title, onClose, children, wide }: { title: string; onClose: () => void; children: ReactNode; wide?: boolean }) {
  const ref = useRef<HTMLDialogElement>(null)
  const id = useId()
  useEffect(() => {
    const dialog = ref.current
    const before = document.activeElement
    if (dialog && !dialog.open) dialog.showModal()
    // The browser would begin at the button that closes.
    dialog?.querySelector<HTMLElement>('[data-focus]')?.focus()
    return () => {
      dialog?.close()
      // It has left the page by now, so that the browser cannot: one goes on where one was.
      if (before instanceof HTMLElement && before.isConnected && document.activeElement === document.body) before.focus()
    }
  }, [])
  return (
    <dialog
      ref={ref}
      className={wide ? 'dialog dialog-wide' : 'dialog'}
      aria-labelledby={id}
      onCancel={(event) => {
        event.preventDefault()
        onClose()
      }}
    >
      <div className="dialog-head">
        <h2 id={id}>
          <bdi>{clip(title, 120)}</bdi>
        </h2>
        <button type="button" className="button button-quiet" onClick={onClose} aria-label="Close">
          ✕
        </button>
      </div>
      <div className="dialog-body">{children}</div>
    </dialog>
  )
}

interface Notice {
  id: number
  text: string
  bad: boolean
}
let notices: Notice[] = []
let next = 1
const listeners = new Set<() => void>()
function changed(list: Notice[]) {
  notices = list
  for (const listener of [...listeners]) listener()
}

export function toast(text: string, bad = false): void {
  const id = next++
  changed([...notices.slice(-3), { id, text: clip(text, 300), bad }])
  setTimeout(() => changed(notices.filter((each) => each.id !== id)), bad ? 8000 : 4000)
}

// For changes: what went wrong is said, with its field.
export function toastProblem(why: unknown): void {
  const field = why instanceof Problem && why.field ? `${why.field}: ` : ''
  toast(field + (why instanceof Error ? why.message : String(why)), true)
}

export function Toasts() {
  const list = useSyncExternalStore(
    (listener) => {
      listeners.add(listener)
      return () => listeners.delete(listener)
    },
    () => notices,
  )
  return (
    <div className="toasts" aria-live="polite">
      {list.map((each) => (
        <div key={each.id} className={each.bad ? 'toast toast-bad' : 'toast'}>
          <bdi>{each.text}</bdi>
        </div>
      ))}
    </div>
  )
}
