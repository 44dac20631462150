import Link from "next/link"
import SummaryLines from "../../../components/summary"
import { money } from "../../../lib/money"
import { placedOrder } from "../../../lib/shop"

export const metadata = { title: "Order", robots: "noindex" }

const country = (code) => (code ? new Intl.DisplayNames("en", { type: "region" }).of(code.toUpperCase()) : "")

export default async function Order({ params }) {
  const order = await placedOrder((await params).id)
  if (!order)
    return (
      <div className="empty">
        <h1>This order is not shown here</h1>
        <p className="quiet">An order is shown only in the browser in which it was placed.</p>
        <Link href="/" className="primary">To the shop</Link>
      </div>
    )
  const { shipping_address: to, currency_code: currency } = order
  return (
    <div className="order" data-order={order.id}>
      <h1>Thank you, {to.first_name}</h1>
      <p className="lead">Your order <strong>no. {order.display_id}</strong> is placed. We have noted {order.email} for questions about it.</p>
      <SummaryLines items={order.items} currency={currency} />
      <dl className="totals">
        <div><dt>Subtotal</dt><dd>{money(order.item_subtotal, currency)}</dd></div>
        <div><dt>{order.shipping_methods[0]?.name ?? "Delivery"}</dt><dd>{money(order.shipping_total, currency)}</dd></div>
        {order.tax_total > 0 && <div><dt>Tax</dt><dd>{money(order.tax_total, currency)}</dd></div>}
        <div className="total"><dt>Total</dt><dd>{money(order.total, currency)}</dd></div>
      </dl>
      <div className="two">
        <section>
          <h2>Delivery to</h2>
          <address>{to.first_name} {to.last_name}<br />{to.address_1}<br />{to.postal_code} {to.city}<br />{country(to.country_code)}</address>
        </section>
        <section>
          <h2>Payment</h2>
          <p>On invoice, when you have your order.</p>
        </section>
      </div>
      <Link href="/" className="link">Back to the shop</Link>
    </div>
  )
}
