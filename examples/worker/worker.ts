// A worker of Ballast in TypeScript, for Node 22 without packages: pulls tasks, keeps their leases, tells of progress, completes or fails them
// with their fence. The types are of the kind that Node strips by itself.
//
//     BALLAST_KEY=sk-… BALLAST_QUEUES=images node worker.ts      # a key of scope work; BALLAST_URL, if it is not http://127.0.0.1:8080
import { hostname } from "node:os";
import { setTimeout as sleep } from "node:timers/promises";

type Task = { id: string; fence: string; attempt: number; task: string; payload: any };
const url = process.env.BALLAST_URL ?? "http://127.0.0.1:8080", key = process.env.BALLAST_KEY;
const queues = (process.env.BALLAST_QUEUES ?? "default").split(","), lease = Number(process.env.BALLAST_LEASE ?? 30);
const held = new Map<string, Task>(); // tasks that are ours; each may go `lease` seconds without a heartbeat
const end = new AbortController();
class Lost extends Error {} // The lease is over: cancelled, or another worker's now. What was made of the task is for nobody.
class Refused extends Error {}

// Yours. It may run twice (a machine may die between its end and `complete`), so let its effects bear that.
async function work(task: Task, progress: (said: unknown) => Promise<void>): Promise<unknown> {
  const { steps, seconds } = task.payload;
  for (let n = 1; n <= steps; n++) {
    await sleep((1000 * seconds) / steps, undefined, { signal: end.signal });
    await progress({ step: n, of: steps });
  }
  return { steps };
}

// Asks again, slower and slower, while the server is away: the fence makes that safe.
async function call(action: string, body: unknown, patience = Infinity, signal?: AbortSignal): Promise<any[]> {
  const until = Date.now() + patience, headers = { authorization: `Bearer ${key}`, "content-type": "application/json" };
  for (let pause = 200; ; pause = Math.min(pause * 2, 5000)) {
    try {
      const reply = await fetch(`${url}/api/workers/${action}`, { method: "POST", headers, body: JSON.stringify(body), signal });
      if (reply.ok) return ((await reply.json()) as any).tasks;
      if (reply.status < 500 && reply.status !== 429) throw new Refused(`${reply.status}: ${await reply.text()}`);
    } catch (e) {
      if (e instanceof Refused || signal?.aborted || Date.now() > until) throw e;
    }
    await sleep(pause, undefined, { signal });
  }
}
async function tell(action: string, { id, fence }: Task, more = {}, patience = Infinity): Promise<void> {
  const [answer] = await call(action, { tasks: [{ id, fence, ...more }] }, patience);
  if (answer.error) throw new Lost(answer.error.message);
}

async function run(task: Task): Promise<void> {
  try {
    const output = await work(task, (said) => tell("progress", task, { attempt: task.attempt, progress: said }));
    await tell("complete", task, { output });
  } catch (e) {
    if (e instanceof Lost) return console.log(`${task.id}: ${e.message}`);
    const [how, more] = end.signal.aborted ? ["release", {}] : ["fail", { error: { message: String(e) } }]; // given back: no attempt is counted
    await tell(how, task, more, end.signal.aborted ? 5000 : Infinity).catch((why) => console.log(`${task.id}: ${why}`));
  }
}

process.on("SIGTERM", () => end.abort());
setInterval(() => {
  const tasks = [...held.values()].map(({ id, fence }) => ({ id, fence }));
  if (tasks.length) call("heartbeat", { lease: `${lease}s`, tasks }, 0).catch(() => {});
}, (1000 * lease) / 3).unref();
while (!end.signal.aborted) {
  const ask = { worker: `${hostname()}:${process.pid}`, queues, wait: "20s", lease: `${lease}s` };
  for (const task of await call("pull", ask, Infinity, end.signal).catch((e) => { if (end.signal.aborted) return []; throw e; })) {
    held.set(task.id, task);
    await run(task);
    held.delete(task.id);
  }
}
