// A flow as a picture: its stages in layers from left to right, each right of all that it comes after (Sugiyama's method, the three
// steps of it that a flow needs: layers by longest path, order by barycentres, coordinates on a grid). Pure, and the same for the same flow.

export interface Node {
  name: string
  after: readonly string[]
}

export interface Placed {
  name: string
  layer: number
  // From the top, in its layer.
  row: number
  x: number
  y: number
}

export interface Edge {
  from: string
  to: string
  // Where it passes through each layer, both ends included.
  points: { x: number; y: number }[]
}

export interface Layout {
  nodes: Placed[]
  edges: Edge[]
  width: number
  height: number
}

export interface Sizes {
  width: number
  height: number
  gapX: number
  gapY: number
}

export const kSizes: Sizes = { width: 168, height: 46, gapX: 52, gapY: 18 }
const kSweeps = 8

// What a stage comes after, where that is a stage of this flow; nobody comes after himself.
function before(node: Node, known: ReadonlyMap<string, unknown>): string[] {
  return [...new Set(node.after)].filter((name) => name !== node.name && known.has(name))
}

// The layer of each: one more than the farthest of those before it. A circle, which no flow in force has, is cut where it is met.
export function layers(nodes: readonly Node[]): Map<string, number> {
  const byName = new Map(nodes.map((node) => [node.name, node]))
  const found = new Map<string, number>()
  const open = new Set<string>()
  const layerOf = (node: Node): number => {
    const known = found.get(node.name)
    if (known !== undefined) return known
    open.add(node.name)
    let layer = 0
    for (const name of before(node, byName)) if (!open.has(name)) layer = Math.max(layer, layerOf(byName.get(name)!) + 1)
    open.delete(node.name)
    found.set(node.name, layer)
    return layer
  }
  for (const node of nodes) layerOf(node)
  return found
}

// A stage, or a place that a long edge passes through.
interface Slot {
  id: string
  layer: number
  up: Slot[]
  down: Slot[]
  row: number
}

function mean(slots: readonly Slot[], fallback: number): number {
  return slots.length === 0 ? fallback : slots.reduce((sum, slot) => sum + slot.row, 0) / slots.length
}

function sorted(layer: Slot[], side: 'up' | 'down'): Slot[] {
  const weight = new Map(layer.map((slot) => [slot, mean(slot[side], slot.row)]))
  const next = [...layer].sort((a, b) => weight.get(a)! - weight.get(b)! || a.row - b.row)
  next.forEach((slot, row) => {
    slot.row = row
  })
  return next
}

// How many pairs of edges between neighbouring layers cross: by their upper ends, each crosses those before it that end below it.
function crossings(grid: readonly Slot[][]): number {
  let count = 0
  for (const [i, layer] of grid.entries()) {
    const below = new Int32Array((grid[i + 1]?.length ?? 0) + 1)
    let before = 0
    for (const slot of [...layer].sort((a, b) => a.row - b.row)) {
      for (const to of slot.down) {
        let above = 0
        for (let at = to.row + 1; at > 0; at -= at & -at) above += below[at]!
        count += before - above
      }
      for (const to of slot.down) for (let at = to.row + 1; at < below.length; at += at & -at) below[at]!++
      before += slot.down.length
    }
  }
  return count
}

function grid(nodes: readonly Node[]): { grid: Slot[][]; paths: { from: string; to: string; slots: Slot[] }[] } {
  const layerOf = layers(nodes)
  const rows: Slot[][] = Array.from({ length: Math.max(0, ...layerOf.values()) + 1 }, () => [])
  const put = (id: string, layer: number): Slot => {
    const slot: Slot = { id, layer, up: [], down: [], row: rows[layer]!.length }
    rows[layer]!.push(slot)
    return slot
  }
  const slots = new Map(nodes.map((node) => [node.name, put(node.name, layerOf.get(node.name)!)]))
  const paths: { from: string; to: string; slots: Slot[] }[] = []
  for (const node of nodes)
    for (const name of before(node, slots)) {
      const to = slots.get(node.name)!
      let at = slots.get(name)!
      if (at.layer >= to.layer) continue
      const path = [at]
      while (at.layer < to.layer) {
        const next = at.layer + 1 === to.layer ? to : put('', at.layer + 1)
        at.down.push(next)
        next.up.push(at)
        path.push(next)
        at = next
      }
      paths.push({ from: name, to: node.name, slots: path })
    }
  return { grid: rows, paths }
}

