// The types of what the server answers, from the schemas that /openapi.json publishes: `npm run types`.
// With --check it only says whether src/api/schema.ts is what they make.
import { readFileSync, writeFileSync } from 'node:fs'
import openapiTS, { astToString } from 'openapi-typescript'

const source = new URL('../src/server/data/schemas.json', import.meta.url)
const target = new URL('src/api/schema.ts', import.meta.url)
const { schemas } = JSON.parse(readFileSync(source, 'utf8'))
const document = { openapi: '3.1.0', info: { title: 'Ballast', version: '0' }, paths: {}, components: { schemas } }
const made = `// Made by \`npm run types\` from the schemas of /openapi.json; do not edit by hand.\n\n${astToString(await openapiTS(document))}`
if (process.argv.includes('--check')) {
  if (readFileSync(target, 'utf8') === made) process.exit(0)
  console.error('src/api/schema.ts is not what the schemas make: run `npm run types` in ui/')
  process.exit(1)
}
writeFileSync(target, made)
