import type { Alert } from '../api/types'
import { millis, percent, short, span } from '../format'
import { money } from '../money'
import { Link } from '../router'
import { Status, Text, Time } from './basic'

// A figure of an alert in its unit.
export function figure(value: number | null, unit: string): string {
  if (value === null) return '–'
  switch (unit) {
    case 'usd':
      return money(value.toFixed(9))
    case 'ms':
      return millis(value)
    case 's':
    case 'seconds':
      return value >= 1 ? span(value) : millis(value * 1000)
    case 'share':
    case 'ratio':
      return percent(value)
    default:
      return `${short(value)}${unit ? ` ${unit.slice(0, 20)}` : ''}`
  }
}

export function AlertLine({ alert }: { alert: Alert }) {
  return (
    <div className="alert-line">
      <Status value={alert.severity} />
      <span className="alert-title">
        <Link to={`/alerts?open=${encodeURIComponent(alert.id)}`}>
          <Text most={160}>{alert.title}</Text>
        </Link>
      </span>
      {alert.value !== null ? <b className="number">{figure(alert.value, alert.unit)}</b> : null}
      <span className="muted small">
        <Time at={alert.since} />
      </span>
    </div>
  )
}
