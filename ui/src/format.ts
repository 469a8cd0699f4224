// Numbers, times and durations as people read them. Pure: the clock and the locale are arguments or fixed.

const kThin = '\u2009'

export function count(n: number | null | undefined): string {
  if (n === null || n === undefined || !Number.isFinite(n)) return '–'
  return Math.round(n)
    .toString()
    .replace(/\B(?=(\d{3})+(?!\d))/g, kThin)
}

// 1234 → "1.23k": three digits.
export function short(n: number | null | undefined): string {
  if (n === null || n === undefined || !Number.isFinite(n)) return '–'
  const size = Math.abs(n)
  if (size < 1000) return digits(n)
  let value = n
  for (const unit of ['k', 'M', 'G', 'T', 'P']) {
    value /= 1000
    if (Math.abs(value) < 999.5) return digits(value) + unit
  }
  return n.toExponential(2)
}

function digits(n: number): string {
  const size = Math.abs(n)
  if (Number.isInteger(n) || size >= 100) return n.toFixed(0)
  return n
    .toFixed(size >= 10 ? 1 : 2)
    .replace(/0+$/, '')
    .replace(/\.$/, '')
}

export function percent(share: number | null | undefined): string {
  if (share === null || share === undefined || !Number.isFinite(share)) return '–'
  const p = share * 100
  if (p === 0) return '0 %'
  if (Math.abs(p) < 0.01) return p < 0 ? '>−0.01 %' : '<0.01 %'
  return `${p.toFixed(Math.abs(p) < 1 ? 2 : Math.abs(p) < 10 ? 1 : 0)} %`
}

export function share(part: number, whole: number): number {
  return whole > 0 ? part / whole : 0
}

export function millis(ms: number | null | undefined): string {
  if (ms === null || ms === undefined || !Number.isFinite(ms)) return '–'
  if (ms === 0) return '0 ms'
  if (ms < 1) return `${Math.round(ms * 1000)} µs`
  if (ms < 1000) return `${ms < 10 ? ms.toFixed(1) : ms.toFixed(0)} ms`
  if (ms < 60_000) return `${(ms / 1000).toFixed(2)} s`
  return span(ms / 1000)
}

export const micros = (us: number | null | undefined) => (us === null || us === undefined ? '–' : millis(us / 1000))

// 3 700 s → "1 h 1 m".
export function span(seconds: number | null | undefined): string {
  if (seconds === null || seconds === undefined || !Number.isFinite(seconds)) return '–'
  const s = Math.max(0, Math.round(seconds))
  if (s < 60) return `${s} s`
  const parts: [number, string][] = [
    [Math.floor(s / 86400), 'd'],
    [Math.floor((s % 86400) / 3600), 'h'],
    [Math.floor((s % 3600) / 60), 'm'],
    [s % 60, 's'],
  ]
  const first = parts.findIndex(([n]) => n > 0)
  return parts
    .slice(first, first + 2)
    .filter(([n]) => n > 0)
    .map(([n, unit]) => `${n} ${unit}`)
    .join(' ')
}

export function ago(at: Date, now: Date): string {
  const s = (now.getTime() - at.getTime()) / 1000
  if (s < 0) return s > -2 ? 'now' : `in ${coarse(-s)}`
  return s < 2 ? 'now' : `${coarse(s)} ago`
}

function coarse(s: number): string {
  if (s < 60) return `${Math.floor(s)} s`
  if (s < 3600) return `${Math.floor(s / 60)} min`
  if (s < 86400) return `${Math.floor(s / 3600)} h`
  return `${Math.floor(s / 86400)} d`
}

const two = (n: number) => String(n).padStart(2, '0')

// The reader's own time zone, without a locale's surprises: 2026-11-22 20:41:07.
export function dateTime(at: Date, millisToo = false): string {
  if (Number.isNaN(at.getTime())) return '–'
  const day = `${at.getFullYear()}-${two(at.getMonth() + 1)}-${two(at.getDate())}`
  return `${day} ${clock(at)}${millisToo ? `.${String(at.getMilliseconds()).padStart(3, '0')}` : ''}`
}

export function clock(at: Date): string {
  return `${two(at.getHours())}:${two(at.getMinutes())}:${two(at.getSeconds())}`
}

const kMonths = ['Jan', 'Feb', 'Mar', 'Apr', 'May', 'Jun', 'Jul', 'Aug', 'Sep', 'Oct', 'Nov', 'Dec']
// What a chart's axis says at `at`, where its ticks are `stepSeconds` apart.
export function tick(at: Date, stepSeconds: number): string {
  if (stepSeconds >= 86400 || (at.getHours() === 0 && at.getMinutes() === 0 && at.getSeconds() === 0)) return `${at.getDate()} ${kMonths[at.getMonth()]}`
  return stepSeconds < 60 ? clock(at) : `${two(at.getHours())}:${two(at.getMinutes())}`
}

export function bytes(n: number | null | undefined): string {
  if (n === null || n === undefined) return '–'
  let value = n
  for (const unit of ['B', 'KiB', 'MiB', 'GiB']) {
    if (value < 1024 || unit === 'GiB') return `${digits(value)} ${unit}`
    value /= 1024
  }
  return '–'
}

// For lengths and axes: an amount that is exact has `money`. Three digits that say something, also of little: an axis that reads $0, $0, $0 tells nothing.
export function dollars(usd: number): string {
  if (!(Math.abs(usd) > 0 && Math.abs(usd) < 1)) return `$${short(usd)}`
  const little = Math.abs(usd) < 0.001
  const digits = Number((little ? usd * 100 : usd).toPrecision(3))
    .toFixed(9)
    .replace(/(\.\d\d\d*?)0+$/, '$1')
  return little ? `${digits}¢` : `$${digits}`
}

// A long id or text by its ends. Whole characters are kept: no half of a surrogate pair.
export function middle(text: string, most: number): string {
  const letters = [...text]
  if (letters.length <= most) return text
  const head = Math.ceil((most - 1) / 2)
  return `${letters.slice(0, head).join('')}…${letters.slice(letters.length - (most - 1 - head)).join('')}`
}

// Of a text from outside at most this much is given to the page: ten thousand letters in a cell help nobody.
export function clip(text: string, most = 200): string {
  return visible(text.length <= most ? text : `${[...text.slice(0, most)].slice(0, -1).join('')}…`)
}

// What would turn the letters around it about, or not be seen at all, is shown by its number: “exe.‹202E›gnp” fools nobody.
export function visible(text: string): string {
  // biome-ignore lint/suspicious/noControlCharactersInRegex: they are what is looked for
  return text.replace(/[\u0000-\u0008\u000b-\u001f\u007f-\u009f\u200b-\u200f\u202a-\u202e\u2060-\u2069\ufeff]/g, (one) =>
    one === '\r' || one === '\u200d' ? one : `‹${one.charCodeAt(0).toString(16).toUpperCase().padStart(4, '0')}›`,
  )
}

// A name of our vocabulary without its underscores; anything else as it is.
export function words(name: string): string {
  return /^[a-z0-9_]{1,80}$/.test(name) ? name.replaceAll('_', ' ') : name
}
