// A thread of its own: waits for the database, fills it from the template if it is empty and gives the store its identity,
// while the main thread loads Medusa's code. Doing it again changes nothing.
import { readFileSync } from "node:fs"
import { parentPort, workerData } from "node:worker_threads"
import pg from "pg"
import { applyAtStart, locked } from "./identity.mjs"
import { log } from "./log.mjs"

const { database, identity } = workerData
const started = performance.now()
const seconds = () => `${((performance.now() - started) / 1000).toFixed(1)} s`

const PATIENCE = 120_000

// Tries again 0.1 s after a refusal; and once a second beside a try that is not answered, as a first packet is dropped or late
// while the network policies learn of the pods. The first to get through wins.
function connect() {
  return new Promise((resolve, reject) => {
    let last, won = false, pending = 0
    async function attempt() {
      if (won || pending === 4) return
      pending++
      const beside = setTimeout(attempt, 1000)
      const client = new pg.Client({ ...database, application_name: "start", connectionTimeoutMillis: 20_000 })
      client.on("error", () => {}) // a lost connection fails the query that is under way
      try {
        await client.connect()
        if (won) return await client.end()
        won = true
        resolve(client)
      } catch (error) {
        const why = error.code ?? error.message
        if (performance.now() - started > PATIENCE)
          reject(new Error(`${database.host}:${database.port} has refused for ${PATIENCE / 1000} s (${why}); look at the database's pod`))
        if (!won && why !== last) log(`waiting for the database: ${(last = why)}`)
        setTimeout(attempt, 100)
      } finally {
        clearTimeout(beside)
        pending--
      }
    }
    attempt()
  })
}

async function prepare(client) {
  log(`database reached after ${seconds()}`)
  return locked(client, async () => {
    const { rows } = await client.query("select to_regclass('public.store') is not null as filled")
    if (!rows[0].filled) {
      await client.query(readFileSync(new URL("golden.sql", import.meta.url), "utf8"))
      await client.query("set local search_path = public") // the dump empties it
      log(`database filled from the template after ${seconds()}`)
    }
    return applyAtStart(client, identity)
  })
}

for (let done = false; !done; ) {
  const client = await connect()
  try {
    parentPort.postMessage({ jwtSecret: await prepare(client) })
    done = true
  } catch (error) {
    // PostgreSQL's own refusals are final, save its shutdown; without one the connection was lost, and nothing was committed.
    if (error.severity && !error.code.startsWith("57")) throw error
    log(`the database went away (${error.message}); starting over`)
  } finally {
    await client.end().catch(() => {})
  }
}
