"use client"
import { useActionState, useState } from "react"
import { placeOrder } from "../lib/actions"
import { money } from "../lib/money"
import Button from "./button"

export default function Checkout({ countries, deliveries, currency, subtotal, tax, children }) {
  const [{ problem, values = {} }, action] = useActionState(placeOrder, {})
  const [delivery, choose] = useState(values.shipping ?? deliveries[0]?.id)
  const shipping = deliveries.find(({ id }) => id === delivery)?.amount ?? 0
  const field = (name, label, rest) => (
    <label className={`field ${name}`}>
      <span>{label}</span>
      <input name={name} defaultValue={values[name]} required {...rest} />
    </label>
  )
  return (
    <form action={action} className="checkout">
      <div className="steps">
        {problem && <p className="notice" role="alert">{problem}</p>}
        <fieldset>
          <legend>Contact</legend>
          {field("email", "E-mail", { type: "email", autoComplete: "email" })}
        </fieldset>
        <fieldset className="address">
          <legend>Delivery address</legend>
          {field("first_name", "First name", { autoComplete: "given-name" })}
          {field("last_name", "Last name", { autoComplete: "family-name" })}
          {field("address_1", "Street and number", { autoComplete: "street-address" })}
          {field("postal_code", "Postcode", { autoComplete: "postal-code" })}
          {field("city", "Town", { autoComplete: "address-level2" })}
          <label className="field country_code">
            <span>Country</span>
            <select name="country_code" autoComplete="country" defaultValue={values.country_code} required>
              {countries.map(({ code, name }) => <option key={code} value={code}>{name}</option>)}
            </select>
          </label>
        </fieldset>
        <fieldset>
          <legend>Delivery</legend>
          {deliveries.length ? (
            deliveries.map(({ id, name, detail, amount }) => (
              <label key={id} className="option">
                <input type="radio" name="shipping" value={id} checked={id === delivery} onChange={() => choose(id)} required />
                <span><strong>{name}</strong>{detail && <small className="quiet">{detail}</small>}</span>
                <span>{amount ? money(amount, currency) : "Free"}</span>
              </label>
            ))
          ) : (
            <p className="notice">This shop does not deliver at the moment, so the order cannot be placed.</p>
          )}
        </fieldset>
        <fieldset>
          <legend>Payment</legend>
          <label className="option">
            <input type="radio" checked readOnly />
            <span><strong>On invoice</strong><small className="quiet">You pay when you have your order.</small></span>
          </label>
        </fieldset>
      </div>
      <aside className="summary" aria-label="Order summary">
        <h2>Your order</h2>
        {children}
        <dl>
          <div><dt>Subtotal</dt><dd>{money(subtotal, currency)}</dd></div>
          <div><dt>Delivery</dt><dd>{shipping ? money(shipping, currency) : "Free"}</dd></div>
          {tax > 0 && <div><dt>Tax</dt><dd>{money(tax, currency)}</dd></div>}
          <div className="total"><dt>Total</dt><dd>{money(subtotal + shipping + tax, currency)}</dd></div>
        </dl>
        <Button className="primary wide" busy="Placing your order" disabled={!deliveries.length}>Place order</Button>
      </aside>
    </form>
  )
}
