import { redirect } from "next/navigation"
import Checkout from "../../components/checkout"
import SummaryLines from "../../components/summary"
import { api, currentCart, region } from "../../lib/shop"

export const metadata = { title: "Checkout" }

export default async function Page() {
  const cart = await currentCart()
  if (!cart?.items.length) redirect("/cart")
  const [{ countries }, { shipping_options }] = await Promise.all([region(), api(`/shipping-options?cart_id=${cart.id}`)])
  return (
    <>
      <h1>Checkout</h1>
      <Checkout
        countries={countries.map(({ iso_2, display_name }) => ({ code: iso_2, name: display_name })).sort((a, b) => a.name.localeCompare(b.name))}
        deliveries={shipping_options.map(({ id, name, amount, type }) => ({ id, name, amount, detail: type?.description })).sort((a, b) => a.amount - b.amount)}
        currency={cart.currency_code} subtotal={cart.item_subtotal} tax={cart.item_tax_total ?? 0}>
        <SummaryLines items={cart.items} currency={cart.currency_code} />
      </Checkout>
    </>
  )
}
