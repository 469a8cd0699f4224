// Ajv's side of bench/schema/run: ajv.mjs LINES WARM_MS BATCHES. Reads one schema with its instances a line, prints for each line the
// verdicts and, for each instance, the median ns of judging it and of JSON.parse with judging it.
import { readFileSync } from 'node:fs'
import { createRequire } from 'node:module'
const { Ajv } = createRequire(process.cwd() + '/')('ajv')
const { Ajv2020 } = createRequire(process.cwd() + '/')('ajv/dist/2020.js')

const [, , lines, warmMs, batches] = process.argv
let sink = 0

// Median ns of one call, of batches of about 100 µs, once the compiler has had `warmMs` to do its best.
function measure (call) {
  let calls = 0
  const warm = process.hrtime.bigint() + BigInt(Math.round(warmMs * 1e6))
  const begin = process.hrtime.bigint()
  while (process.hrtime.bigint() < warm) {
    for (let i = 0; i < 16; ++i) sink += call()
    calls += 16
  }
  const each = Number(process.hrtime.bigint() - begin) / calls
  const size = Math.max(1, Math.round(100_000 / each))
  const samples = []
  for (let b = 0; b < batches; ++b) {
    const from = process.hrtime.bigint()
    for (let i = 0; i < size; ++i) sink += call()
    samples.push(Number(process.hrtime.bigint() - from) / size)
  }
  return samples.sort((a, b) => a - b)[batches >> 1]
}

// Its own choice of flags is tried first; a few expressions are none under `u`, which is its default.
function compile (Kind, schema) {
  const options = { strict: false, validateFormats: false, validateSchema: false, logger: false }
  try {
    return new Kind(options).compile(schema)
  } catch {
    return new Kind({ ...options, unicodeRegExp: false }).compile(schema)
  }
}

for (const line of readFileSync(lines, 'utf8').split('\n')) {
  if (!line) continue
  const { draft, schema, tests } = JSON.parse(line)
  let validate
  try {
    validate = compile(draft === 'draft2020-12' ? Ajv2020 : Ajv, schema)
  } catch (e) {
    console.log(JSON.stringify({ error: e.message }))
    continue
  }
  // Each instance has met its validator before any of them is measured.
  const valid = tests.map(t => validate(t.data))
  const ns = tests.map(t => measure(() => validate(t.data) ? 1 : 0))
  const parsed = tests.map(t => {
    const text = JSON.stringify(t.data)
    return measure(() => validate(JSON.parse(text)) ? 1 : 0)
  })
  console.log(JSON.stringify({ valid, ns, parsed }))
}
if (sink < 0) console.log(sink)
