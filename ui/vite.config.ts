import react from '@vitejs/plugin-react'
import { defineConfig } from 'vite'

// `npm run dev` answers from the mock server unless BALLAST names a real one.
const backend = process.env.BALLAST ?? 'http://127.0.0.1:8799'
const served = ['/api', '/v1', '/v1beta', '/openapi.json', '/metrics', '/pages']

export default defineConfig({
  plugins: [react()],
  build: {
    outDir: process.env.BALLAST_UI_OUT ?? '../build/ui',
    emptyOutDir: true,
    target: 'es2022',
    // The page's policy allows nothing inline: neither small files as data nor the preload helper.
    assetsInlineLimit: 0,
    modulePreload: { polyfill: false },
    sourcemap: false,
    reportCompressedSize: false,
  },
  server: { port: 5199, proxy: Object.fromEntries(served.map((path) => [path, { target: backend }])) },
})
