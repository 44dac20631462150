import { createHmac, randomBytes } from "node:crypto"
import { hash, matches } from "./password.mjs"

// Who a store is: its name and address, its administrator, its storefront's key. Everything else is the same in all new stores.
export const TEMPLATE = { email: "admin@template.invalid", key: "pk_TEMPLATE" }
const LOCK = 77001

// Only one changes a store at a time: two pods that start at once, or a start and a POST /-/identity.
export async function locked(client, work) {
  await client.query("begin")
  try {
    await client.query("select pg_advisory_xact_lock($1)", [LOCK])
    const result = await work()
    await client.query("commit")
    return result
  } catch (error) {
    await client.query("rollback").catch(() => {})
    throw error
  }
}

const remembered = async (client) => {
  const { rows } = await client.query("select metadata->'urumi' as urumi from store where deleted_at is null order by created_at limit 1")
  return rows[0]?.urumi ?? {}
}
const remember = (client, facts) =>
  client.query(
    `update store set metadata = jsonb_set(coalesce(metadata, '{}'), '{urumi}', coalesce(metadata->'urumi', '{}') || $1::jsonb), updated_at = now()
     where deleted_at is null`, [JSON.stringify(facts)])

async function setShop(client, { name, host, url }) {
  await client.query("update store set name = $1 where deleted_at is null and name <> $1", [name])
  await remember(client, { applied: { name, host, url } })
}

// At a start. The name is applied when the platform's changes, not each time: the merchant may have given the shop another title.
export async function applyAtStart(client, { shop, admin, publishableKey, secret }) {
  const { started, applied } = await remembered(client)
  const same = (other) => other && ["name", "host", "url"].every((key) => other[key] === shop[key])
  if (!same(started)) {
    if (!same(applied)) await setShop(client, shop)
    await remember(client, { started: shop })
  }
  await client.query("update api_key set token = $1, redacted = $2, updated_at = now() where type = 'publishable' and token = $3",
    [publishableKey, `${publishableKey.slice(0, 6)}***${publishableKey.slice(-3)}`, TEMPLATE.key])
  // Only the template's administrator gets the Secret's password: one that the merchant has changed must survive a restart.
  const { rows } = await client.query(`select id from "user" where email = $1 and deleted_at is null`, [TEMPLATE.email])
  if (rows.length) await setAdmin(client, admin)
  return jwtSecretOf(client, secret)
}

// While the store runs. Says whether the administrator's sessions have to end.
export async function personalise(client, { shop, admin, secret }) {
  await setShop(client, shop)
  const changed = await setAdmin(client, admin)
  if (changed) await remember(client, { epoch: randomBytes(16).toString("hex") })
  return { changed, jwtSecret: await jwtSecretOf(client, secret) }
}

// Tokens carry no session, so they end with the secret that signed them: the store's own, mixed with a number that changes
// with the administrator.
async function jwtSecretOf(client, secret) {
  const { epoch } = await remembered(client)
  return createHmac("sha256", secret).update(epoch ?? "").digest("hex")
}

async function setAdmin(client, { email, password }) {
  const { rows } = await client.query(
    `select u.id as user_id, u.email, a.id as identity_id, p.id as provider_id, p.provider_metadata->>'password' as password
     from "user" u
     left join auth_identity a on a.app_metadata->>'user_id' = u.id and a.deleted_at is null
     left join provider_identity p on p.auth_identity_id = a.id and p.provider = 'emailpass' and p.deleted_at is null
     where u.deleted_at is null order by u.email = $1 desc, p.id is null, u.created_at limit 1`, [email])
  const found = rows[0] ?? {}
  if (found.email === email && (await matches(found.password, password))) return false

  const id = (prefix) => `${prefix}_${randomBytes(13).toString("hex").toUpperCase()}`
  const userId = found.user_id ?? id("user")
  const identityId = found.identity_id ?? id("authid")
  const secret = JSON.stringify({ password: await hash(password) })
  await client.query(
    `insert into "user" (id, email) values ($1, $2) on conflict (id) do update set email = $2, updated_at = now()`, [userId, email])
  await client.query(
    "insert into auth_identity (id, app_metadata) values ($1, $2) on conflict (id) do nothing", [identityId, JSON.stringify({ user_id: userId })])
  await client.query(
    `insert into provider_identity (id, entity_id, provider, auth_identity_id, provider_metadata) values ($1, $2, 'emailpass', $3, $4)
     on conflict (id) do update set entity_id = $2, provider_metadata = coalesce(provider_identity.provider_metadata, '{}') || $4, updated_at = now()`,
    [found.provider_id ?? id("provid"), email, identityId, secret])
  return true
}
