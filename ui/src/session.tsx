// Who looks at the page. The key itself is never kept: the server gives a cookie that scripts cannot read, and a CSRF token.

import { createContext, type ReactNode, useContext, useEffect, useMemo, useState } from 'react'
import { onSignedOut, Problem, request, setCsrf } from './api/client'
import { forgetAll } from './api/query'
import type { Session } from './api/types'

type State = { at: 'asking' } | { at: 'out'; error?: Problem } | { at: 'in'; session: Session }

interface Hand {
  state: State
  signIn: (key: string) => Promise<void>
  signOut: () => Promise<void>
  // Who was let in without a key wants to be somebody.
  signInAnew: () => void
}
const Context = createContext<Hand | null>(null)

let asked: Promise<Session> | undefined
// Who is there? Asked once, before anything is drawn.
export function askSession(): Promise<Session> {
  asked ??= request<Session>('GET', '/api/session', { expect401: true })
  return asked
}

export function SessionProvider({ children }: { children: ReactNode }) {
  const [state, setState] = useState<State>({ at: 'asking' })
  useEffect(() => {
    let gone = false
    askSession()
      .then((session) => {
        if (gone) return
        setCsrf(session.csrf ?? '')
        // Where no key is asked for, anybody is let in to call, but not to look.
        const may = session.csrf !== undefined || ['read', 'admin'].some((scope) => scopesOf(session).includes(scope))
        setState(may ? { at: 'in', session } : { at: 'out' })
      })
      .catch((why: unknown) => {
        if (!gone) setState(why instanceof Problem && why.status !== 401 ? { at: 'out', error: why } : { at: 'out' })
      })
    const off = onSignedOut(() => {
      setCsrf('')
      forgetAll()
      setState((now) =>
        now.at === 'in' ? { at: 'out', error: new Problem(401, 'Signed out', 'The session is over. Sign in again to go on where you were.') } : now,
      )
    })
    return () => {
      gone = true
      off()
    }
  }, [])
  const hand = useMemo<Hand>(
    () => ({
      state,
      signIn: async (key) => {
        const session = await request<Session>('POST', '/api/session', { body: { key }, expect401: true })
        setCsrf(session.csrf ?? '')
        setState({ at: 'in', session })
      },
      signOut: async () => {
        await request('DELETE', '/api/session', { expect401: true }).catch(() => undefined)
        setCsrf('')
        forgetAll()
        setState({ at: 'out' })
      },
      signInAnew: () => setState({ at: 'out' }),
    }),
    [state],
  )
  return <Context.Provider value={hand}>{children}</Context.Provider>
}

export function useSessionHand(): Hand {
  const hand = useContext(Context)
  if (!hand) throw new Error('no SessionProvider')
  return hand
}

export function useSession(): Session {
  const { state } = useSessionHand()
  if (state.at !== 'in') throw new Error('not signed in')
  return state.session
}

export function scopesOf(session: Session): string[] {
  return (session.key?.scopes ?? '').split(',').filter(Boolean)
}

// What a control that changes something needs: `why` is empty when it may, else the sentence to show in its stead.
export function allowed(session: Session, scope: string): { may: boolean; why: string } {
  const scopes = scopesOf(session)
  const may = scopes.includes('admin') || scopes.includes(scope)
  const who = session.key?.name ? `The key “${session.key.name.slice(0, 60)}”` : 'This page'
  return { may, why: may ? '' : `${who} may only look: this wants scope ${scope === 'admin' ? 'admin' : `${scope} or admin`}.` }
}
export function useMay(scope = 'admin'): { may: boolean; why: string } {
  return allowed(useSession(), scope)
}
