"use client"

export default function Problem({ reset }) {
  return (
    <div className="empty" role="alert">
      <h1>The shop is not answering</h1>
      <p className="quiet">This is on our side and usually over in a moment. Your cart is kept.</p>
      <button className="primary" onClick={() => { reset(); location.reload() }}>Try again</button>
    </div>
  )
}
