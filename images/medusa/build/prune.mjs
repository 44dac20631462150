// prune.mjs FROM TO: copies what the built server needs of FROM/node_modules to TO/node_modules: no dev dependencies, nothing
// that only the build of the admin UI used, no source maps, typings or docs. 715 MB become 180.
import { cpSync, existsSync, mkdirSync, readFileSync } from "node:fs"
import { basename, dirname, join } from "node:path"

const [from, to] = process.argv.slice(2)
const packages = JSON.parse(readFileSync(join(from, "package-lock.json"), "utf8")).packages
// The admin UI is built already; the server only serves its files with these.
const only = {
  "": ["@medusajs/cli", "@medusajs/file-local", "@medusajs/framework", "@medusajs/medusa", "ioredis", "pg"],
  "node_modules/@medusajs/admin-bundler": ["@medusajs/admin-shared", "compression", "express", "get-port", "glob", "outdent"],
  "node_modules/@medusajs/draft-order": [],
}
const never = /^(@types\/.*|@medusajs\/(dashboard|ui|icons|js-sdk|admin-sdk|admin-vite-plugin)|@swc\/core|react(-dom|-router-dom)?|typescript|vite|esbuild|ts-node|tailwindcss|yalc)$/
const junk = /\.(map|d\.[cm]?ts|tsbuildinfo|md|markdown|flow)$|^(CHANGELOG|HISTORY)/i

function resolve(parent, name) {
  for (let at = parent; ; at = at.includes("/node_modules/") ? at.slice(0, at.lastIndexOf("/node_modules/")) : "") {
    const key = `${at ? `${at}/` : ""}node_modules/${name}`
    if (packages[key]) return key
    if (!at) return null
  }
}

const kept = new Set()
const todo = [""]
while (todo.length) {
  const key = todo.pop()
  const { dependencies, optionalDependencies, peerDependencies } = packages[key]
  for (const name of only[key] ?? Object.keys({ ...dependencies, ...optionalDependencies, ...peerDependencies })) {
    const found = never.test(name) ? null : resolve(key, name)
    if (found && !kept.has(found) && existsSync(join(from, found))) {
      kept.add(found)
      todo.push(found)
    }
  }
}
for (const key of kept) {
  const root = join(from, key)
  mkdirSync(dirname(join(to, key)), { recursive: true })
  cpSync(root, join(to, key), {
    recursive: true,
    // A package's own node_modules are packages of their own in the lock.
    filter: (path) => !junk.test(basename(path)) && path !== join(root, "node_modules"),
  })
}
console.log(`kept ${kept.size} of ${Object.keys(packages).length - 1} packages`)
