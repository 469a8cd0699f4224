// The one way to the server. Answers are JSON; errors are RFC 9457 problems and name the field that is at fault.

export class Problem extends Error {
  constructor(
    readonly status: number,
    readonly title: string,
    readonly detail: string,
    readonly field = '',
    readonly code = '',
  ) {
    super(detail || title)
  }
}

// Set when a session begins: every changing request carries it, so that another site's form cannot change anything.
let csrf = ''
export function setCsrf(token: string) {
  csrf = token
}

type Listener = () => void
const signedOut = new Set<Listener>()
export function onSignedOut(listener: Listener): Listener {
  signedOut.add(listener)
  return () => signedOut.delete(listener)
}

export type Query = Record<string, string | number | boolean | null | undefined>

export function url(path: string, query: Query = {}): string {
  const params = new URLSearchParams()
  for (const [name, value] of Object.entries(query)) if (value !== undefined && value !== null && value !== '') params.set(name, String(value))
  const text = params.toString()
  return text ? `${path}?${text}` : path
}

function text(from: unknown): string {
  return typeof from === 'string' ? from : ''
}

export async function problemOf(response: Response): Promise<Problem> {
  const raw = await response.text().catch(() => '')
  try {
    const body = JSON.parse(raw) as Record<string, unknown>
    // The /v1 routes speak their providers' language: {error: {message, param, code}}.
    const error = typeof body.error === 'object' && body.error !== null ? (body.error as Record<string, unknown>) : undefined
    if (error) return new Problem(response.status, response.statusText, text(error.message), text(error.param), text(error.code))
    return new Problem(response.status, text(body.title) || response.statusText, text(body.detail), text(body.field), text(body.code))
  } catch {
    return new Problem(response.status, response.statusText || `HTTP ${response.status}`, raw.slice(0, 300))
  }
}

export interface Options {
  query?: Query
  body?: unknown
  signal?: AbortSignal | undefined
  headers?: Record<string, string>
  // Signing in asks whether somebody is there: a 401 is then an answer, not the end of a session.
  expect401?: boolean
}

// The raw answer, for streams. Throws a Problem for anything but 2xx.
export async function send(method: string, path: string, options: Options = {}): Promise<Response> {
  const headers: Record<string, string> = { accept: 'application/json', ...options.headers }
  if (options.body !== undefined) headers['content-type'] = 'application/json'
  if (method !== 'GET' && method !== 'HEAD' && csrf) headers['x-ballast-csrf'] = csrf
  let response: Response
  try {
    response = await fetch(url(path, options.query), {
      method,
      headers,
      credentials: 'same-origin',
      signal: options.signal ?? null,
      ...(options.body === undefined ? {} : { body: JSON.stringify(options.body) }),
    })
  } catch (e) {
    if (e instanceof DOMException && e.name === 'AbortError') throw e
    throw new Problem(0, 'No answer', 'Ballast cannot be reached. Is it running, and is the network up?')
  }
  if (response.ok) return response
  const problem = await problemOf(response)
  if (response.status === 401 && !options.expect401) for (const listener of [...signedOut]) listener()
  throw problem
}

export async function request<T>(method: string, path: string, options: Options = {}): Promise<T> {
  const response = await send(method, path, options)
  if (response.status === 204) return undefined as T
  const raw = await response.text()
  return (raw ? JSON.parse(raw) : undefined) as T
}

export const get = <T>(path: string, query?: Query, signal?: AbortSignal) => request<T>('GET', path, { ...(query ? { query } : {}), signal })
export const post = <T>(path: string, body?: unknown) => request<T>('POST', path, { body: body ?? {} })
export const patch = <T>(path: string, body: unknown) => request<T>('PATCH', path, { body })
export const put = <T>(path: string, body: unknown) => request<T>('PUT', path, { body })
export const remove = <T>(path: string, query?: Query) => request<T>('DELETE', path, query ? { query } : {})
