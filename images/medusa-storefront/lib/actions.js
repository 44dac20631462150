"use server"
import { revalidatePath } from "next/cache"
import { redirect } from "next/navigation"
import { Refusal, api, cartForAdding, currentCart, finishCart, lastCart, product } from "./shop"

const whole = (value, most = 99) => Math.max(0, Math.min(most, Math.trunc(Number(value)) || 0))
const SOLD_OUT = "There are not that many left of this one. Please choose a smaller quantity."

export async function addToCart(_, form) {
  const quantity = whole(form.get("quantity"))
  const found = await product(String(form.get("handle")))
  const variant = found?.variants.find(({ id }) => id === form.get("variant"))
  if (!variant || !quantity) return { problem: "Please choose a size and a quantity of 1 or more." }
  const cart = await cartForAdding()
  try {
    await api(`/carts/${cart.id}/line-items`, { variant_id: variant.id, quantity })
  } catch (error) {
    if (error instanceof Refusal && error.status < 500) return { problem: SOLD_OUT }
    throw error
  }
  redirect("/cart")
}

export async function setQuantity(_, form) {
  const cart = await currentCart()
  const line = cart?.items.find(({ id }) => id === form.get("line"))
  if (!line) redirect("/cart")
  const quantity = whole(form.get("quantity"))
  try {
    if (quantity) await api(`/carts/${cart.id}/line-items/${line.id}`, { quantity })
    else await api(`/carts/${cart.id}/line-items/${line.id}`, undefined, "DELETE")
  } catch (error) {
    if (error instanceof Refusal && error.status < 500) return { problem: SOLD_OUT }
    throw error
  }
  revalidatePath("/cart")
  return {}
}

const REQUIRED = {
  email: "your e-mail address", first_name: "your first name", last_name: "your last name", address_1: "street and number",
  postal_code: "the postcode", city: "the town", country_code: "the country", shipping: "a way of delivery",
}

export async function placeOrder(_, form) {
  const cart = await lastCart()
  if (!cart?.items.length) redirect("/cart")
  const values = Object.fromEntries([...form].filter(([name]) => !name.startsWith("$")).map(([name, value]) => [name, String(value).trim()]))
  const missing = Object.keys(REQUIRED).filter((name) => !values[name])
  if (missing.length) return { values, problem: `Please fill in ${missing.map((name) => REQUIRED[name]).join(", ")}.` }
  const { email, shipping, ...address } = values
  let done
  try {
    // A cart that is complete already has its order, whose answer was lost on the way: completing it again gives that order.
    if (!cart.completed_at) {
      await api(`/carts/${cart.id}`, { email, shipping_address: address, billing_address: address })
      await api(`/carts/${cart.id}/shipping-methods`, { option_id: shipping })
      const collection = cart.payment_collection ?? (await api("/payment-collections", { cart_id: cart.id })).payment_collection
      await api(`/payment-collections/${collection.id}/payment-sessions`, { provider_id: "pp_system_default" })
    }
    done = await api(`/carts/${cart.id}/complete`, {})
  } catch (error) {
    if (error instanceof Refusal && error.status < 500) return { values, problem: plainly(error) }
    throw error
  }
  if (done.type !== "order") return { values, problem: plainly(done.error) }
  await finishCart(done.order.id)
  redirect(`/order/${done.order.id}`)
}

function plainly({ type, message }) {
  if (/inventory|stock/i.test(`${type} ${message}`)) return "Something in your cart has sold out meanwhile. Please change the cart and try again; nothing was ordered."
  if (/email/i.test(message)) return "This e-mail address does not look right. Nothing was ordered."
  return "The order could not be placed, and nothing was ordered. Please check your details and try again."
}
