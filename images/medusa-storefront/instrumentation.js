// A first page loads code and compiles it, here and in the backend, and takes several times as long as the next ones. So it is
// asked for when the backend answers for the first time, which is before a shopper or the platform can do it.
const TRIES = 1200, PAUSE = 250 // milliseconds: five minutes, longer than a backend may take to start

export async function register() {
  if (process.env.NEXT_RUNTIME !== "nodejs") return
  const { connectAgainSoon } = await import("./lib/connect.mjs")
  connectAgainSoon()
  void warmUp()
}

async function warmUp() {
  for (let tries = 0; tries < TRIES && !(await backendAnswers()); tries++) await new Promise((resume) => setTimeout(resume, PAUSE))
  const signal = AbortSignal.timeout(20_000)
  await fetch(`http://127.0.0.1:${process.env.PORT}/`, { signal }).catch((error) => console.warn(`no page could be made ready: ${error.message}`))
}

async function backendAnswers() {
  const headers = { "x-publishable-api-key": process.env.PUBLISHABLE_KEY }
  try {
    return (await fetch(`${process.env.MEDUSA_BACKEND_URL}/store/shop`, { headers, signal: AbortSignal.timeout(2000) })).ok
  } catch {
    return false
  }
}
