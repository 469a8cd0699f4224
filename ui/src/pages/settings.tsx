import type { ReactNode } from 'react'
import { useApi } from '../api/query'
import type { Config } from '../api/types'
import { Badge, Empty, ErrorBox, Facts, Loading, Page, Panel, Text } from '../components/basic'
import { Json } from '../components/json'
import { KeysPanel } from '../components/keys'
import { Table } from '../components/table'
import { words } from '../format'
import { money } from '../money'
import { Link } from '../router'
import { plain } from '../story'

export default function SettingsPage() {
  const { data, error, reload } = useApi<Config>('/api/config')
  return (
    <Page
      title="Settings"
      sub={
        data?.file ? (
          <>
            from <code>{data.file.slice(0, 200)}</code>; a changed file is taken over without a restart
          </>
        ) : (
          'What is in force'
        )
      }
    >
      <KeysPanel />
      <ErrorBox error={error} retry={reload} />
      {data ? <InForce config={data} /> : error ? null : <Loading />}
    </Page>
  )
}

function InForce({ config }: { config: Config }) {
  return (
    <>
      <div className="grid-2">
        <Providers config={config} />
        <Routes config={config} />
      </div>
      <div className="grid-3">
        <Panel title="Limits">
          <Named rows={config.limits} empty="No limit is set." />
        </Panel>
        <Panel title="Budgets" actions={<Link to="/money">As they stand</Link>}>
          <Named rows={config.budgets} empty="No budget is set." />
        </Panel>
        <Panel title="Aliases">
          {Object.keys(config.aliases).length === 0 ? <Empty>No alias is set.</Empty> : null}
          <Facts
            rows={Object.entries(config.aliases).map(([name, to]): [ReactNode, ReactNode] => [
              <Text key="a" most={60}>
                {name}
              </Text>,
              <Text key="b" most={60}>
                {to}
              </Text>,
            ])}
          />
        </Panel>
        <Panel title="Server">
          <Facts
            rows={[
              ['listens at', <code key="l">{config.listen}</code>],
              [
                'TLS',
                config.tls ? (
                  'yes'
                ) : (
                  <Badge key="t" tone="warn">
                    no
                  </Badge>
                ),
              ],
              [
                'keys wanted',
                config.require_key ? (
                  'yes'
                ) : (
                  <Badge key="k" tone="warn">
                    no: anybody may call
                  </Badge>
                ),
              ],
              ['database', config.database],
              ['classifiers', config.classifiers.length > 0 ? <Text key="c">{config.classifiers.join(', ')}</Text> : 'none'],
            ]}
          />
        </Panel>
        <Panel title="Kept for">
          <Facts rows={Object.entries(config.retention).map(([what, how]): [ReactNode, ReactNode] => [words(what), how ?? 'ever'])} />
        </Panel>
        <Panel title="Recording, alerts, telemetry">
          <Json value={{ recording: config.recording, alerts: config.alerts, telemetry: config.telemetry }} open={2} label="the settings" />
        </Panel>
      </div>
    </>
  )
}

function Providers({ config }: { config: Config }) {
  return (
    <Panel title="Providers" actions={<Link to="/system">How they do</Link>}>
      <Table
        label="Providers"
        rows={config.providers}
        id={(row) => row.name}
        empty="No provider is set up."
        columns={[
          { name: 'Provider', cell: (row) => <Text most={40}>{row.name}</Text> },
          { name: 'Kind', cell: (row) => <Text most={20}>{row.kind}</Text> },
          { name: 'At', wide: true, cell: (row) => <Text most={48}>{row.base_url}</Text> },
          {
            name: 'Credentials',
            number: true,
            cell: (row) => (row.keys > 0 ? row.keys : row.kind === 'simulator' ? 'needs none' : <Badge tone="warn">none</Badge>),
          },
          { name: 'Models', wide: true, wrap: true, cell: (row) => <Text most={60}>{row.models.join(', ')}</Text> },
        ]}
      />
    </Panel>
  )
}

function Routes({ config }: { config: Config }) {
  return (
    <Panel title="Routes">
      <Table
        label="Routes"
        rows={config.routes}
        id={(row) => row.name}
        to={(row) => `/playground?model=${encodeURIComponent(row.name)}`}
        empty="No route is set up: models are asked for by name."
        columns={[
          { name: 'Route', cell: (row) => <Text most={40}>{row.name}</Text> },
          {
            name: 'Leads to',
            cell: (row) => (
              <ol className="targets">
                {row.targets.map(({ target, weight }) => (
                  <li key={target}>
                    <Text most={48}>{target}</Text> <span className="muted">×{weight}</span>
                  </li>
                ))}
              </ol>
            ),
          },
          { name: 'How', wide: true, wrap: true, cell: (row) => <Text most={120}>{others(row, ['name', 'targets'])}</Text> },
        ]}
      />
    </Panel>
  )
}

function others(row: Record<string, unknown>, told: string[]): string {
  return Object.entries(row)
    .filter(([name, value]) => !told.includes(name) && plain(value) !== '')
    .map(([name, value]) => (name.endsWith('_usd') ? `${words(name.slice(0, -4))} ${money(plain(value))}` : `${words(name)} ${plain(value)}`))
    .join(', ')
}

function Named({ rows, empty }: { rows: ({ name: string; scope: string } & Record<string, unknown>)[]; empty: string }) {
  if (rows.length === 0) return <Empty>{empty}</Empty>
  return (
    <Facts
      rows={rows.map((row): [ReactNode, ReactNode] => [
        <Text key="n" most={40}>
          {row.name}
        </Text>,
        <span key="v">
          <Badge>{row.scope}</Badge> <Text most={160}>{others(row, ['name', 'scope'])}</Text>
        </span>,
      ])}
    />
  )
}
