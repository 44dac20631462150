"use client"
import { useActionState } from "react"
import { setQuantity } from "../lib/actions"
import { money } from "../lib/money"
import Button from "./button"

// Each button is a form's own, so the cart works without JavaScript too.
export default function Line({ id, title, quantity, unit, currency, href, detail, children }) {
  const [{ problem }, action] = useActionState(setQuantity, {})
  return (
    <li className="line">
      <a href={href} className="thumb" tabIndex={-1} aria-hidden="true">{children}</a>
      <div className="what">
        <a href={href}>{title}</a>
        {detail && <p className="quiet">{detail}</p>}
        <p className="quiet">{money(unit, currency)}{quantity > 1 && " each"}</p>
        {problem && <p className="notice" role="alert">{problem}</p>}
      </div>
      <form action={action} className="stepper" aria-label={`Quantity of ${title}`}>
        <input type="hidden" name="line" value={id} />
        <Button name="quantity" value={quantity - 1} aria-label={`One ${title} fewer`}>&minus;</Button>
        <output aria-live="polite">{quantity}</output>
        <Button name="quantity" value={quantity + 1} aria-label={`One ${title} more`}>+</Button>
      </form>
      <p className="sum">{money(unit * quantity, currency)}</p>
      <form action={action} className="remove">
        <input type="hidden" name="line" value={id} />
        <Button name="quantity" value="0" className="link" busy="Removing" aria-label={`Remove ${title} from the cart`}>Remove</Button>
      </form>
    </li>
  )
}
