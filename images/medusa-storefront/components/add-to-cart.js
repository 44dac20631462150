"use client"
import { useActionState } from "react"
import { addToCart } from "../lib/actions"
import Button from "./button"

export default function AddToCart({ handle, variants, option }) {
  const [{ problem }, action] = useActionState(addToCart, {})
  const first = variants.find(({ soldOut }) => !soldOut)
  if (!first) return <p className="notice">Sold out for now.</p>
  return (
    <form action={action} className="buy">
      <input type="hidden" name="handle" value={handle} />
      {variants.length === 1 ? (
        <input type="hidden" name="variant" value={first.id} />
      ) : (
        <fieldset>
          <legend>{option}</legend>
          <div className="choices">
            {variants.map((variant) => (
              <label key={variant.id} className="choice">
                <input type="radio" name="variant" value={variant.id} defaultChecked={variant.id === first.id} disabled={variant.soldOut} required />
                <span>{variant.title}{variant.price && <small> {variant.price}</small>}</span>
              </label>
            ))}
          </div>
        </fieldset>
      )}
      <div className="row">
        <label className="quantity">
          <span className="unseen">Quantity</span>
          <input type="number" name="quantity" min="1" max="99" defaultValue="1" inputMode="numeric" required />
        </label>
        <Button className="primary" busy="Adding">Add to cart</Button>
      </div>
      {problem && <p className="notice" role="alert">{problem}</p>}
    </form>
  )
}
