/** Who read the record is in the record (PCI DSS 10.2.1.3). A command has a chain of its own, `<gateway>-cli-<n>`. */
import { userInfo } from 'node:os';
import { openRecorder } from './recorder.ts';

export interface Reading {
  readonly dataDir: string;
  readonly gateway: string;
  readonly version: string;
  /** What was read, e.g. `sessions show`. */
  readonly command: string;
  /** Its arguments, masked. */
  readonly args: readonly string[];
}

/** Writes a `read` line and waits until it is durable. Throws GatewayError when it could not be written. */
export async function recordReading({ dataDir, gateway, version, command, args }: Reading): Promise<void> {
  const recorder = openRecorder({
    dataDir,
    gateway,
    version,
    durability: 'durable',
    segmentBytes: 64 << 20,
    checkpointSeconds: 60,
    processPrefix: 'cli-',
  });
  const { username, uid } = userInfo();
  recorder.append('read', '', JSON.stringify({ command, args, user: username, uid }).slice(1, -1));
  await recorder.close();
}
