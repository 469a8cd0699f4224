// Light, dark, or as the system says; times as they are read: how long ago, or by the clock.

import { choice } from './choice'

export type Theme = 'auto' | 'light' | 'dark'
export const theme = choice<Theme>('ballast-theme', ['auto', 'light', 'dark'], applyTheme)
export type Times = 'ago' | 'clock'
export const times = choice<Times>('ballast-times', ['ago', 'clock'])

export function applyTheme(now: Theme = theme.get()): void {
  if (now === 'auto') delete document.documentElement.dataset.theme
  else document.documentElement.dataset.theme = now
}
