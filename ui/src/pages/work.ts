// The pages of work: jobs, flows, the inbox, dead letters; and what the server stands on.

import { lazy } from 'react'
import type { PageEntry } from './index'

export const kWorkPages: PageEntry[] = [
  { path: '/jobs', menu: { title: 'Jobs', key: 'j', icon: '▤', group: 'work' }, view: lazy(() => import('./jobs')) },
  { path: '/jobs/:id', view: lazy(() => import('./job')) },
  { path: '/flows', menu: { title: 'Flows', key: 'f', icon: '⇉', group: 'work' }, view: lazy(() => import('./flows')) },
  { path: '/flows/:name', view: lazy(() => import('./flow')) },
  { path: '/inbox', menu: { title: 'Inbox', key: 'i', icon: '✉', group: 'work', badge: 'approvals' }, view: lazy(() => import('./inbox')) },
  { path: '/inbox/:id', view: lazy(() => import('./inbox')) },
  { path: '/dead', menu: { title: 'Dead letters', key: 'd', icon: '✝', group: 'work', badge: 'dead' }, view: lazy(() => import('./dead')) },
  { path: '/system', menu: { title: 'System', key: 'y', icon: '⚙', group: 'own' }, view: lazy(() => import('./system')) },
  { path: '/readiness', menu: { title: 'Readiness', key: 'r', icon: '☑', group: 'own' }, view: lazy(() => import('./readiness')) },
]
