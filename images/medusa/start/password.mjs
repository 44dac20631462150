import { createHash, createHmac, randomBytes, scrypt, timingSafeEqual } from "node:crypto"
import { promisify } from "node:util"

// The format of the package scrypt-kdf, in which Medusa's emailpass provider keeps passwords (96 bytes, base64). Made here
// so that a password can be set while Medusa is still being loaded.
const LOG_N = 15, R = 8, P = 1

export async function hash(password, salt = randomBytes(32)) {
  const head = Buffer.alloc(16)
  head.write("scrypt", "ascii")
  head[7] = LOG_N
  head.writeUInt32BE(R, 8)
  head.writeUInt32BE(P, 12)
  const key = await promisify(scrypt)(password.normalize("NFKC"), salt, 64, { N: 2 ** LOG_N, r: R, p: P, maxmem: 2 ** 26 })
  const salted = Buffer.concat([head, salt])
  const checked = Buffer.concat([salted, createHash("sha256").update(salted).digest().subarray(0, 16)])
  return Buffer.concat([checked, createHmac("sha256", key.subarray(32)).update(checked).digest()]).toString("base64")
}

export async function matches(stored, password) {
  const bytes = Buffer.from(stored ?? "", "base64")
  if (bytes.length !== 96) return false
  return timingSafeEqual(bytes, Buffer.from(await hash(password, bytes.subarray(16, 48)), "base64"))
}
