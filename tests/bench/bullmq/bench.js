// BullMQ's side of the comparison: the same work as the lunaq programs of
// tests/bench, in Node, against the same Redis.
//
//   node bench.js enqueue  --count 50000 --producers 8 --batch 100   seconds it took
//   node bench.js serve    --concurrency 10                          until TERM
//   node bench.js latency  --rate 200 --seconds 10                   enqueue -> start
//   node bench.js lateness --rate 200 --seconds 10                   due -> start
import { parseArgs } from "node:util";
import { Queue, Worker } from "bullmq";

const options = {
  port: { type: "string", default: "6379" },
  queue: { type: "string", default: "bench" },
  count: { type: "string", default: "1000" },
  producers: { type: "string", default: "1" },
  batch: { type: "string", default: "1" },
  type: { type: "string", default: "noop" },
  ms: { type: "string", default: "1" },
  concurrency: { type: "string", default: "10" },
  rate: { type: "string", default: "200" },
  seconds: { type: "string", default: "10" },
};
const { values, positionals } = parseArgs({ options, allowPositionals: true });
const number = (name) => Number(values[name]);
const connection = { host: "127.0.0.1", port: number("port"), maxRetriesPerRequest: null };
const forget = { removeOnComplete: true, removeOnFail: true };
const pause = (ms) => new Promise((done) => setTimeout(done, ms));

// Each producer adds its share, one call after the other.
async function enqueue() {
  const queue = new Queue(values.queue, { connection });
  await queue.waitUntilReady();
  const data = { n: 1, ms: number("ms") };
  const share = Math.ceil(number("count") / number("producers"));
  const produce = async (count) => {
    for (let left = count; left > 0; left -= number("batch")) {
      const n = Math.min(left, number("batch"));
      if (n === 1) await queue.add(values.type, data, forget);
      else await queue.addBulk(Array.from({ length: n }, () => ({ name: values.type, data, opts: forget })));
    }
  };
  const start = performance.now();
  const producers = [];
  for (let left = number("count"); left > 0; left -= share) producers.push(produce(Math.min(left, share)));
  await Promise.all(producers);
  console.log("seconds", (performance.now() - start) / 1000);
  await queue.close();
}

function work(handler) {
  return new Worker(values.queue, handler, { connection, concurrency: number("concurrency") });
}

function serve() {
  const worker = work(async (job) => {
    if (job.name === "sleep") await pause(job.data.ms);
  });
  process.on("SIGTERM", async () => {
    await worker.close(true);
    process.exit(0);
  });
}

function report(took, total) {
  if (took.length < total) {
    console.error(`bench: ${took.length} of ${total} jobs ran`);
    process.exit(1);
  }
  took.sort((a, b) => a - b);
  console.log("p50_ms", took[Math.floor((total - 1) * 0.5)]);
  console.log("p99_ms", took[Math.floor((total - 1) * 0.99)]);
}

// jobAt(i) says what job i waits for: its instant and its delay.  Both instants
// are this process' clock, which also runs the handler.
async function measure(jobAt) {
  const took = [];
  const worker = work(async (job) => {
    took.push(performance.timeOrigin + performance.now() - job.data.at);
  });
  const queue = new Queue(values.queue, { connection });
  await Promise.all([worker.waitUntilReady(), queue.waitUntilReady()]);
  await pause(1000); // the queue is idle, the worker is waiting

  const total = number("rate") * number("seconds");
  const step = 1000 / number("rate");
  const begin = performance.now();
  const sent = [];
  for (let i = 0; i < total; i++) {
    const early = begin + i * step - performance.now();
    if (early > 1) await pause(early);
    const { at, delay } = jobAt(performance.timeOrigin + performance.now());
    sent.push(queue.add("start", { at }, { ...forget, delay }));
  }
  await Promise.all(sent);
  for (const end = performance.now() + 15000; took.length < total && performance.now() < end; ) await pause(10);
  report(took, total);
  await worker.close(true);
  await queue.close();
}

const verbs = {
  enqueue,
  serve,
  latency: () => measure((now) => ({ at: now, delay: 0 })),
  // Due at the second whole second from now, as for the others.
  lateness: () => measure((now) => {
    const at = (Math.floor(now / 1000) + 2) * 1000;
    return { at, delay: at - Date.now() };
  }),
};
const verb = verbs[positionals[0]];
if (!verb) {
  console.error("usage: node bench.js enqueue|serve|latency|lateness [options]");
  process.exit(2);
}
await verb();
