// Server-sent events out of a stream of bytes (fetch cannot be an EventSource: it posts). Pure: text in, events out.

export class Events {
  private rest = ''
  private lines: string[] = []

  // The data of every event that `text` completes.
  push(text: string): string[] {
    this.rest += text
    const found: string[] = []
    for (;;) {
      const end = /\r\n|\n|\r(?!$)/.exec(this.rest)
      if (!end) return found
      const line = this.rest.slice(0, end.index)
      this.rest = this.rest.slice(end.index + end[0].length)
      if (line === '') {
        if (this.lines.length > 0) found.push(this.lines.join('\n'))
        this.lines = []
      } else if (line.startsWith('data:')) this.lines.push(line.slice(line[5] === ' ' ? 6 : 5))
    }
  }
}

export async function* eventsOf(response: Response): AsyncGenerator<string> {
  if (!response.body) return
  const reader = response.body.pipeThrough(new TextDecoderStream()).getReader()
  const events = new Events()
  try {
    for (;;) {
      const { done, value } = await reader.read()
      if (done) return
      yield* events.push(value)
    }
  } finally {
    reader.cancel().catch(() => undefined)
  }
}
