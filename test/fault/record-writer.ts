/**
 * A process that writes a record until it is stopped, for the fault tests. It prints each seq once it is acknowledged.
 * Arguments: data directory, durability, failpoint and after how many of its hits the process kills itself, seconds to live.
 */
import { writeSync } from 'node:fs';
import { openRecorder } from '../../src/recording/recorder.ts';

const [dataDir = '', durability = 'durable', failpoint = '', hits = '0'] = process.argv.slice(2);
let left = Number(hits);

const recorder = openRecorder({
  dataDir,
  gateway: 'gw',
  durability: durability === 'buffered' ? 'buffered' : 'durable',
  segmentBytes: 20_000,
  checkpointSeconds: 3600,
  version: '0.0.0-test',
  failpoints: {
    hit(name) {
      if (name === failpoint && --left === 0) process.kill(process.pid, 'SIGKILL');
    },
  },
});

/** Sessions that each wait for their intent, as a gateway's do, and print what they may now forward. */
function session(sid: string): void {
  recorder.append('session', sid, '"event":"start"');
  const next = (op: number): void => {
    const seq = recorder.append('intent', sid, `"op":${op},"text":"update t set x = ${op}"`);
    recorder.whenRecorded({
      onRecorded(error) {
        if (error !== null) {
          writeSync(1, `failed ${(error as { code?: string }).code ?? ''}\n`);
          return;
        }
        writeSync(1, `${sid} ${seq}\n`);
        recorder.append('result', sid, `"intent":${seq},"status":"ok"`);
        next(op + 1);
      },
    });
  };
  next(1);
}

for (let n = 1; n <= 5; n++) session(`s${n}`);
