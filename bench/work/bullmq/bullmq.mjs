// BullMQ, told what to do in lines of JSON on standard input; answers each with one line on standard output. One process
// is one worker or one submitter, as BullMQ is deployed.
//
//   node bullmq.mjs REDIS_SOCKET     run in the folder that has node_modules
//
//   {"do": "work", "concurrency": N}                 processes no-op jobs from now on               → {}
//   {"do": "hold"}                                   processes jobs that never end, one at a time   → {}, then {"ran": id} a job
//   {"do": "add", "jobs": N, "batch": B}             bulk adds, 4 batches under way                 → {"seconds"} until accepted
//   {"do": "drain"}                                  waits until nothing waits and nothing runs     → {}
//   {"do": "rate", "rate": R, "seconds": S}          an open loop of single adds                    → {"seen": [ms…], "begun": [ms…]}
//
// Jobs carry 200 bytes, are removed when complete, and have BullMQ's defaults for everything else. Latencies count from the moment
// that the open loop's schedule gives: `begun` until a worker has the job (its process tells the time), `seen` until the
// submitter has read its completion from the queue's event stream. Every worker's no-op returns the time it began at.
import { createRequire } from 'node:module';
import readline from 'node:readline';
import process from 'node:process';

const { Queue, QueueEvents, Worker } = createRequire(process.cwd() + '/')('bullmq');
const connection = { path: process.argv[2], maxRetriesPerRequest: null };
const name = 'bench', payload = 'x'.repeat(200), options = { removeOnComplete: true };
// One clock for every process of the machine, in milliseconds.
const now = () => Number(process.hrtime.bigint()) / 1e6;
const sleep = (ms) => new Promise((resolve) => setTimeout(resolve, ms));
const tell = (value) => process.stdout.write(JSON.stringify(value) + '\n');

async function begin(processor, concurrency) {
  const worker = new Worker(name, processor, { connection, concurrency });
  worker.on('error', (e) => process.stderr.write(`worker: ${e.message}\n`));
  await worker.waitUntilReady();
}

let queue;
const theQueue = () => (queue ??= new Queue(name, { connection }));

async function add(jobs, batch) {
  const start = now();
  let sent = 0;
  const submit = async () => {
    while (sent < jobs) {
      const n = Math.min(batch, jobs - sent), first = sent;
      sent += n;
      await theQueue().addBulk(Array.from({ length: n }, (_, i) => ({ name: 'noop', data: { i: first + i, payload }, opts: options })));
    }
  };
  await Promise.all(Array.from({ length: 4 }, submit));
  return (now() - start) / 1000;
}

async function drain() {
  for (;;) {
    const counts = await theQueue().getJobCounts('wait', 'active', 'prioritized', 'delayed');
    if (Object.values(counts).every((n) => n === 0)) return;
    await sleep(2);
  }
}

async function rate(perSecond, seconds) {
  const events = new QueueEvents(name, { connection }), total = Math.round(perSecond * seconds);
  const due = new Map(), early = new Map(), seen = [], begun = [];
  const ended = (id, at, began) => {
    seen.push(at - due.get(id));
    begun.push(began - due.get(id));
  };
  events.on('completed', ({ jobId, returnvalue }) => {
    const at = now(), began = Number(returnvalue);
    due.has(jobId) ? ended(jobId, at, began) : early.set(jobId, [at, began]);
  });
  await events.waitUntilReady();
  await sleep(300);
  const start = now(), adding = [];
  for (let i = 0; i < total; i++) {
    const at = start + (i * 1000) / perSecond;
    // Timers are a millisecond coarse: the last stretch is polled, so that the schedule's moment is met.
    if (at - now() > 2) await sleep(at - now() - 1.5);
    while (now() < at) await new Promise(setImmediate);
    adding.push(theQueue().add('noop', { i, payload }, options).then((job) => {
      due.set(job.id, at);
      if (early.has(job.id)) ended(job.id, ...early.get(job.id));
    }));
  }
  await Promise.all(adding);
  for (let waited = 0; seen.length < total && waited < 5000; waited += 20) await sleep(20);
  await events.close();
  return { seen, begun, lost: total - seen.length };
}

const commands = {
  work: ({ concurrency }) => begin(async () => now(), concurrency),
  hold: () => begin((job) => { tell({ ran: job.id }); return new Promise(() => {}); }, 1),
  add: async ({ jobs, batch }) => ({ seconds: await add(jobs, batch) }),
  drain,
  rate: (c) => rate(c.rate, c.seconds),
};

for await (const line of readline.createInterface({ input: process.stdin })) {
  const command = JSON.parse(line);
  tell((await commands[command.do](command)) ?? {});
}
process.exit(0);
