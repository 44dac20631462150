import { randomBytes } from "crypto"
import type { ExecArgs } from "@medusajs/framework/types"
import { ContainerRegistrationKeys, Modules, ProductStatus } from "@medusajs/framework/utils"
import {
  createInventoryLevelsWorkflow,
  createProductsWorkflow,
  createRegionsWorkflow,
  createShippingOptionsWorkflow,
  createShippingProfilesWorkflow,
  createStockLocationsWorkflow,
  createTaxRegionsWorkflow,
  linkSalesChannelsToStockLocationWorkflow,
  updateStoresWorkflow,
} from "@medusajs/medusa/core-flows"

const CURRENCY = "eur"
const COUNTRIES = ["at", "be", "de", "es", "fr", "it", "nl"]
// The pictures are the storefront's: relative, so they follow the store's host.
const PRODUCTS = [
  { handle: "stoneware-mug", title: "Stoneware mug", price: 18, weight: 380, text: "Thrown in small batches and glazed inside only, so the outside stays matt. Holds 330 ml." },
  { handle: "linen-tote", title: "Linen tote", price: 29, weight: 240, text: "Washed European linen with an inner pocket. Folds to the size of a book." },
  { handle: "cotton-t-shirt", title: "Cotton T-shirt", price: 34, weight: 190, sizes: ["S", "M", "L", "XL"], text: "Heavy organic cotton, cut straight. Pre-washed, so it keeps its size." },
  { handle: "desk-lamp", title: "Desk lamp", price: 89, weight: 1400, text: "Powder-coated steel with a warm, dimmable light. The arm stays where you leave it." },
  { handle: "grid-notebook", title: "Grid notebook", price: 14, weight: 260, text: "160 pages of 90 g paper, sewn, so it lies flat on the table." },
  { handle: "steel-bottle", title: "Steel bottle", price: 32, weight: 310, text: "Double-walled: cold for a day, hot for half of one. 500 ml." },
  { handle: "wool-beanie", title: "Wool beanie", price: 26, weight: 90, sizes: ["One size"], text: "Ribbed merino, knitted without a seam." },
  { handle: "terracotta-planter", title: "Terracotta planter", price: 24, weight: 900, text: "Unglazed clay with a saucer, 16 cm across. Comes without the plant." },
]

/** Fills a freshly migrated database once, when the image is built; the names of TEMPLATE in start/identity.mjs mark what each store replaces. */
export default async function seed({ container }: ExecArgs) {
  const link = container.resolve(ContainerRegistrationKeys.LINK)
  const query = container.resolve(ContainerRegistrationKeys.QUERY)
  const knex = container.resolve(ContainerRegistrationKeys.PG_CONNECTION)
  const fulfillment = container.resolve(Modules.FULFILLMENT)
  const users = container.resolve(Modules.USER)
  const auth = container.resolve(Modules.AUTH)

  // Medusa has made a store, a sales channel and a publishable key at its first boot.
  const [store] = await container.resolve(Modules.STORE).listStores()
  const [channel] = await container.resolve(Modules.SALES_CHANNEL).listSalesChannels({})
  await knex.raw("update api_key set token = 'pk_TEMPLATE', redacted = 'pk_TEMPLATE' where type = 'publishable'")

  const { result: [region] } = await createRegionsWorkflow(container).run({
    input: { regions: [{ name: "Europe", currency_code: CURRENCY, countries: COUNTRIES, payment_providers: ["pp_system_default"] }] },
  })
  await createTaxRegionsWorkflow(container).run({ input: COUNTRIES.map((country_code) => ({ country_code, provider_id: "tp_system" })) })

  const { result: [location] } = await createStockLocationsWorkflow(container).run({
    input: { locations: [{ name: "Warehouse", address: { city: "Berlin", country_code: "de", address_1: "Lagerstrasse 1" } }] },
  })
  await link.create({
    [Modules.STOCK_LOCATION]: { stock_location_id: location.id },
    [Modules.FULFILLMENT]: { fulfillment_provider_id: "manual_manual" },
  })
  await linkSalesChannelsToStockLocationWorkflow(container).run({ input: { id: location.id, add: [channel.id] } })

  await updateStoresWorkflow(container).run({
    input: {
      selector: { id: store.id },
      update: {
        name: "Template",
        supported_currencies: [{ currency_code: CURRENCY, is_default: true }],
        default_sales_channel_id: channel.id,
        default_region_id: region.id,
        default_location_id: location.id,
      },
    },
  })

  const [existing] = await fulfillment.listShippingProfiles({ type: "default" })
  const profile = existing ?? (await createShippingProfilesWorkflow(container).run({ input: { data: [{ name: "Default", type: "default" }] } })).result[0]
  const set = await fulfillment.createFulfillmentSets({
    name: "Delivery",
    type: "shipping",
    service_zones: [{ name: "Europe", geo_zones: COUNTRIES.map((country_code) => ({ country_code, type: "country" as const })) }],
  })
  await link.create({
    [Modules.STOCK_LOCATION]: { stock_location_id: location.id },
    [Modules.FULFILLMENT]: { fulfillment_set_id: set.id },
  })
  const delivery = (name: string, code: string, description: string, amount: number) => ({
    name,
    price_type: "flat" as const,
    provider_id: "manual_manual",
    service_zone_id: set.service_zones[0].id,
    shipping_profile_id: profile.id,
    type: { label: name, description, code },
    prices: [
      { currency_code: CURRENCY, amount },
      { region_id: region.id, amount },
    ],
    rules: [
      { attribute: "enabled_in_store", value: "true", operator: "eq" as const },
      { attribute: "is_return", value: "false", operator: "eq" as const },
    ],
  })
  await createShippingOptionsWorkflow(container).run({
    input: [
      delivery("Standard delivery", "standard", "3 to 5 working days", 5),
      delivery("Express delivery", "express", "Next working day", 12),
    ],
  })

  await createProductsWorkflow(container).run({
    input: {
      products: PRODUCTS.map(({ handle, title, price, weight, text, sizes = ["Standard"] }) => ({
        title,
        handle,
        weight,
        description: text,
        thumbnail: `/pictures/${handle}.svg`,
        images: [{ url: `/pictures/${handle}.svg` }],
        status: ProductStatus.PUBLISHED,
        shipping_profile_id: profile.id,
        options: [{ title: "Size", values: sizes }],
        variants: sizes.map((size) => ({
          title: size,
          sku: `${handle}-${size}`.toUpperCase().replace(/ /g, "-"),
          manage_inventory: true,
          options: { Size: size },
          prices: [{ currency_code: CURRENCY, amount: price }],
        })),
        sales_channels: [{ id: channel.id }],
      })),
    },
  })
  const { data: items } = await query.graph({ entity: "inventory_item", fields: ["id"] })
  await createInventoryLevelsWorkflow(container).run({
    input: { inventory_levels: items.map(({ id }: any) => ({ location_id: location.id, inventory_item_id: id, stocked_quantity: 100 })) },
  })

  const email = "admin@template.invalid"
  const user = await users.createUsers({ email })
  // Nobody learns this password: a store's start replaces it.
  const { authIdentity, error } = await auth.register("emailpass", { body: { email, password: randomBytes(24).toString("hex") } } as any)
  if (error) throw new Error(String(error))
  await auth.updateAuthIdentities({ id: authIdentity!.id, app_metadata: { user_id: user.id } })
}
