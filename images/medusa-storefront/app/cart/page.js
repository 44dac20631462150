import Link from "next/link"
import Line from "../../components/line"
import Picture from "../../components/picture"
import { detailOf } from "../../components/summary"
import { money } from "../../lib/money"
import { currentCart } from "../../lib/shop"

export const metadata = { title: "Cart" }

export default async function Cart() {
  const cart = await currentCart()
  if (!cart?.items.length)
    return (
      <div className="empty">
        <h1>Your cart is empty</h1>
        <p className="quiet">What you add to it waits here for you.</p>
        <Link href="/" className="primary">See the products</Link>
      </div>
    )
  return (
    <>
      <h1>Cart</h1>
      <div className="cart">
        <ul className="lines">
          {cart.items.map((item) => (
            <Line key={item.id} id={item.id} title={item.product_title} detail={detailOf(item)} quantity={item.quantity}
              unit={item.unit_price} currency={cart.currency_code} href={`/products/${item.product_handle}`}>
              <Picture title={item.product_title} src={item.thumbnail} sizes="small" />
            </Line>
          ))}
        </ul>
        <aside className="summary" aria-label="Cart summary">
          <dl>
            <div><dt>Subtotal</dt><dd>{money(cart.item_total, cart.currency_code)}</dd></div>
            <div><dt>Delivery</dt><dd className="quiet">chosen at checkout</dd></div>
          </dl>
          <Link href="/checkout" className="primary wide">Check out</Link>
          <Link href="/" className="link">Continue shopping</Link>
        </aside>
      </div>
    </>
  )
}
