// A product's own picture, or a calm stand-in for one that has none: its initial on a colour of its own.
export default function Picture({ title, src, sizes = "" }) {
  if (src) return <img className={`picture ${sizes}`} src={local(src)} alt="" loading="lazy" />
  const hue = [...title].reduce((sum, letter) => (sum * 31 + letter.codePointAt(0)) % 360, 7)
  return (
    <svg className={`picture ${sizes}`} viewBox="0 0 400 500" aria-hidden="true" style={{ "--hue": hue }}>
      <rect width="400" height="500" className="tint" />
      <text x="200" y="300" textAnchor="middle" className="initial">{title.trim().charAt(0).toUpperCase()}</text>
    </svg>
  )
}

// A picture that the merchant uploaded lies under /static of the store's own host.
const local = (src) => src.replace(/^https?:\/\/[^/]+(?=\/static\/)/, "")
