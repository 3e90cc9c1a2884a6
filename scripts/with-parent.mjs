// Loaded into what scripts/run.mjs starts: ends it, as a SIGTERM would, when run.mjs is gone.
import { isMainThread } from 'node:worker_threads';

if (isMainThread && process.channel) {
  process.channel.unref();
  process.once('disconnect', () => process.kill(process.pid, 'SIGTERM'));
}
