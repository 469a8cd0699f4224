// The frame: menu at the side (a drawer on a phone), skip link, help by "?", theme, who is signed in.

import { type ReactNode, useEffect, useMemo, useState } from 'react'
import { useApi } from '../api/query'
import type { Alerts, Approvals, DeadGroups } from '../api/types'
import { activeShortcuts, useShortcuts } from '../keys'
import { useLiveRefresh, useOnline } from '../live'
import { kPages, type PageEntry } from '../pages'
import { go, Link, usePath } from '../router'
import { scopesOf, useMay, useSession, useSessionHand } from '../session'
import { type Theme, type Times, theme, times } from '../theme'
import { Button } from './basic'
import { Dialog } from './dialog'

const kGroups: [string, string][] = [
  ['watch', 'Watch'],
  ['work', 'Work'],
  ['own', 'Own'],
]

const inMenu = kPages.filter((page) => page.menu)
const here = (page: PageEntry, path: string) => (page.path === '/' ? path === '/' : path === page.path || path.startsWith(`${page.path}/`))

export function Layout({ children }: { children: ReactNode }) {
  const path = usePath()
  const [open, setOpen] = useState(false)
  const [help, setHelp] = useState(false)
  useLiveRefresh(useMay('read').may)
  // biome-ignore lint/correctness/useExhaustiveDependencies: the drawer closes when the page changes
  useEffect(() => setOpen(false), [path])
  const shortcuts = useMemo(
    () => [
      ...inMenu.map((page) => ({ keys: `g ${page.menu!.key}`, what: page.menu!.title, run: () => go(page.path) })),
      { keys: '/', what: 'Search', run: search },
      { keys: '?', what: 'This help', run: () => setHelp(true) },
    ],
    [],
  )
  useShortcuts(shortcuts)
  return (
    <div className="frame">
      <a className="skip" href="#main">
        Skip to the page
      </a>
      <header className="topbar">
        <Button kind="quiet" aria-expanded={open} aria-controls="menu" aria-label="Menu" onClick={() => setOpen(!open)}>
          ☰
        </Button>
        <span className="brand">Ballast</span>
        <Online />
      </header>
      {open ? <button type="button" className="veil" aria-label="Close the menu" onClick={() => setOpen(false)} /> : null}
      <nav id="menu" className={open ? 'menu menu-open' : 'menu'} aria-label="Pages">
        <div className="brand">
          Ballast <Online />
        </div>
        <div className="menu-scroll">
          {kGroups.map(([group, title]) => (
            <Group key={group} title={title} pages={inMenu.filter((page) => page.menu?.group === group)} path={path} />
          ))}
        </div>
        <Foot onHelp={() => setHelp(true)} />
      </nav>
      <main id="main" tabIndex={-1}>
        {children}
      </main>
      {help ? <Help onClose={() => setHelp(false)} /> : null}
    </div>
  )
}

// "/" goes to the page's own search field; where there is none, to the calls.
function search() {
  const field = document.querySelector<HTMLInputElement>('[data-search]')
  if (field) {
    field.focus()
    field.select()
  } else go('/calls')
}

function Online() {
  const online = useOnline()
  return (
    <span className={online ? 'online' : 'online online-off'} title={online ? 'Live' : 'Not live: figures are read at intervals'}>
      <span className="hidden">{online ? 'live' : 'not live'}</span>
    </span>
  )
}

function Group({ title, pages, path }: { title: string; pages: PageEntry[]; path: string }) {
  const counts = useCounts()
  if (pages.length === 0) return null
  return (
    <>
      <div className="menu-group">{title}</div>
      <ul>
        {pages.map((page) => {
          const menu = page.menu!
          const n = (menu.badge && counts[menu.badge]) || 0
          return (
            <li key={page.path}>
              <Link
                to={page.path}
                onPointerEnter={page.fetch}
                onFocus={page.fetch}
                aria-current={here(page, path) ? 'page' : undefined}
                title={`g ${menu.key}`}
              >
                <span className="menu-icon" aria-hidden="true">
                  {menu.icon}
                </span>
                {menu.title}
                {n > 0 ? (
                  <span className={menu.badge === 'approvals' ? 'menu-count' : 'menu-count menu-count-bad'}>
                    {n > 999 ? '999+' : n}
                    <span className="hidden"> waiting</span>
                  </span>
                ) : null}
              </Link>
            </li>
          )
        })}
      </ul>
    </>
  )
}

