import Link from "next/link"
import { currentCart, shopName } from "../lib/shop"
import "./style.css"

export const dynamic = "force-dynamic"
export const viewport = { colorScheme: "light dark", width: "device-width", initialScale: 1 }
export async function generateMetadata() {
  const name = await shopName().catch(() => "Shop")
  return { title: { default: name, template: `%s - ${name}` } }
}

// The frame stands even while the backend is away: the page inside says what is wrong.
export default async function Layout({ children }) {
  const [name, cart] = await Promise.all([shopName().catch(() => "Shop"), currentCart().catch(() => null)])
  const count = cart?.items.reduce((sum, { quantity }) => sum + quantity, 0) ?? 0
  return (
    <html lang="en">
      <body>
        <a href="#main" className="skip">Skip to the content</a>
        <header>
          <Link href="/" className="brand">{name}</Link>
          <nav aria-label="Shop">
            <Link href="/">Products</Link>
            <Link href="/cart" aria-label={`Cart, ${count} ${count === 1 ? "item" : "items"}`}>Cart <span className="count">{count}</span></Link>
          </nav>
        </header>
        <main id="main">{children}</main>
        <footer><p>{name}</p><p className="quiet">Pay on invoice, when you have your order.</p></footer>
      </body>
    </html>
  )
}
