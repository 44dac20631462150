import { randomUUID } from "crypto"
import { join } from "path"
import { LocalFileService } from "@medusajs/file-local"
import { ModuleProvider, Modules } from "@medusajs/framework/utils"

type File = { filename: string; access?: "public" | "private" }

// Everything in the folder is served, so what is not for the public (the exports of orders) gets a name that nobody guesses.
const named = <T extends File>(file: T): T => (file.access === "public" ? file : { ...file, filename: `${randomUUID()}-${file.filename}` })

/** Medusa's files on a volume, with addresses that follow the store's host instead of one fixed at the start. */
class Uploads extends LocalFileService {
  static identifier = "uploads"

  constructor(...args: ConstructorParameters<typeof LocalFileService>) {
    super(...args)
    // All its methods ask this one, which is private to the type checker.
    Object.assign(this, { getUploadFileUrl: (key: string) => join("/static", key) })
  }

  upload(file: Parameters<LocalFileService["upload"]>[0]) {
    return super.upload(named(file))
  }

  getUploadStream(file: Parameters<LocalFileService["getUploadStream"]>[0]) {
    return super.getUploadStream(named(file))
  }
}

export default ModuleProvider(Modules.FILE, { services: [Uploads] })
