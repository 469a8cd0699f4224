import { expect, it } from 'vitest'
import { setTo } from '../src/rules'

const none = { where: {}, for_s: 0, resolve_s: 300, factor: 0, floor: 0, threshold: 0, age_s: 0, least: 0, objective: 0, bound_s: 0, off: false, by: ['all'] }
const usd = (value: number, unit: string) => `${value} ${unit}`

it.each([
  [{ ...none, unit: 'usd', factor: 6, floor: 5 }, '×6 of what is usual, from 5 usd on, over after 5 m'],
  [{ ...none, unit: 'share', objective: 0.99, least: 10, by: ['all', 'route'] }, 'objective 99 %, 10 calls at least, over after 5 m, also of each route'],
  [{ ...none, unit: 'share', objective: 0.95, bound_s: 120 }, 'objective 95 %, slower than 2 m counts, over after 5 m'],
  [{ ...none, off: true, unit: 'seconds', age_s: 600, for_s: 30, by: [''] }, 'off, after 10 m, for 30 s, over after 5 m'],
  [
    {
      ...none,
      burns: [
        { rate: 14.4, over_s: 3600, now_s: 300 },
        { rate: 6, over_s: 21600 },
      ],
    },
    'over after 5 m, spent 14.4 times too fast over 1 h and 5 m, spent 6 times too fast over 6 h',
  ],
  [{ ...none, unit: 'calls', where: { team: 'x' }, burns: [14.4], new_one: 'y' }, 'over after 5 m, where {"team":"x"}, burns 14.4, new one y'],
  [{}, ''],
])('%o', (rule, words) => expect(setTo(rule, usd)).toBe(words))
