import { notFound } from "next/navigation"
import AddToCart from "../../../components/add-to-cart"
import Picture from "../../../components/picture"
import { money } from "../../../lib/money"
import { price, product, region, stock } from "../../../lib/shop"

export async function generateMetadata({ params }) {
  const found = await product((await params).handle).catch(() => null) // the page itself says what is wrong
  return { title: found?.title, description: found?.description }
}

export default async function Product({ params }) {
  const [found, { currency_code }] = await Promise.all([product((await params).handle), region()])
  if (!found) notFound()
  const offered = found.variants.filter((variant) => price(variant) !== null).sort((a, b) => (a.variant_rank ?? 0) - (b.variant_rank ?? 0))
  const prices = offered.map(price)
  const same = prices.every((amount) => amount === prices[0])
  const variants = offered.map((variant) => ({
    id: variant.id,
    title: variant.title,
    price: same ? null : money(price(variant), currency_code),
    soldOut: stock(variant) === 0,
  }))
  const left = offered.length === 1 ? stock(offered[0]) : Infinity
  return (
    <article className="product">
      <Picture title={found.title} src={found.thumbnail} sizes="large" />
      <div>
        <h1>{found.title}</h1>
        <p className="price">{prices.length ? `${same ? "" : "from "}${money(Math.min(...prices), currency_code)}` : "Not for sale at the moment"}</p>
        <p className="text">{found.description}</p>
        {prices.length > 0 && <AddToCart handle={found.handle} variants={variants} option="Size" />}
        {left > 0 && left < 10 && <p className="quiet">Only {left} left.</p>}
        <ul className="facts quiet">
          <li>You see the cost of delivery before you order</li>
          <li>You pay on invoice, when you have your order</li>
        </ul>
      </div>
    </article>
  )
}
