// One line of JSON per message, as Medusa writes its own.
export function log(message, level = "info") {
  console.log(JSON.stringify({ level, message, timestamp: new Date().toISOString() }))
}