// How many things wait, beside the pages' names.
function useCounts(): Record<string, number> {
  const seldom = { refreshMs: 30_000 }
  const reads = useMay('read').may
  const decides = useMay('approve').may
  const alerts = useApi<Alerts>(reads ? '/api/alerts' : null, { state: 'firing', limit: 100 }, seldom).data?.alerts.length ?? 0
  const dead = useApi<DeadGroups>(reads ? '/api/dead' : null, {}, seldom).data?.jobs ?? 0
  const approvals = useApi<Approvals>(decides ? '/api/approvals' : null, { limit: 1000 }, seldom).data?.approvals.length ?? 0
  return { alerts, dead, approvals }
}

const kThemes: [Theme, string, string][] = [
  ['auto', '◐', 'As the system'],
  ['light', '☀', 'Light'],
  ['dark', '☾', 'Dark'],
]

const kTimes: [Times, string, string][] = [
  ['ago', '5 min ago', 'Times as how long ago'],
  ['clock', '14:30', 'Times by the clock'],
]

function Foot({ onHelp }: { onHelp: () => void }) {
  const session = useSession()
  const { signOut, signInAnew } = useSessionHand()
  const colours = theme.use()
  const read = times.use()
  const look = session.key && !scopesOf(session).includes('admin')
  return (
    <div className="menu-foot">
      <div className="segments" role="group" aria-label="Colours">
        {kThemes.map(([name, icon, words]) => (
          <button key={name} type="button" aria-pressed={colours === name} title={words} onClick={() => theme.set(name)}>
            <span aria-hidden="true">{icon}</span>
            <span className="hidden">{words}</span>
          </button>
        ))}
        <button type="button" onClick={onHelp} title="Keys (?)">
          <span aria-hidden="true">?</span>
          <span className="hidden">Help</span>
        </button>
      </div>
      <div className="segments" role="group" aria-label="Times">
        {kTimes.map(([name, example, words]) => (
          <button key={name} type="button" aria-pressed={read === name} title={words} onClick={() => times.set(name)}>
            {example}
          </button>
        ))}
      </div>
      {session.key ? (
        <div className="who">
          <bdi title={session.key.name.slice(0, 500)}>{session.key.name.slice(0, 60) || session.key.id}</bdi>
          {look ? <span className="muted"> · {scopesOf(session).join(', ')}</span> : null}
          {session.csrf ? (
            <button type="button" className="link" onClick={() => void signOut()}>
              Sign out
            </button>
          ) : (
            <button type="button" className="link" onClick={signInAnew}>
              Sign in
            </button>
          )}
        </div>
      ) : (
        <div className="who muted">No key is asked for here</div>
      )}
      <div className="who muted">{session.version}</div>
    </div>
  )
}

function Help({ onClose }: { onClose: () => void }) {
  return (
    <Dialog title="Keys" onClose={onClose}>
      <dl className="keys">
        {activeShortcuts().map(({ keys, what }) => (
          <div key={keys}>
            <dt>
              {keys.split(' ').map((key) => (
                <kbd key={key}>{key}</kbd>
              ))}
            </dt>
            <dd>{what}</dd>
          </div>
        ))}
        <div>
          <dt>
            <kbd>Enter</kbd>
          </dt>
          <dd>Open the row</dd>
        </div>
        <div>
          <dt>
            <kbd>←</kbd>
            <kbd>→</kbd>
          </dt>
          <dd>Read a chart that has the focus</dd>
        </div>
      </dl>
    </Dialog>
  )
}
