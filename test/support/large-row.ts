import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import type { Stage } from './stage.ts';
import { encode } from './wire-messages.ts';

const MB = 1024 * 1024;
/** A number and filler: 25 bytes, coprime to every buffer's size, so that numbers lie across all borders there are. */
const BLOCK = '4111111111111111 abcdefgh';
const MASKED = '************1111 abcdefgh';

/** Resident memory of a process, bytes. */
export function residentMemory(pid: number): number {
  return Number(/^VmRSS:\s+(\d+) kB/m.exec(readFileSync(`/proc/${pid}/status`, 'utf8'))?.[1]) * 1024;
}

/**
 * Reads one row of `megabytes` through the gateway and checks every byte of it while it comes.
 * @returns by how much the gateway's resident memory grew at most, bytes.
 */
export async function passLargeRow(stage: Stage, form: 'select' | 'copy', megabytes: number): Promise<number> {
  const count = Math.floor((megabytes * MB) / BLOCK.length);
  const length = count * BLOCK.length;
  const value = `repeat('${BLOCK}', ${count})`;
  const wire = await stage.connect(stage.analyst);
  const before = residentMemory(stage.gateway.pid);
  wire.socket.removeAllListeners('data');
  wire.send(encode.query(form === 'select' ? `select ${value}, 'then 4111111111111111'` : `copy (select ${value}) to stdout`));

  const reference = Buffer.from(MASKED.repeat(Math.ceil((2 * MB) / MASKED.length)));
  let growth = 0;
  let seen = 0;
  let head = Buffer.alloc(0);
  let tail = Buffer.alloc(0);
  await new Promise<void>((resolve, reject) => {
    wire.socket.on('data', (chunk: Buffer) => {
      try {
        growth = Math.max(growth, residentMemory(stage.gateway.pid) - before);
        let data = chunk;
        if (seen === 0) {
          // What precedes the value is small: gather until the value has begun.
          head = Buffer.concat([head, chunk]);
          const at = head.indexOf('*');
          if (at === -1) {
            assert.ok(head.length < 1000, 'the value begins with something else');
            return;
          }
          data = head.subarray(at);
        }
        const body = data.subarray(0, Math.max(0, length - seen));
        const phase = seen % MASKED.length;
        for (let at = 0; at < body.length; ) {
          const from = (phase + at) % MASKED.length;
          const n = Math.min(body.length - at, reference.length - from);
          assert.ok(body.subarray(at, at + n).equals(reference.subarray(from, from + n)), `other bytes near ${seen + at}`);
          at += n;
        }
        seen += body.length;
        if (seen === length) tail = Buffer.concat([tail, data.subarray(body.length)]);
        if (tail.includes(Buffer.from('Z\0\0\0\x05I', 'latin1'))) resolve();
      } catch (error) {
        reject(error as Error);
      }
    });
    wire.socket.once('close', () =>
      reject(new Error(`the connection ended after ${seen} of ${length} bytes: ${head.toString('latin1').slice(0, 300)}`)),
    );
  });
  if (form === 'select') assert.match(tail.toString('latin1'), /then \*{12}1111/);
  await wire.end();
  return growth;
}
