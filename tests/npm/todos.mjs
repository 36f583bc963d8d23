// A todo store in LiveStore's own JavaScript client, driven from the command line.
//
//   node todos.mjs URL STORE_ID ws|http NAME OWN TOTAL DONE
//
// Opens the store STORE_ID behind the sync server at URL, creates OWN todos whose ids start with NAME and ticks off the
// first, waits until the store holds TOTAL todos with DONE of them done, prints them as one line of JSON in the order of
// their ids, and goes on syncing until its standard input ends: LiveStore itself does not tell when the server has taken
// an event. Exits 1 if the todos have not come after 60 seconds.

import { makeAdapter } from '@livestore/adapter-node'
import { Events, makeSchema, Schema, State, createStorePromise, queryDb } from '@livestore/livestore'
import { makeHttpSync, makeWsSync } from '@livestore/sync-cf/client'
import { WebSocket } from 'ws'

// Node has a WebSocket of its own from version 22 on.
globalThis.WebSocket ??= WebSocket

const [url, storeId, transport, name, own, total, done] = process.argv.slice(2)
if (done === undefined) {
  console.error('usage: node todos.mjs URL STORE_ID ws|http NAME OWN TOTAL DONE')
  process.exit(2)
}

// What `drivers/cli/examples/todo.toml` says to the other side.
const todos = State.SQLite.table({
  name: 'todos',
  columns: {
    id: State.SQLite.text({ primaryKey: true }),
    text: State.SQLite.text(),
    done: State.SQLite.boolean({ default: false }),
  },
})
const events = {
  created: Events.synced({ name: 'v1.TodoCreated', schema: Schema.Struct({ id: Schema.String, text: Schema.String }) }),
  done: Events.synced({ name: 'v1.TodoDone', schema: Schema.Struct({ id: Schema.String }) }),
}
const materializers = State.SQLite.materializers(events, {
  'v1.TodoCreated': ({ id, text }) => todos.insert({ id, text }),
  'v1.TodoDone': ({ id }) => todos.update({ done: true }).where({ id }),
})
const schema = makeSchema({ events, state: State.SQLite.makeState({ tables: { todos }, materializers }) })

const backend = transport === 'http' ? makeHttpSync({ url, livePull: { pollInterval: 200 } }) : makeWsSync({ url })
const authToken = process.env.COUNTERSIGN_TOKEN
const store = await createStorePromise({
  adapter: makeAdapter({ storage: { type: 'in-memory' }, clientId: name, sync: { backend } }),
  schema,
  storeId,
  ...(authToken ? { syncPayload: { authToken } } : {}),
})

for (let i = 1; i <= Number(own); i++) {
  store.commit(events.created({ id: `${name}-${i}`, text: `todo ${i} of ${name}, "quoted", ünïcode ✓` }))
}
if (Number(own) > 0) store.commit(events.done({ id: `${name}-1` }))

const all = queryDb(todos.orderBy('id', 'asc'))
const deadline = Date.now() + 60_000
const isHere = (rows) => rows.length === Number(total) && rows.filter((todo) => todo.done).length === Number(done)
while (!isHere(store.query(all))) {
  if (Date.now() > deadline) {
    const rows = store.query(all)
    console.error(`after 60 s: ${rows.length} of ${total} todos, ${rows.filter((todo) => todo.done).length} of ${done} done`)
    process.exit(1)
  }
  await new Promise((resolve) => setTimeout(resolve, 20))
}
console.log(JSON.stringify(store.query(all)))
process.stdin.resume()
process.stdin.on('end', () => process.exit(0))
