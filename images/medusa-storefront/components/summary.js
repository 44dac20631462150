import { money } from "../lib/money"
import Picture from "./picture"

/** The lines of a cart or an order, to read only. */
export default function SummaryLines({ items, currency }) {
  return (
    <ul className="brief">
      {items.map((item) => (
        <li key={item.id}>
          <Picture title={item.product_title} src={item.thumbnail} sizes="small" />
          <span>{item.product_title}{detailOf(item) && <small className="quiet">{detailOf(item)}</small>}</span>
          <span className="quiet">{item.quantity} &times;</span>
          <span>{money(item.unit_price * item.quantity, currency)}</span>
        </li>
      ))}
    </ul>
  )
}

// A product of one kind has a variant whose title says nothing.
export const detailOf = ({ variant_title }) => (["Standard", "Default variant"].includes(variant_title) ? null : variant_title)
