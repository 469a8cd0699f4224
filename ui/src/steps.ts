// A call's decision while it is taken (GET /api/steps): told under a name that is made up for the call and sent along with it. Another caller who
// does not know the name hears nothing, and neither does another key that does.

import { send } from './api/client'
import { eventsOf } from './sse'

export type Step = Record<string, unknown>
export interface Heard {
  begun: (call: string) => void
  step: (step: Step) => void
  // Nothing more will be told.
  ended: () => void
}

// What a call says in this header is the name it is followed by.
export const kStepsHeader = 'x-ballast-steps'
// A call waits no longer for somebody to listen to it.
const kPatienceMs = 1000

function newName(): string {
  return [...crypto.getRandomValues(new Uint8Array(16))].map((byte) => byte.toString(16).padStart(2, '0')).join('')
}

// The name, once the server listens for it; empty where it does not: the call goes unheard, and its record tells all of it afterwards.
export function follow(heard: Heard, signal: AbortSignal): Promise<string> {
  const name = newName()
  return new Promise((resolve) => {
    const timer = setTimeout(() => resolve(''), kPatienceMs)
    const listen = async () => {
      for await (const data of eventsOf(await send('GET', '/api/steps', { query: { name }, headers: { accept: 'text/event-stream' }, signal }))) {
        if (signal.aborted) return
        const said = JSON.parse(data) as Step
        if (typeof said.step === 'string') heard.step(said)
        else if (said.name === name) resolve(name)
        else if (typeof said.call === 'string') heard.begun(said.call)
      }
    }
    listen()
      .catch(() => undefined)
      .finally(() => {
        clearTimeout(timer)
        resolve('')
        if (!signal.aborted) heard.ended()
      })
  })
}
