// Every page: its path, its place in the menu, its key after "g". A page is fetched when it is first opened.

import { type ComponentType, type LazyExoticComponent, lazy } from 'react'
import { kWorkPages } from './work'

export interface PageEntry {
  path: string
  // In the menu, with its key; pages without are reached from others.
  menu?: { title: string; key: string; icon: string; group: 'watch' | 'work' | 'own'; badge?: 'approvals' | 'dead' | 'alerts' }
  view: LazyExoticComponent<ComponentType<{ params: Record<string, string> }>>
}

export const kPages: PageEntry[] = [
  { path: '/', menu: { title: 'Overview', key: 'o', icon: '◔', group: 'watch' }, view: lazy(() => import('./overview')) },
  { path: '/calls', menu: { title: 'Calls', key: 'c', icon: '≡', group: 'watch' }, view: lazy(() => import('./calls')) },
  { path: '/calls/:id', view: lazy(() => import('./call')) },
  { path: '/money', menu: { title: 'Money', key: 'm', icon: '$', group: 'watch' }, view: lazy(() => import('./money')) },
  { path: '/alerts', menu: { title: 'Alerts', key: 'a', icon: '△', group: 'watch', badge: 'alerts' }, view: lazy(() => import('./alerts')) },
  ...kWorkPages,
  { path: '/playground', menu: { title: 'Playground', key: 'p', icon: '▷', group: 'own' }, view: lazy(() => import('./playground')) },
  { path: '/settings', menu: { title: 'Settings', key: ',', icon: '⚙', group: 'own' }, view: lazy(() => import('./settings')) },
]
