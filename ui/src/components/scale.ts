// The arithmetic of charts. Pure.

// The next round number above `most` and the steps up to it: 0, 20, 40, 60.
export function scale(most: number, wanted = 4): number[] {
  if (!(most > 0) || !Number.isFinite(most)) return [0, 1]
  const rough = most / wanted
  const size = 10 ** Math.floor(Math.log10(rough))
  const step = [1, 2, 2.5, 5, 10].map((n) => n * size).find((n) => n >= rough * 0.999) ?? 10 * size
  const ticks: number[] = []
  for (let i = 0; i * step < most * 1.0001 || ticks.length < 2; i++) ticks.push(Number((i * step).toPrecision(12)))
  if (ticks.at(-1)! < most) ticks.push(Number((ticks.length * step).toPrecision(12)))
  return ticks
}

const kRound = [1, 5, 10, 15, 30, 60, 120, 300, 600, 900, 1800, 3600, 7200, 10800, 21600, 43200, 86400, 172800, 604800]
// Which buckets the time axis names: those at round times of the reader's clock, as many as fit; and how far apart they are.
// `offsetSeconds` is what that clock is ahead of UTC.
export function named(startsMs: number[], stepSeconds: number, width: number, offsetSeconds: number, each = 72): { at: number[]; apart: number } {
  const fits = Math.max(1, Math.floor(width / each))
  const wanted = (startsMs.length * stepSeconds) / fits
  const apart = kRound.find((seconds) => seconds >= wanted && seconds >= stepSeconds) ?? Math.ceil(wanted / 604800) * 604800
  const at: number[] = []
  startsMs.forEach((ms, i) => {
    const local = ms / 1000 + offsetSeconds
    // The bucket that holds the round moment, be it aligned or not.
    if (Math.floor((local + stepSeconds - 1) / apart) * apart >= local) at.push(i)
  })
  return { at, apart }
}

// How many seconds of each bucket lie within the range and are over: the first and the last are rarely whole, and what happened in
// half of one is not half as fast. Null where too little is over to say anything.
export function covered(startsMs: number[], stepSeconds: number, fromMs: number, toMs: number, nowMs: number): (number | null)[] {
  const end = Math.min(toMs, nowMs)
  return startsMs.map((start) => {
    const seconds = (Math.min(end, start + stepSeconds * 1000) - Math.max(fromMs, start)) / 1000
    return seconds >= stepSeconds * 0.2 ? seconds : null
  })
}

// A line through the points, broken where there is nothing.
export function path(points: ([number, number] | null)[]): string {
  let out = ''
  let pen = false
  for (const point of points) {
    if (!point) {
      pen = false
      continue
    }
    out += `${pen ? 'L' : 'M'}${point[0].toFixed(1)} ${point[1].toFixed(1)}`
    pen = true
  }
  return out
}

// Points with nothing on either side: a line would not show them.
export function lonely(values: (number | null)[]): number[] {
  const found: number[] = []
  for (let i = 0; i < values.length; i++) if (values[i] !== null && (values[i - 1] ?? null) === null && (values[i + 1] ?? null) === null) found.push(i)
  return found
}

// Stacked upwards: of each layer its lower and upper edge.
export function stack(layers: (number | null)[][]): [number, number][][] {
  const base: number[] = []
  return layers.map((values) =>
    values.map((value, i) => {
      const low = base[i] ?? 0
      const high = low + Math.max(0, value ?? 0)
      base[i] = high
      return [low, high]
    }),
  )
}
