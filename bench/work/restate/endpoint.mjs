// Restate's handlers, served on a loopback port, and told what to do in lines of JSON on standard input; answers each with one line on
// standard output. One process is one deployment.
//
//   node endpoint.mjs     run in the folder that has node_modules
//
//   {"do": "serve", "service": NAME, "port": P}    the handler NAME/three from now on                        → {}
//   {"do": "send", "url": URL, "jobs": N}          N of them by one-way calls, 64 under way                  → {} when all are accepted
//   {"do": "hold"}                                 what begins from now on waits                             → {}
//   {"do": "held"}                                                                                           → {"held": how many wait}
//   {"do": "open"}                                 nothing waits any more                                    → {}, then {"again": id} once
//   {"do": "ended", "jobs": N}                     waits until N handlers have run to their end              → {}
//
// `three` is three durable steps that do nothing, each of which takes what the one before gave. It is told apart by Restate's id of the
// invocation, which every attempt has in common: `again` is the first that begins once more.
import { createServer } from 'node:http2';
import { createRequire } from 'node:module';
import readline from 'node:readline';
import process from 'node:process';

// The SDK is written for Node 22; of what it uses, Node 20 lacks this alone.
Promise.withResolvers ??= function () {
  const made = {};
  made.promise = new this((resolve, reject) => Object.assign(made, { resolve, reject }));
  return made;
};
const restate = createRequire(process.cwd() + '/')('@restatedev/restate-sdk');
const tell = (value) => process.stdout.write(JSON.stringify(value) + '\n');

const begun = new Set(), ended = new Set();
let counted = false, gate = null, open = null, listening = false, told = null, wanted = 0;

async function three(ctx, input) {
  const id = ctx.request().id.toString();
  if (listening && begun.has(id)) {
    listening = false;
    tell({ again: id });
  }
  if (gate) {
    begun.add(id);
    await gate;
  }
  const x = await ctx.run('first', () => input.value);
  const y = await ctx.run('second', () => x + 1);
  const z = await ctx.run('third', () => y + 1);
  if (counted) ended.add(id);
  if (wanted && ended.size === wanted) told();
  return z;
}

function serve(name, port) {
  const services = [restate.service({ name, handlers: { three } })];
  const server = createServer(restate.createEndpointHandler({ services, logger: () => {} }));
  return new Promise((resolve) => server.listen(port, '127.0.0.1', () => resolve()));
}

async function send(url, jobs) {
  let sent = 0;
  const submit = async () => {
    while (sent++ < jobs) {
      const headers = { 'content-type': 'application/json' };
      const answer = await fetch(url, { method: 'POST', headers, body: '{"value":1}' });
      if (!answer.ok) throw new Error(`${url}: ${answer.status} ${await answer.text()}`);
      await answer.text();
    }
  };
  await Promise.all(Array.from({ length: 64 }, submit));
}

const commands = {
  serve: (c) => serve(c.service, c.port),
  send: (c) => send(c.url, c.jobs),
  hold: () => { counted = true; gate = new Promise((resolve) => { open = resolve; }); },
  held: () => ({ held: begun.size }),
  open: () => { gate = null; listening = true; open(); },
  ended: (c) => new Promise((resolve) => {
    [wanted, told] = [c.jobs, resolve];
    if (ended.size === wanted) told();
  }),
};

for await (const line of readline.createInterface({ input: process.stdin })) {
  const command = JSON.parse(line);
  tell((await commands[command.do](command)) ?? {});
}
process.exit(0);
