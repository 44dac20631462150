import { Agent, buildConnector, setGlobalDispatcher } from "undici"

// A policy agent that writes its rules anew may lose a connection's first packet, and TCP sends it again after a whole second
// only: a shopper's page would wait for it. So the next try follows after a tenth, and the first that is there is taken.
const PAUSE = 100 // milliseconds
const TRIES = 10

export function connectAgainSoon() {
  setGlobalDispatcher(new Agent({ connect: firstOf(buildConnector({})) }))
}

export const firstOf = (once) => (options, done) => {
  let tries = 0, over = false, timer
  function attempt() {
    if (++tries < TRIES) timer = setTimeout(attempt, PAUSE)
    once(options, (error, socket) => {
      if (over) return void socket?.destroy()
      over = true
      clearTimeout(timer)
      done(error, socket)
    })
  }
  attempt()
}
