import { posix } from 'node:path'
import t from 'tap'
import { folderOf, readSource, sourceFiles } from '../support/sources.ts'

const ALL = ['message', 'net', 'engine', 'namesrv', 'broker', 'client', 'cli', 'bench']

/** Who imports whom: each folder, and what of ours it may use. */
const MAY_IMPORT: Readonly<Record<string, readonly string[]>> = {
  message: [],
  net: [],
  engine: ['message'],
  namesrv: ['net'],
  broker: ['engine', 'message', 'net', 'client'],
  client: ['message', 'net'],
  cli: ALL,
  bench: ALL,
  test: [...ALL, ''],
  // What the package exports.
  '': ['namesrv', 'broker', 'net', 'engine', 'client']
}

/** Other folders are entered by their index; these look inside, to measure or to test a part by itself. */
const LOOK_INSIDE = new Set(['bench', 'test'])

/** Packages with native code, and the only places that may ask for them. */
const NATIVE: Readonly<Record<string, readonly string[]>> = {
  'mmap-io': ['engine/native/'],
  'fs-ext': ['engine/native/'],
  '@node-rs/crc32': ['message/crc.ts'],
  'lz4-napi': ['message/compression.ts']
}

const IMPORT =
  /(?:^|\n)\s*(?:import|export)\s[^'"]*?from\s*'([^']+)'|(?:^|\n)\s*import\s*'([^']+)'|\bimport\('([^']+)'\)|\bimport\.meta\.resolve\('([^']+)'\)/g

const show = (imports: { from: string; target: string }[]): string[] =>
  imports.map(({ from, target }) => `${from} imports ${target}`)

interface Import {
  /** The importing file, from the root. */
  from: string
  /** As it is written. */
  target: string
}

const imports: Import[] = sourceFiles().flatMap(from =>
  [...readSource(from).matchAll(IMPORT)]
    .map(([, ...found]) => ({ from, target: found.find(Boolean)! }))
    // A script within a script.
    .filter(({ target }) => !target.includes('${'))
)
const ours = imports
  .filter(({ target }) => target.startsWith('.'))
  .map(({ from, target }) => ({ from, target, path: posix.normalize(posix.join(posix.dirname(from), target)) }))
const packages = imports
  .filter(({ target }) => !target.startsWith('.') && !target.startsWith('node:'))
  .map(({ from, target }) => ({
    from,
    target,
    name: target
      .split('/')
      .slice(0, target.startsWith('@') ? 2 : 1)
      .join('/')
  }))

t.test('imports are found at all', async t => {
  t.ok(ours.length > 100)
  t.ok(ours.some(({ from, path }) => from === 'net/command.ts' && path === 'net/frame.ts'))
})

t.test('every folder of sources stands in the map', async t => {
  t.same(
    [...new Set(sourceFiles().map(folderOf))].filter(folder => !(folder in MAY_IMPORT)),
    []
  )
})

t.test('a folder imports only what the map allows it', async t => {
  const wrong = ours.filter(({ from, path }) => {
    const [own, other] = [folderOf(from), folderOf(path)]
    return own !== other && !MAY_IMPORT[own]?.includes(other)
  })
  t.same(show(wrong), [])
})

t.test('other folders are entered by their index', async t => {
  const wrong = ours.filter(({ from, path }) => {
    const [own, other] = [folderOf(from), folderOf(path)]
    return own !== other && !LOOK_INSIDE.has(own) && path !== `${other}/index.ts`
  })
  t.same(show(wrong), [])
})

t.test('imports of ours end in .ts and name a file that is there', async t => {
  const files = new Set(sourceFiles())
  t.same(show(ours.filter(({ path }) => !files.has(path))), [])
})

t.test('sources that run in production use only packages that an install brings', async t => {
  const { dependencies, optionalDependencies, devDependencies } = JSON.parse(readSource('package.json'))
  const installed = { ...dependencies, ...optionalDependencies }
  const wrong = packages.filter(({ from, name }) =>
    LOOK_INSIDE.has(folderOf(from)) ? !(name in installed) && !(name in devDependencies) : !(name in installed)
  )
  t.same(show(wrong), [])
})

t.test('native packages are asked for in one place each', async t => {
  for (const [name, places] of Object.entries(NATIVE)) {
    const asking = sourceFiles().filter(path => folderOf(path) !== 'test' && readSource(path).includes(`'${name}'`))
    t.ok(asking.length > 0, `${name} is asked for`)
    t.same(
      asking.filter(path => !places.some(place => path.startsWith(place))),
      [],
      `${name} is asked for in ${places.join(', ')} alone`
    )
  }
})
