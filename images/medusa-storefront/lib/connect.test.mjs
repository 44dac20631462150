// Runs when the image is built: node --test
import assert from "node:assert/strict"
import test from "node:test"
import { firstOf } from "./connect.mjs"

/** Tries that wait until the test ends them, and what was told of them. */
function road(t) {
  t.mock.timers.enable({ apis: ["setTimeout"] })
  const tries = [], told = []
  firstOf((options, end) => tries.push(end))({}, (...result) => told.push(result))
  const socket = (name) => ({ name, destroyed: false, destroy() { this.destroyed = true } })
  return { tries, told, socket }
}

test("a lost try is followed by another a tenth of a second later, and the first that is there is taken", (t) => {
  const { tries, told, socket } = road(t)
  t.mock.timers.tick(99)
  assert.equal(tries.length, 1)
  t.mock.timers.tick(1)
  assert.equal(tries.length, 2)
  const second = socket("second")
  tries[1](null, second)
  assert.deepEqual(told, [[null, second]])
  t.mock.timers.tick(60_000)
  assert.equal(tries.length, 2, "nothing is tried once a connection is there")
})

test("a connection that comes too late is closed", (t) => {
  const { tries, told, socket } = road(t)
  t.mock.timers.tick(100)
  tries[1](null, socket("second"))
  const late = socket("first")
  tries[0](null, late)
  assert.ok(late.destroyed)
  assert.equal(told.length, 1)
})

test("a refusal is told at once, and only once", (t) => {
  const { tries, told } = road(t)
  tries[0](new Error("refused"))
  t.mock.timers.tick(60_000)
  assert.deepEqual([tries.length, told.length, told[0][0].message], [1, 1, "refused"])
})

test("after ten tries it waits for those that are under way", (t) => {
  const { tries, told } = road(t)
  for (let tenths = 0; tenths < 50; tenths++) t.mock.timers.tick(100)
  assert.equal(tries.length, 10)
  assert.equal(told.length, 0)
})