// Rows such that neighbours are near each other: the best that the sweeps have seen.
function order(rows: Slot[][]): void {
  const all = rows.flat()
  let best = all.map((slot) => slot.row)
  let fewest = crossings(rows)
  for (let sweep = 0; sweep < kSweeps && fewest > 0; sweep++) {
    if (sweep % 2 === 0) for (let i = 1; i < rows.length; i++) rows[i] = sorted(rows[i]!, 'up')
    else for (let i = rows.length - 2; i >= 0; i--) rows[i] = sorted(rows[i]!, 'down')
    const now = crossings(rows)
    if (now >= fewest) continue
    fewest = now
    best = all.map((slot) => slot.row)
  }
  all.forEach((slot, i) => {
    slot.row = best[i]!
  })
}

export function layout(nodes: readonly Node[], sizes: Sizes = kSizes): Layout {
  if (nodes.length === 0) return { nodes: [], edges: [], width: 0, height: 0 }
  const { grid: rows, paths } = grid(nodes)
  order(rows)
  const pitch = sizes.height + sizes.gapY
  const tallest = Math.max(...rows.map((layer) => layer.length))
  // Each layer stands centred beside the tallest.
  const y = (slot: Slot) => (slot.row + (tallest - rows[slot.layer]!.length) / 2) * pitch + sizes.height / 2
  const x = (slot: Slot) => slot.layer * (sizes.width + sizes.gapX)
  const placed = rows.flat().filter((slot) => slot.id !== '')
  placed.sort((a, b) => a.layer - b.layer || a.row - b.row)
  return {
    nodes: placed.map((slot) => ({ name: slot.id, layer: slot.layer, row: slot.row, x: x(slot), y: y(slot) - sizes.height / 2 })),
    edges: paths.map(({ from, to, slots }) => ({
      from,
      to,
      points: slots.flatMap((slot, i) => {
        const left = { x: x(slot), y: y(slot) }
        const right = { x: x(slot) + sizes.width, y: y(slot) }
        return i === 0 ? [right] : i === slots.length - 1 ? [left] : [left, right]
      }),
    })),
    width: rows.length * (sizes.width + sizes.gapX) - sizes.gapX,
    height: tallest * pitch - sizes.gapY,
  }
}

// The SVG path of an edge: level where it leaves and arrives, curved between layers.
export function curve(points: readonly { x: number; y: number }[]): string {
  const first = points[0]
  if (!first) return ''
  let out = `M${first.x},${first.y}`
  for (let i = 1; i < points.length; i++) {
    const a = points[i - 1]!
    const b = points[i]!
    const middle = (a.x + b.x) / 2
    out += a.y === b.y ? `H${b.x}` : `C${middle},${a.y} ${middle},${b.y} ${b.x},${b.y}`
  }
  return out
}

// Where an arrow key leads from a stage: along the flow to the nearest, or up and down in its layer; itself where nothing is.
export function neighbour(of: Layout, name: string, key: string): string {
  const at = of.nodes.find((node) => node.name === name)
  if (!at) return of.nodes[0]?.name ?? name
  const near = (names: string[]) => {
    const there = of.nodes.filter((node) => names.includes(node.name))
    there.sort((a, b) => Math.abs(a.y - at.y) - Math.abs(b.y - at.y) || a.layer - b.layer)
    return there[0]?.name ?? name
  }
  switch (key) {
    case 'ArrowRight':
      return near(of.edges.filter((edge) => edge.from === name).map((edge) => edge.to))
    case 'ArrowLeft':
      return near(of.edges.filter((edge) => edge.to === name).map((edge) => edge.from))
    case 'ArrowDown':
    case 'ArrowUp': {
      const step = key === 'ArrowDown' ? 1 : -1
      const column = of.nodes.filter((node) => node.layer === at.layer && (node.row - at.row) * step > 0)
      column.sort((a, b) => Math.abs(a.row - at.row) - Math.abs(b.row - at.row))
      return column[0]?.name ?? name
    }
    case 'Home':
      return of.nodes[0]!.name
    case 'End':
      return of.nodes[of.nodes.length - 1]!.name
    default:
      return name
  }
}
