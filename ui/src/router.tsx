// Paths of the page, by the history API. The time range and its like live in the query and travel along from page to page.

import { type AnchorHTMLAttributes, type MouseEvent, useCallback, useMemo, useSyncExternalStore } from 'react'

const listeners = new Set<() => void>()
function changed() {
  for (const listener of [...listeners]) listener()
}
if (typeof window !== 'undefined') window.addEventListener('popstate', changed)

function subscribe(listener: () => void) {
  listeners.add(listener)
  return () => listeners.delete(listener)
}

export function navigate(to: string, options: { replace?: boolean } = {}): void {
  if (to === location.pathname + location.search) return
  const samePage = to.split('?')[0] === location.pathname
  if (options.replace) history.replaceState(null, '', to)
  else history.pushState(null, '', to)
  if (!samePage) window.scrollTo(0, 0)
  changed()
}

export function usePath(): string {
  return useSyncExternalStore(subscribe, () => location.pathname)
}

export function useSearch(): URLSearchParams {
  const text = useSyncExternalStore(subscribe, () => location.search)
  return useMemo(() => new URLSearchParams(text), [text])
}

// One value of the query. An empty value leaves the URL.
export function useParam(name: string): [string, (value: string) => void] {
  const search = useSearch()
  const set = useCallback((value: string) => setParams({ [name]: value }), [name])
  return [search.get(name) ?? '', set]
}

export function setParams(changes: Record<string, string | null>, options: { replace?: boolean } = { replace: true }): void {
  const params = new URLSearchParams(location.search)
  for (const [name, value] of Object.entries(changes)) {
    if (value === null || value === '') params.delete(name)
    else params.set(name, value)
  }
  const text = params.toString()
  navigate(location.pathname + (text ? `?${text}` : ''), options)
}

// "/calls/:id" against "/calls/call_01k": {id: "call_01k"}; null where it does not fit.
export function match(pattern: string, path: string): Record<string, string> | null {
  const want = pattern.split('/').filter(Boolean)
  const have = path.split('/').filter(Boolean)
  if (want.length !== have.length) return null
  const found: Record<string, string> = {}
  for (let i = 0; i < want.length; i++) {
    const part = want[i]!
    if (part.startsWith(':')) {
      try {
        found[part.slice(1)] = decodeURIComponent(have[i]!)
      } catch {
        return null
      }
    } else if (part !== have[i]) return null
  }
  return found
}

const kTravels = ['range', 'from', 'to', 'compare']
// `to` with the time range of the URL now, unless it names its own.
export function withRange(to: string, search: string): string {
  const [path, own = ''] = to.split('?', 2)
  const params = new URLSearchParams(own)
  const now = new URLSearchParams(search)
  if (!params.has('range') && !params.has('from'))
    for (const name of kTravels) {
      const value = now.get(name)
      if (value !== null && !params.has(name)) params.set(name, value)
    }
  const text = params.toString()
  return (path ?? '') + (text ? `?${text}` : '')
}

export function go(to: string): void {
  navigate(withRange(to, location.search))
}

type LinkProps = AnchorHTMLAttributes<HTMLAnchorElement> & { to: string }
export function Link({ to, onClick, ...rest }: LinkProps) {
  const search = useSyncExternalStore(subscribe, () => location.search)
  const href = withRange(to, search)
  const click = (event: MouseEvent<HTMLAnchorElement>) => {
    onClick?.(event)
    if (event.defaultPrevented || event.button !== 0 || event.metaKey || event.ctrlKey || event.shiftKey || event.altKey) return
    event.preventDefault()
    navigate(href)
  }
  return <a {...rest} href={href} onClick={click} />
}
