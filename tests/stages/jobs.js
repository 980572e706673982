// Work that is put off: jobs of three kinds, and their workers, which have the application do them.
// Arguments: the port of Redis, and where the application is.
const { Queue, Worker } = require('bullmq6');
const [port, application] = process.argv.slice(2);
const connection = { host: '127.0.0.1', port: Number(port) };
// How many come in a second, how many are done at a time, and how often one is tried.
const KINDS = { mail: [1, 2, 1], push: [2, 20, 3], invoice: [1, 8, 1] };

// The name by which the agent groups processes.
process.title = 'shop-worker';

const log = (level, msg, more) => console.log(JSON.stringify({ time: Date.now() / 1000, level, msg, ...more }));

for (const [kind, [rate, concurrency, attempts]] of Object.entries(KINDS)) {
  const queue = new Queue(kind, { connection });
  const options = { attempts, backoff: { type: 'fixed', delay: 1000 }, removeOnComplete: true };
  setInterval(() => queue.add(kind, {}, options), 1000 / rate);
  const metrics = { maxDataPoints: 60 };
  const work = async () => {
    const answer = await fetch(`http://${application}/${kind}`);
    if (!answer.ok) throw new Error(`${kind}: the application answered ${answer.status}`);
  };
  const worker = new Worker(kind, work, { connection, concurrency, metrics });
  worker.on('failed', (job, error) => log('error', 'job failed', { queue: kind, job: job?.id, error: error.message }));
}
log('info', 'working');
