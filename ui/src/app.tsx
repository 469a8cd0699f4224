import { Component, type ReactNode, Suspense } from 'react'
import { Empty, ErrorBox, Loading, Page } from './components/basic'
import { Toasts } from './components/dialog'
import { Layout } from './components/layout'
import { kPages } from './pages'
import { SignIn } from './pages/signin'
import { Link, match, usePath } from './router'
import { SessionProvider, useSessionHand } from './session'

export function App() {
  return (
    <SessionProvider>
      <Door />
      <Toasts />
    </SessionProvider>
  )
}

// Without a session there is the sign-in and nothing else; the path stays, so that one arrives where one wanted to.
function Door() {
  const { state } = useSessionHand()
  if (state.at === 'asking') return <Loading />
  if (state.at === 'out') return <SignIn error={state.error} />
  return (
    <Layout>
      <Current />
    </Layout>
  )
}

function Current() {
  const path = usePath()
  for (const page of kPages) {
    const params = match(page.path, path)
    if (!params) continue
    const View = page.view
    return (
      <Caught key={path}>
        <Suspense fallback={<Loading />}>
          <View params={params} />
        </Suspense>
      </Caught>
    )
  }
  return (
    <Page title="Nothing here">
      <Empty action={<Link to="/">To the overview</Link>}>There is no page at this address.</Empty>
    </Page>
  )
}

// A page that breaks takes neither the menu nor the others along.
class Caught extends Component<{ children: ReactNode }, { error: Error | undefined }> {
  override state: { error: Error | undefined } = { error: undefined }
  static getDerivedStateFromError(error: unknown) {
    return { error: error instanceof Error ? error : new Error(String(error)) }
  }
  override render() {
    if (!this.state.error) return this.props.children
    const gone = /dynamically imported module|Importing a module/.test(this.state.error.message)
    return (
      <Page title={gone ? 'Ballast was updated' : 'This page broke'}>
        {gone ? <p>Load the page again to get the new version.</p> : <ErrorBox error={this.state.error} />}
        <p>
          <button type="button" className="button" onClick={() => location.reload()}>
            Load again
          </button>
        </p>
      </Page>
    )
  }
}
