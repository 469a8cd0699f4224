// Every page: its path, its place in the menu, its key after "g". A page is fetched when it is first opened.

import { type ComponentType, type LazyExoticComponent, lazy } from 'react'

export interface PageEntry {
  path: string
  // In the menu, with its key; pages without are reached from others.
  menu?: { title: string; key: string; icon: string; group: 'watch' | 'work' | 'own'; badge?: 'approvals' | 'dead' | 'alerts' }
  view: LazyExoticComponent<ComponentType<{ params: Record<string, string> }>>
}

export const kPages: PageEntry[] = [{ path: '/', menu: { title: 'Overview', key: 'o', icon: '◔', group: 'watch' }, view: lazy(() => import('./overview')) }]
