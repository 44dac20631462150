import Link from "next/link"

export default function NotFound() {
  return (
    <div className="empty">
      <h1>This page does not exist</h1>
      <p className="quiet">The product may have left the shop, or the address has a slip in it.</p>
      <Link href="/" className="primary">See the products</Link>
    </div>
  )
}
