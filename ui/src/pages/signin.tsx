import { type FormEvent, useEffect, useRef, useState } from 'react'
import { Problem } from '../api/client'
import { Button, ErrorBox } from '../components/basic'
import { useSessionHand } from '../session'

export function SignIn({ error }: { error?: Problem | undefined }) {
  const { signIn } = useSessionHand()
  const [key, setKey] = useState('')
  const [busy, setBusy] = useState(false)
  const [why, setWhy] = useState<Problem | undefined>(error)
  const field = useRef<HTMLInputElement>(null)
  useEffect(() => {
    document.title = 'Sign in · Ballast'
    field.current?.focus()
  }, [])
  const submit = async (event: FormEvent) => {
    event.preventDefault()
    setBusy(true)
    setWhy(undefined)
    try {
      await signIn(key.trim())
    } catch (e) {
      const problem = e instanceof Problem ? e : new Problem(0, 'Not understood', String(e))
      setWhy(problem.status === 401 ? new Problem(401, 'Unknown key', 'This key is not known, or it is no longer good.') : problem)
      setBusy(false)
      field.current?.select()
    }
  }
  return (
    <main className="signin">
      <form onSubmit={submit} className="signin-box">
        <h1>Ballast</h1>
        <p className="muted">Sign in with a key that may read (scope read) or change things (scope admin).</p>
        <label>
          Key
          <input
            ref={field}
            type="password"
            autoComplete="current-password"
            spellCheck={false}
            value={key}
            onChange={(event) => setKey(event.target.value)}
            required
            maxLength={512}
          />
        </label>
        <ErrorBox error={why} />
        <Button type="submit" kind="primary" disabled={busy || key.trim() === ''}>
          {busy ? 'Signing in…' : 'Sign in'}
        </Button>
        <p className="muted small">
          The key is exchanged for a cookie that ends by itself; this page does not keep it. A new key: <code>ballast keys create --help</code>
        </p>
      </form>
    </main>
  )
}
