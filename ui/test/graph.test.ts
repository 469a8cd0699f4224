import { describe, expect, it } from 'vitest'
import { curve, kSizes, type Layout, layers, layout, type Node, neighbour } from '../src/work/graph'

const nodes = (text: string): Node[] =>
  text
    .trim()
    .split('\n')
    .map((line) => {
      const [name, after = ''] = line.trim().split('<-')
      return { name: name!.trim(), after: after.split(' ').filter(Boolean) }
    })
const kDesk = nodes(`
  intake
  triage <- intake
  facts <- intake
  lines
  size <- intake
  long <- facts size
  brief <- size triage
  draft <- brief facts long triage
  ok <- draft
  publish <- ok`)

function overlaps({ nodes: placed }: Layout): boolean {
  return placed.some((a, i) => placed.some((b, j) => i < j && a.layer === b.layer && Math.abs(a.y - b.y) < kSizes.height))
}
function crossed({ edges }: Layout): number {
  const spans = edges.flatMap((edge) => edge.points.slice(1).map((to, i) => ({ from: edge.points[i]!, to })))
  let count = 0
  for (const [i, a] of spans.entries())
    for (const b of spans.slice(i + 1)) if (a.from.x === b.from.x && (a.from.y - b.from.y) * (a.to.y - b.to.y) < 0 && a.to.x === b.to.x) count++
  return count
}

describe('layers', () => {
  it('puts each stage right of all that it comes after', () => {
    const found = layers(kDesk)
    for (const node of kDesk) for (const name of node.after) expect(found.get(node.name)!).toBeGreaterThan(found.get(name)!)
    expect([found.get('intake'), found.get('lines'), found.get('draft'), found.get('publish')]).toEqual([0, 0, 3, 5])
  })
  it('ends on a circle, on itself and on names that are not there', () => {
    const found = layers(nodes('a <- c\nb <- a\nc <- b nobody\nd <- d'))
    expect([...found.keys()].sort()).toEqual(['a', 'b', 'c', 'd'])
    expect(found.get('d')).toBe(0)
  })
})

describe('the layout', () => {
  const of = layout(kDesk)
  it('has every stage once, none over another, all inside', () => {
    expect(of.nodes.map((node) => node.name).sort()).toEqual(kDesk.map((node) => node.name).sort())
    expect(overlaps(of)).toBe(false)
    for (const node of of.nodes) {
      expect(node.x).toBeGreaterThanOrEqual(0)
      expect(node.x + kSizes.width).toBeLessThanOrEqual(of.width)
      expect(node.y).toBeGreaterThanOrEqual(0)
      expect(node.y + kSizes.height).toBeLessThanOrEqual(of.height)
    }
  })
  it('has every edge, from the right side of one to the left of the other', () => {
    expect(of.edges.length).toBe(kDesk.reduce((sum, node) => sum + node.after.length, 0))
    for (const edge of of.edges) {
      const [from, to] = [edge.from, edge.to].map((name) => of.nodes.find((node) => node.name === name)!)
      expect(edge.points[0]!.x).toBe(from!.x + kSizes.width)
      expect(edge.points.at(-1)).toEqual({ x: to!.x, y: to!.y + kSizes.height / 2 })
    }
  })
  it('crosses no edges where none need cross', () => {
    expect(crossed(of)).toBe(0)
    expect(crossed(layout(nodes('a\nb\nx <- b\ny <- a')))).toBe(0)
    expect(crossed(layout(nodes('a\nb\nc\nx <- c\ny <- b\nz <- a\nend <- x y z')))).toBe(0)
  })
  it('is the same for the same flow', () => expect(layout(kDesk)).toEqual(of))
  it('is empty for an empty flow', () => expect(layout([])).toEqual({ nodes: [], edges: [], width: 0, height: 0 }))
  it('takes a flow of 500 stages', () => {
    const many = Array.from({ length: 500 }, (_, i) => ({
      name: `s${i}`,
      after: [i - 7, i - 3, i - 1].filter((n) => n >= 0 && i % 5 !== 0).map((n) => `s${n}`),
    }))
    expect(overlaps(layout(many))).toBe(false)
  })
})

describe('walking by keyboard', () => {
  const of = layout(kDesk)
  it('goes along the flow and back', () => {
    expect(neighbour(of, 'draft', 'ArrowRight')).toBe('ok')
    expect(neighbour(of, 'publish', 'ArrowLeft')).toBe('ok')
    expect(kDesk.find((node) => node.name === 'draft')!.after).toContain(neighbour(of, 'draft', 'ArrowLeft'))
  })
  it('stays where nothing follows', () => {
    expect(neighbour(of, 'publish', 'ArrowRight')).toBe('publish')
    expect(neighbour(of, 'ok', 'ArrowUp')).toBe('ok')
    expect(neighbour(of, 'ok', 'x')).toBe('ok')
  })
  it('reaches every stage of a layer up and down', () => {
    const layer = of.nodes.filter((node) => node.layer === 1).sort((a, b) => a.row - b.row)
    expect(layer.length).toBe(3)
    expect(neighbour(of, layer[0]!.name, 'ArrowDown')).toBe(layer[1]!.name)
    expect(neighbour(of, layer[2]!.name, 'ArrowUp')).toBe(layer[1]!.name)
  })
  it('knows the ends', () => expect([neighbour(of, 'ok', 'Home'), neighbour(of, 'intake', 'End')]).toEqual([of.nodes[0]!.name, 'publish']))
})

describe('an edge', () => {
  it('is level between equal heights and curved between others', () => {
    expect(
      curve([
        { x: 0, y: 5 },
        { x: 10, y: 5 },
      ]),
    ).toBe('M0,5H10')
    expect(
      curve([
        { x: 0, y: 0 },
        { x: 10, y: 20 },
      ]),
    ).toBe('M0,0C5,0 5,20 10,20')
    expect(curve([])).toBe('')
  })
})
