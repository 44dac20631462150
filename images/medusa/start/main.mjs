// The start of a store's Medusa: the database is prepared in a thread while the code is loaded here, then the server starts.
import { readFileSync } from "node:fs"
import { createRequire } from "node:module"
import { fileURLToPath } from "node:url"
import { Worker } from "node:worker_threads"
import Redis from "ioredis"
import pg from "pg"
import { locked, personalise } from "./identity.mjs"
import { listen } from "./internal.mjs"
import { log } from "./log.mjs"

const require = createRequire(import.meta.url)
const env = process.env
const PORT = Number(env.PORT), INTERNAL_PORT = Number(env.INTERNAL_PORT)

const missing = ["PORT", "INTERNAL_PORT", "DATABASE_HOST", "DATABASE_PORT", "DATABASE_PASSWORD", "REDIS_URL", "JWT_SECRET", "COOKIE_SECRET",
  "PUBLISHABLE_KEY", "IDENTITY_TOKEN", "ADMIN_EMAIL", "ADMIN_PASSWORD"].filter((name) => !env[name])
if (missing.length) {
  log(`missing in the environment: ${missing.join(", ")}; the chart sets them from the store's Secret`, "error")
  process.exit(1)
}
const database = { host: env.DATABASE_HOST, port: Number(env.DATABASE_PORT), user: "store", database: "store", password: env.DATABASE_PASSWORD }
env.DATABASE_URL = `postgres://store:${encodeURIComponent(database.password)}@${database.host}:${database.port}/store`

const secret = env.JWT_SECRET
const prepared = new Promise((resolve, reject) => {
  const identity = {
    shop: { name: env.STORE_NAME || "Shop", host: env.STORE_HOST ?? "", url: env.STORE_URL ?? "" },
    admin: { email: env.ADMIN_EMAIL, password: env.ADMIN_PASSWORD },
    publishableKey: env.PUBLISHABLE_KEY,
    secret,
  }
  new Worker(new URL("database.mjs", import.meta.url), { workerData: { database, identity } }).once("message", resolve).once("error", reject)
})
prepared.catch((error) => {
  log(`the database could not be prepared: ${error.message}`, "error")
  process.exit(1)
})

let serving = false, region
// One connection each, kept open: an identity must not wait for a new one.
const pool = new pg.Pool({ ...database, max: 1, idleTimeoutMillis: 0, connectionTimeoutMillis: 5000, application_name: "internal" })
pool.on("error", () => {}) // it was lost; the next use makes another
const redis = new Redis(env.REDIS_URL, { lazyConnect: true, maxRetriesPerRequest: 1, commandTimeout: 5000 })
redis.on("error", () => {}) // told by the command that fails

async function api(path) {
  const response = await fetch(`http://127.0.0.1:${PORT}${path}`,
    { headers: { "x-publishable-api-key": env.PUBLISHABLE_KEY }, signal: AbortSignal.timeout(2000) })
  if (!response.ok) throw new Error(`the store API answers ${response.status} to ${path.split("?")[0]}`)
  return response.json()
}

// What a shopper's first page does, through the public API. A list that is empty counts: the template has products, so only
// the merchant can have taken them away, and an unready store could not be given new ones.
async function ready() {
  if (!serving) throw new Error("Medusa is starting")
  region ??= (await api("/store/regions?limit=1&fields=id")).regions[0]?.id
  const { products } = await api(`/store/products?limit=1&fields=id,*variants.calculated_price${region ? `&region_id=${region}` : ""}`)
  return products.length ? "ready: a product is listed" : "ready: the merchant lists no product"
}

async function becomeStoreOf(identity) {
  if (!serving) throw new Error("Medusa is starting")
  const client = await pool.connect()
  try {
    const { changed, jwtSecret } = await locked(client, () => personalise(client, { ...identity, secret }))
    if (!changed) return
    const { configManager } = require("@medusajs/framework/config")
    configManager.config.projectConfig.http.jwtSecret = jwtSecret
    await endSessions()
    log("the store has a new administrator; older sessions have ended")
  } finally {
    client.release()
  }
}

async function endSessions() {
  for await (const keys of redis.scanStream({ match: "sess:*", count: 500 })) if (keys.length) await redis.unlink(keys)
}

listen({ port: INTERNAL_PORT, token: env.IDENTITY_TOKEN, ready, personalise: becomeStoreOf })
const { default: start } = require("@medusajs/medusa/commands/start")
// Medusa loads most of its code only after it has reached the database; loaded here, it costs nothing while the database starts.
const dependencies = fileURLToPath(new URL("../node_modules/", import.meta.url))
for (const file of JSON.parse(readFileSync(new URL("loaded.json", import.meta.url), "utf8"))) require(dependencies + file)
env.JWT_SECRET = (await prepared).jwtSecret
await start({ port: PORT, host: "0.0.0.0", directory: process.cwd() })
serving = true
for (const opened of [pool.query("select 1"), redis.connect()]) opened.catch(() => {})
log(`serving ${process.uptime().toFixed(1)} s after the process's start, ${(process.cpuUsage().user + process.cpuUsage().system) / 1e6} CPU s`)
