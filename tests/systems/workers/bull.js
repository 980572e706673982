// Producers and workers of BullMQ 5, BullMQ 6 and Bull 4, doing a known number of things; then `ready`, and it holds.
// Arguments: the library's name in node_modules, the port of Redis, and the prefix of the keys where it is another one.
const [library, port, prefix = 'bull'] = process.argv.slice(2);
const lib = require(library);
const connection = { host: '127.0.0.1', port: Number(port) };
const isBull = library === 'bull';
const secret = { card: '4111-secret' };
const later = 3600000;

const queue = (name) => (isBull ? new lib(name, { redis: connection, prefix }) : new lib.Queue(name, { connection, prefix }));
const work = (name, job) =>
  isBull
    ? void queue(name).process('*', 1, job)
    : new lib.Worker(name, job, { connection, prefix, concurrency: 1, metrics: { maxDataPoints: 60 } });

const until = async (what, good) => {
  for (let tries = 0; !(await good()); tries += 1) {
    if (tries > 1600) throw new Error(`still not: ${what}`);
    await new Promise((done) => setTimeout(done, 25));
  }
};

const main = async () => {
  const mail = queue('mail');
  for (let i = 0; i < 4; i += 1) await mail.add('good', secret);
  for (let i = 0; i < 2; i += 1) await mail.add('bad', secret);
  await mail.add('bad', secret, { attempts: 3, backoff: { type: 'fixed', delay: later } });
  work('mail', async (job) => {
    if (job.name === 'bad') throw new Error('bad');
    if (job.name === 'hold') await new Promise(() => {});
  });
  await until('all were tried', async () => {
    const counts = await mail.getJobCounts('completed', 'failed', 'delayed');
    return counts.completed === 4 && counts.failed === 2 && counts.delayed === 1;
  });
  await mail.add('hold', secret);
  await until('one is held', async () => (await mail.getActiveCount()) === 1);
  await mail.add('old', secret, { timestamp: Date.now() - 100000 });
  for (let i = 0; i < 2; i += 1) await mail.add('good', secret);
  for (let i = 0; i < 2; i += 1) await mail.add('first', secret, { priority: 5 });
  for (let i = 0; i < 3; i += 1) await mail.add('later', secret, { delay: later });

  const held = queue('held');
  await held.pause();
  for (let i = 0; i < 5; i += 1) await held.add('good', secret);

  const empty = queue('empty');
  work('empty', async () => {});
  await empty.add('good', secret, { removeOnComplete: true });
  await until('it is empty', async () => {
    const counts = await empty.getJobCounts('waiting', 'wait', 'active');
    return Object.values(counts).every((count) => count === 0);
  });
  console.log('ready');
};
main().catch((error) => {
  console.error(error);
  process.exit(1);
});
