import { StrictMode } from 'react'
import { createRoot } from 'react-dom/client'
import './styles/tokens.css'
import './styles/base.css'
import './styles/panel.css'
import './styles/controls.css'
import './styles/table.css'
import './styles/chart.css'
import './styles/dialog.css'
import './styles/json.css'
import './styles/pages.css'
import { App } from './app'
import { fetchPage } from './pages'
import { askSession } from './session'
import { applyTheme } from './theme'

applyTheme()
// Who is there and what is to be shown are asked for at once, not one after the other.
askSession().catch(() => undefined)
fetchPage(location.pathname)
const root = document.getElementById('root')
if (root)
  createRoot(root).render(
    <StrictMode>
      <App />
    </StrictMode>,
  )
