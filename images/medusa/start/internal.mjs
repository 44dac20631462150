import { createHash, timingSafeEqual } from "node:crypto"
import { createServer } from "node:http"
import { log } from "./log.mjs"

const BODY_LIMIT = 16_384
const digest = (text) => createHash("sha256").update(text).digest()
const text = (value) => typeof value === "string" && value.trim() !== ""
const FIELDS = {
  name: [text, "is missing"],
  host: [(value) => typeof value === "string", "must be text"],
  url: [(value) => /^https?:\/\/[^\s/]+/.test(value), "must start with http:// or https://"],
  admin_email: [(value) => typeof value === "string" && /^[^\s@]+@[^\s@]+$/.test(value), "is not an e-mail address"],
  admin_password: [(value) => text(value) && value.length >= 8, "needs 8 characters or more"],
}

class Refusal extends Error {
  constructor(status, message) {
    super(message)
    this.status = status
  }
}

async function body(request) {
  const chunks = []
  let size = 0
  for await (const chunk of request) {
    if ((size += chunk.length) > BODY_LIMIT) throw new Refusal(413, `the body is larger than ${BODY_LIMIT} bytes`)
    chunks.push(chunk)
  }
  let parsed
  try {
    parsed = JSON.parse(Buffer.concat(chunks).toString("utf8"))
  } catch {
    throw new Refusal(400, "the body is not JSON")
  }
  const wrong = Object.entries(FIELDS).filter(([field, [valid]]) => !valid(parsed?.[field])).map(([field, [, why]]) => `${field} ${why}`)
  if (wrong.length) throw new Refusal(422, wrong.join("; "))
  return {
    shop: { name: parsed.name, host: parsed.host, url: parsed.url },
    admin: { email: parsed.admin_email, password: parsed.admin_password },
  }
}

// The port that only the platform and the kubelet reach. `ready` throws with the reason while no order could be placed,
// `personalise` throws when the database is away.
export function listen({ port, token, ready, personalise }) {
  const expected = digest(`Bearer ${token}`)
  const routes = {
    "GET /-/ready": async () => [200, await ready()],
    "POST /-/identity": async (request) => {
      if (!timingSafeEqual(digest(request.headers.authorization ?? ""), expected)) throw new Refusal(401, "wrong or missing bearer token")
      await personalise(await body(request))
      return [204, ""]
    },
  }
  createServer(async (request, response) => {
    const route = routes[`${request.method} ${request.url}`]
    let status = 404, answer = "no such page"
    try {
      if (route) [status, answer] = await route(request)
    } catch (error) {
      status = error.status ?? 503
      answer = error.message
      if (!error.status && request.method === "POST") log(`identity not applied: ${answer}`, "error")
    }
    response.writeHead(status, { "content-type": "text/plain; charset=utf-8" }).end(answer && `${answer}\n`)
  }).listen(port)
}
