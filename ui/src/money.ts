// Dollars as they come: decimal strings, exact to the nano-dollar. Sums are made of whole nano-dollars, never of floats.

const kNano = 1_000_000_000n

// null where `text` is not an amount.
export function nanoOf(text: string | null | undefined): bigint | null {
  const found = /^(-?)(\d+)(?:\.(\d{1,9})\d*)?$/.exec(text ?? '')
  if (!found) return null
  const whole = BigInt(found[2]!) * kNano + BigInt((found[3] ?? '').padEnd(9, '0'))
  return found[1] ? -whole : whole
}

export function usdOf(nano: bigint): string {
  const size = nano < 0n ? -nano : nano
  const rest = (size % kNano).toString().padStart(9, '0').replace(/0+$/, '')
  return `${nano < 0n ? '-' : ''}${size / kNano}${rest ? `.${rest}` : ''}`
}

export function sumUsd(amounts: (string | null | undefined)[]): string {
  return usdOf(amounts.reduce((sum, each) => sum + (nanoOf(each) ?? 0n), 0n))
}

export function minusUsd(a: string, b: string): string {
  return usdOf((nanoOf(a) ?? 0n) - (nanoOf(b) ?? 0n))
}

export function compareUsd(a: string | null | undefined, b: string | null | undefined): number {
  const left = nanoOf(a) ?? 0n
  const right = nanoOf(b) ?? 0n
  return left < right ? -1 : left > right ? 1 : 0
}

// For lengths on the screen alone.
export function usdNumber(text: string | null | undefined): number {
  return Number(nanoOf(text) ?? 0n) / 1e9
}

const grouped = (digits: bigint) => digits.toString().replace(/\B(?=(\d{3})+(?!\d))/g, '\u2009')

// Rounded half up to what a reader wants: cents from a dollar on, else three digits that say something.
export function money(text: string | null | undefined, decimals?: number): string {
  const nano = nanoOf(text)
  if (nano === null) return '–'
  const size = nano < 0n ? -nano : nano
  let places = decimals ?? 2
  if (decimals === undefined && size > 0n && size < kNano) {
    const lead = 9 - size.toString().length
    places = Math.min(9, Math.max(2, lead + 3))
  }
  const unit = 10n ** BigInt(9 - places)
  const rounded = (size + unit / 2n) / unit
  const scale = 10n ** BigInt(places)
  const rest = places > 0 ? `.${(rounded % scale).toString().padStart(places, '0')}` : ''
  return `${nano < 0n ? '−' : ''}$${grouped(rounded / scale)}${rest}`
}
