import { describe, expect, it } from 'vitest'
import { Events } from '../src/sse'

const stream = 'event: x\ndata: {"a":1}\n\n: heartbeat\n\ndata: two\ndata: lines\r\n\r\ndata:[DONE]\n\n'

describe('server-sent events', () => {
  it('are the same however they are cut', () => {
    const whole = new Events().push(stream)
    expect(whole).toEqual(['{"a":1}', 'two\nlines', '[DONE]'])
    for (let size = 1; size < stream.length; size++) {
      const events = new Events()
      const found: string[] = []
      for (let i = 0; i < stream.length; i += size) found.push(...events.push(stream.slice(i, i + size)))
      expect(found).toEqual(whole)
    }
  })
  it('wait for the end of an event', () => expect(new Events().push('data: half\n')).toEqual([]))
})
