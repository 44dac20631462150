// node --import record.mjs ...: writes down at the end, in their order, which of the dependencies' files were loaded.
import { writeFileSync } from "node:fs"
import { createRequire } from "node:module"
import { join } from "node:path"

const root = join(process.cwd(), "node_modules/")
process.on("exit", () => {
  const files = Object.keys(createRequire(root).cache).filter((file) => file.startsWith(root))
  writeFileSync(process.env.RECORD, JSON.stringify(files.map((file) => file.slice(root.length))))
})
