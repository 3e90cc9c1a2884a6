import assert from 'node:assert/strict';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { RecordChain } from '../../native/binding/index.js';
import type { Durability } from '../../src/recording/model.ts';
import { type FileRecorder, openRecorder } from '../../src/recording/recorder.ts';
import { verifyRecord } from '../../src/recording/verify.ts';
import type { Suite } from '../lib/suite.ts';

const LINES = 256;
/** As an intent line has them. */
const MEMBERS =
  '"kind":"query","op":7,"text":"select id, customer, reference from payments where id = 12345","action":"select","objects":["select payments"],"policies":["access.read"]';

/** What a line costs: sealing alone, through the recorder, and until it is safe. */
export default async function record(suite: Suite): Promise<void> {
  for (const length of [230, 430]) seal(suite, length);
  for (const durability of ['buffered', 'durable'] as const) await recorder(suite, durability);
}

function seal(suite: Suite, length: number): void {
  const prefix = `{"v":1,"prev":"${'0'.repeat(64)}","x":"`;
  const line = `${prefix}${'x'.repeat(length - prefix.length - 3)}"}\n`;
  assert.equal(line.length, length);
  const batch = Buffer.from(line.repeat(LINES));
  new RecordChain('').seal(batch, 0, batch.length, LINES);
  // Sealed lines are a chain that another reader can follow.
  assert.equal(new RecordChain('').follow(batch, 0, batch.length), LINES);
  const chain = new RecordChain('');
  suite.sync(`seal ${length} B lines`, () => chain.seal(batch, 0, batch.length, LINES), {
    batch: LINES,
    bytes: length,
    // Leaf hashes not taken would pile up.
    before: () => void chain.takeLeaves(),
  });
}

async function recorder(suite: Suite, durability: Durability): Promise<void> {
  const dataDir = mkdtempSync(join(tmpdir(), 'sluice-bench-record-'));
  try {
    const open = openRecorder({ dataDir, gateway: 'bench', durability, segmentBytes: 2 ** 30, checkpointSeconds: 3600, version: 'bench' });
    const lines = async (count: number): Promise<void> => {
      for (let i = 0; i < count; i++) open.append('intent', 'bench', MEMBERS);
      await recorded(open);
    };
    await lines(1);
    await suite.async(`${LINES} lines appended, sealed and written, ${durability}`, () => lines(LINES), { batch: LINES });
    await suite.async(`one line until it may be forwarded, ${durability}`, () => lines(1));
    await open.close();
    const report = verifyRecord(join(dataDir, 'record'));
    assert.ok(report.ok, 'the record that was timed verifies');
  } finally {
    rmSync(dataDir, { recursive: true, force: true });
  }
}

function recorded(open: FileRecorder): Promise<void> {
  return new Promise((resolve, reject) => {
    open.whenRecorded({ onRecorded: (error) => (error === null ? resolve() : reject(error)) });
  });
}
