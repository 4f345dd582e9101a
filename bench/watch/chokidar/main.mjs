// Watches a directory with chokidar, with the options that the file watcher of the
// dashboard had and its timer for each path, and says what it sees as ../ours does.
import { relative } from 'node:path'
import chokidar from 'chokidar'

const root = process.argv[2]
const debounce = 300
const ignored = /(^|\/)(node_modules|\.git|__pycache__|[^/]*\.pyc|\.env|\.env\.[^/]*|dist|build|\.next|coverage|\.vscode|\.idea)(\/|$)/
const kinds = { add: 'created', addDir: 'created', change: 'modified', unlink: 'deleted', unlinkDir: 'deleted' }

const say = (line) => process.stdout.write(JSON.stringify(line) + '\n')
const pending = new Map()

// The last event of a path counts, but what was created stays so.
function note(path, kind) {
  const before = pending.get(path)
  if (before) clearTimeout(before.timer)
  const now = { kind: before?.kind === 'created' && kind === 'modified' ? 'created' : kind }
  now.timer = setTimeout(() => {
    pending.delete(path)
    say({ kind: now.kind, path, at: Math.round((performance.timeOrigin + performance.now()) * 1e6) })
  }, debounce)
  pending.set(path, now)
}

const began = performance.now()
const watcher = chokidar.watch(root, {
  ignored: (path) => ignored.test(relative(root, path)),
  ignoreInitial: true,
  followSymlinks: false,
  depth: 10,
  awaitWriteFinish: { stabilityThreshold: 100, pollInterval: 50 },
})
watcher.on('all', (event, path) => {
  const rel = relative(root, path)
  if (rel && kinds[event]) note(rel, kinds[event])
})
watcher.on('error', (err) => process.stderr.write(`${err}\n`))
watcher.on('ready', () => say({ ready: Math.round(performance.now() - began) }))
process.stdin.on('end', () => process.exit(0)).resume()
