import type { MedusaRequest, MedusaResponse } from "@medusajs/framework/http"
import { Modules } from "@medusajs/framework/utils"

/** The shop's name for the storefront, which has it from nowhere else: it may change while both run. */
export async function GET(request: MedusaRequest, response: MedusaResponse) {
  const [store] = await request.scope.resolve(Modules.STORE).listStores({}, { select: ["name"], take: 1 })
  response.json({ shop: { name: store.name } })
}
