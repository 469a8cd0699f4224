// Every page: its path, its place in the menu, its key after "g". A page is fetched when it is first opened, or pointed at.

import { type ComponentType, type LazyExoticComponent, lazy } from 'react'
import { match } from '../router'

type View = ComponentType<{ params: Record<string, string> }>
type Menu = { title: string; key: string; icon: string; group: 'watch' | 'work' | 'own'; badge?: 'approvals' | 'dead' | 'alerts' }
export interface PageEntry {
  path: string
  // In the menu, with its key; pages without are reached from others.
  menu?: Menu
  view: LazyExoticComponent<View>
  // Begins to fetch it. As often as one likes: it comes once.
  fetch: () => void
}

function page(path: string, load: () => Promise<{ default: View }>, menu?: Menu): PageEntry {
  // What fails here fails again, and is told, where the page is shown.
  return { path, view: lazy(load), fetch: () => void load().catch(() => undefined), ...(menu ? { menu } : {}) }
}

export const kPages: PageEntry[] = [
  page('/', () => import('./overview'), { title: 'Overview', key: 'o', icon: '◔', group: 'watch' }),
  page('/calls', () => import('./calls'), { title: 'Calls', key: 'c', icon: '≡', group: 'watch' }),
  page('/calls/:id', () => import('./call')),
  page('/money', () => import('./money'), { title: 'Money', key: 'm', icon: '$', group: 'watch' }),
  page('/alerts', () => import('./alerts'), { title: 'Alerts', key: 'a', icon: '△', group: 'watch', badge: 'alerts' }),
  page('/jobs', () => import('./jobs'), { title: 'Jobs', key: 'j', icon: '▤', group: 'work' }),
  page('/jobs/:id', () => import('./job')),
  page('/flows', () => import('./flows'), { title: 'Flows', key: 'f', icon: '⇉', group: 'work' }),
  page('/flows/:name', () => import('./flow')),
  page('/inbox', () => import('./inbox'), { title: 'Inbox', key: 'i', icon: '✉', group: 'work', badge: 'approvals' }),
  page('/inbox/:id', () => import('./inbox')),
  page('/dead', () => import('./dead'), { title: 'Dead letters', key: 'd', icon: '✝', group: 'work', badge: 'dead' }),
  page('/system', () => import('./system'), { title: 'System', key: 'y', icon: '⚙', group: 'own' }),
  page('/readiness', () => import('./readiness'), { title: 'Readiness', key: 'r', icon: '☑', group: 'own' }),
  page('/playground', () => import('./playground'), { title: 'Playground', key: 'p', icon: '▷', group: 'own' }),
  page('/settings', () => import('./settings'), { title: 'Settings', key: ',', icon: '⚙', group: 'own' }),
]

// The page of an address, before anybody has asked for it.
export function fetchPage(path: string): void {
  kPages.find((each) => match(each.path, path))?.fetch()
}
