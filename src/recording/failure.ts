/** How the record fails, and how those who wait for it are told. */
import { GatewayError } from '../errors.ts';
import type { RecordWaiter } from './model.ts';

/** The error after which nothing is forwarded any more. */
export function recordError(cause: unknown): GatewayError {
  if (cause instanceof GatewayError) return cause;
  return new GatewayError({
    code: 'record_failed',
    source: 'gateway',
    phase: 'record',
    cause,
    publicMessage: 'the operation could not be recorded, so it was not forwarded',
    hint: 'the gateway stopped forwarding; its log says what happened to the record',
  });
}

/** The error with which a gateway does not start. */
export function openError(dataDir: string, cause: unknown): GatewayError {
  if (cause instanceof GatewayError) return cause;
  return new GatewayError({
    code: 'record_failed',
    source: 'gateway',
    phase: 'record',
    cause,
    publicMessage: `the record under ${dataDir} cannot be opened: ${cause instanceof Error ? cause.message : String(cause)}`,
  });
}

/** A waiter that throws must not keep the others from being called; the error surfaces as uncaught, which is what it is. */
export function notify(waiter: RecordWaiter, error: Error | null): void {
  try {
    waiter.onRecorded(error);
  } catch (thrown) {
    queueMicrotask(() => {
      throw thrown;
    });
  }
}
