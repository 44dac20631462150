import Link from "next/link"
import Picture from "../components/picture"
import { money } from "../lib/money"
import { price, products, region, shopName, stock } from "../lib/shop"

export default async function Home() {
  const [list, { currency_code }, name] = await Promise.all([products(), region(), shopName()])
  return (
    <>
      <section className="hero">
        <h1>{name}</h1>
        <p>Everything in the shop, sent to your door.</p>
      </section>
      {list.length ? (
        <ul className="grid">
          {list.map(({ id, handle, title, thumbnail, variants }) => {
            const prices = variants.map(price).filter((amount) => amount !== null)
            const lowest = Math.min(...prices)
            return (
              <li key={id}>
                <Link href={`/products/${handle}`} className="card">
                  <Picture title={title} src={thumbnail} />
                  <span className="title">{title}</span>
                  <span className="quiet">
                    {variants.every((variant) => !stock(variant)) ? "Sold out" : prices.length ? `${Math.max(...prices) > lowest ? "from " : ""}${money(lowest, currency_code)}` : ""}
                  </span>
                </Link>
              </li>
            )
          })}
        </ul>
      ) : (
        <p className="empty">There is nothing in the shop yet. Please come back soon.</p>
      )}
    </>
  )
}
