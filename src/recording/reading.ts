/** Who read the record is in the record (PCI DSS 10.2.1.3). A command has a chain of its own, `<gateway>-cli-<n>`. */
import { closeSync, fdatasyncSync, fstatSync, ftruncateSync, openSync, statSync, writeSync } from 'node:fs';
import { hostname, userInfo } from 'node:os';
import { RecordChain } from '../../native/binding/index.js';
import { openSigner } from './checkpoint.ts';
import { systemClock, TimeFormat } from './clock.ts';
import { claimSlot, leavesPath, listSegments, type Slot, segmentPath } from './directory.ts';
import { openError } from './failure.ts';
import { headerState, NO_LINE } from './header.ts';
import { jsonString } from './json.ts';
import type { LineType } from './model.ts';
import { parseLine, readChunks } from './read.ts';
import { FileRecorder } from './recorder.ts';
import { recoverChain, recoveryLines } from './recovery.ts';

export interface Reading {
  readonly dataDir: string;
  readonly gateway: string;
  readonly version: string;
  /** What was read, e.g. `sessions show`. */
  readonly command: string;
  /** Its arguments, masked. */
  readonly args: readonly string[];
}

/** Each command verifies the segment it goes on with, so it is kept short. */
const SEGMENT_BYTES = 1 << 20;

/** Writes a `read` line and waits until it is durable. Throws GatewayError when it could not be written. */
export async function recordReading(reading: Reading): Promise<void> {
  const { dataDir, gateway, version, command, args } = reading;
  const { username, uid } = userInfo();
  const members = JSON.stringify({ command, args, user: username, uid }).slice(1, -1);
  let slot: Slot | null = null;
  try {
    slot = claimSlot(dataDir, gateway, 'cli-');
    if (goOn(slot, reading, members)) {
      slot.lock.release();
      return;
    }
    const recorder = new FileRecorder(
      { dataDir, gateway, version, durability: 'durable', segmentBytes: SEGMENT_BYTES, checkpointSeconds: 60 },
      slot,
    );
    recorder.append('read', '', members);
    await recorder.close();
  } catch (error) {
    slot?.lock.release();
    throw openError(dataDir, error);
  }
}

/**
 * Adds the line to the last segment, with a checkpoint after it: a segment for each command would be mostly headers. Returns
 * false when there is none to go on with: no segment, a full one, or one whose header speaks of another software or host.
 */
function goOn(slot: Slot, { dataDir, gateway, version }: Reading, members: string): boolean {
  const newest = listSegments(slot.directory).at(-1);
  if (newest === undefined || statSync(newest).size >= SEGMENT_BYTES || !isOurs(newest, version)) return false;
  const end = recoverChain(slot.directory);
  if (end.segment === 0) return false;
  const chain = new RecordChain(end.state);
  const path = segmentPath(slot.directory, end.segment);
  // Recovery has synced all that is there, which is what the mark on the first line says.
  let mark = '"s":1,';
  const time = new TimeFormat();
  const clock = systemClock();
  const line = (type: LineType, seq: number, rest: string): string => {
    const text = `{"v":1,"prev":"${NO_LINE}","seq":${seq},${mark}"t":"${time.format(clock.micros())}","type":"${type}","sid":"",${rest}}\n`;
    mark = '';
    return text;
  };
  const first = chain.size();
  const recovered = recoveryLines(end);
  const texts = [...recovered.map((rest, i) => line('recorder', first + i, rest)), line('read', first + recovered.length, members)];
  const lines = Buffer.from(texts.join(''));
  chain.seal(lines, 0, lines.length, texts.length);
  const note = openSigner(dataDir, `${gateway}-${slot.process}/record`).sign(chain.size(), chain.root());
  const last = Buffer.from(line('checkpoint', chain.size(), `"size":${chain.size()},"seal":true,"note":${jsonString(note)}`));
  chain.seal(last, 0, last.length, 1);
  append(path, Buffer.concat([lines, last]));
  append(leavesPath(path), chain.takeLeaves());
  return true;
}

function isOurs(segment: string, version: string): boolean {
  for (const { buf, len } of readChunks(segment)) {
    const header = parseLine(buf, 0, Math.max(0, buf.subarray(0, len).indexOf(10)));
    return header !== null && headerState(header) !== null && header['software'] === `sluice ${version}` && header['host'] === hostname();
  }
  return false;
}

/** All of it, synced, or nothing. */
function append(path: string, bytes: Uint8Array): void {
  const fd = openSync(path, 'a');
  const { size } = fstatSync(fd);
  try {
    for (let off = 0; off < bytes.length; ) {
      const written = writeSync(fd, bytes, off);
      if (written <= 0) throw new Error('the file takes no more bytes');
      off += written;
    }
    fdatasyncSync(fd);
  } catch (error) {
    ftruncateSync(fd, size);
    throw error;
  } finally {
    closeSync(fd);
  }
}
