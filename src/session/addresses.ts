import { createServer } from 'node:net';

import type { ListenAddress } from '../config/model.ts';
import { GatewayError } from '../errors.ts';

/**
 * Throws GatewayError `listen_failed` when one of the addresses cannot be listened on. Asked before the record is opened: a
 * gateway that is started twice by mistake would otherwise begin a chain of its own, and leave it behind.
 */
export async function requireFree(addresses: readonly ListenAddress[]): Promise<void> {
  for (const { host, port } of addresses) {
    const server = createServer();
    await new Promise<void>((resolve, reject) => {
      server.once('error', (cause) => {
        reject(
          new GatewayError({
            code: 'listen_failed',
            source: 'gateway',
            phase: 'listen',
            cause,
            publicMessage: `cannot listen on ${host}:${port}: ${cause.message}`,
          }),
        );
      });
      server.listen(port, host, () => server.close(() => resolve()));
    });
  }
}
