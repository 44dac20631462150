import "server-only"
import { cookies, headers } from "next/headers"

// Everything is read when a request comes in, nothing when the image is built: one image serves every store.

/** The store API's refusal; `type` is Medusa's word for it. */
export class Refusal extends Error {
  constructor(status, { type, message }) {
    super(message)
    this.status = status
    this.type = type
  }
}

export async function api(path, body, method = body ? "POST" : "GET") {
  const response = await fetch(`${process.env.MEDUSA_BACKEND_URL}/store${path}`, {
    method,
    body: body && JSON.stringify(body),
    headers: { "content-type": "application/json", "x-publishable-api-key": process.env.PUBLISHABLE_KEY },
    cache: "no-store",
    signal: AbortSignal.timeout(20_000),
  })
  const answer = await response.json().catch(() => ({ type: "unknown", message: `the store API answers ${response.status}` }))
  if (!response.ok) throw new Refusal(response.status, answer)
  return answer
}

// What changes seldom is asked for once in a while, and anew when the shop is called by another host: a warm store gets its
// merchant's name and host while it runs.
function remembered(seconds, load) {
  let value, host, until = 0
  return async () => {
    const calledBy = (await headers()).get("host")
    if (Date.now() > until || host !== calledBy) {
      value = await load()
      host = calledBy
      until = Date.now() + seconds * 1000
    }
    return value
  }
}
export const shopName = remembered(5, async () => (await api("/shop")).shop.name)
export const region = remembered(30, async () => (await api("/regions?limit=1&fields=id,currency_code,*countries")).regions[0])

const PRODUCT = "id,title,handle,description,thumbnail,*variants,*variants.calculated_price,%2Bvariants.inventory_quantity"
export async function products() {
  const { id } = await region()
  return (await api(`/products?region_id=${id}&limit=100&order=-created_at&fields=${PRODUCT}`)).products
}
export async function product(handle) {
  const { id } = await region()
  return (await api(`/products?region_id=${id}&handle=${encodeURIComponent(handle)}&limit=1&fields=${PRODUCT}`)).products[0]
}

export const price = (variant) => variant.calculated_price?.calculated_amount ?? null
export const stock = (variant) => (variant.manage_inventory && !variant.allow_backorder ? Math.max(0, variant.inventory_quantity ?? 0) : Infinity)

const CART = "cart", ORDER = "order"
async function remember(name, value) {
  const secure = (await headers()).get("x-forwarded-proto") === "https"
  ;(await cookies()).set(name, value, { httpOnly: true, sameSite: "lax", secure, path: "/", maxAge: 60 * 60 * 24 * 30 })
}

/** The browser's cart, also one that has just become an order. */
export async function lastCart() {
  const id = (await cookies()).get(CART)?.value
  if (!id) return null
  try {
    const { cart } = await api(`/carts/${encodeURIComponent(id)}`)
    cart.items.sort((a, b) => a.created_at.localeCompare(b.created_at))
    return cart
  } catch (error) {
    if (error.status === 404) return null
    throw error
  }
}
export async function currentCart() {
  const cart = await lastCart()
  return cart?.completed_at ? null : cart
}
export async function cartForAdding() {
  const cart = (await currentCart()) ?? (await api("/carts", { region_id: (await region()).id })).cart
  await remember(CART, cart.id)
  return cart
}
export async function finishCart(orderId) {
  ;(await cookies()).delete(CART)
  await remember(ORDER, orderId)
}

/** An order shows an address, so only the browser that placed it may see it. */
export async function placedOrder(id) {
  if ((await cookies()).get(ORDER)?.value !== id) return null
  return (await api(`/orders/${encodeURIComponent(id)}`)).order
}
