import { GatewayError } from '../errors.ts';

/** SQLSTATE classes of a server that cannot serve: connection, resources, operator intervention, statement time-out among it. */
const UNAVAILABLE = /^(?:08|53|57)/;
/** What Node says of a connection that cannot be made or broke. */
const NETWORK = /^(?:ECONN|EPIPE|ETIMEDOUT|EHOST|ENET|ENOTFOUND|EAI_|ENOENT)/;
/** What the driver says without a code. */
const DRIVER = /connection terminated|timeout exceeded|query read timeout|client has encountered a connection error|not queryable/i;
/** serialization_failure, deadlock_detected */
const AGAIN = new Set(['40001', '40P01']);

export function storeUnavailable(publicMessage: string, cause?: unknown): GatewayError {
  return new GatewayError({
    code: 'store_unavailable',
    source: 'gateway',
    phase: 'decide',
    retryable: true,
    publicMessage,
    hint: 'try again in a moment; if it stays so, tell whoever runs the gateway',
    ...(cause === undefined ? {} : { cause }),
  });
}

/** An error of the store's own set-up, which only whoever runs the gateway can mend. */
export function storeInvalid(code: string, publicMessage: string, hint: string, cause?: unknown): GatewayError {
  return new GatewayError({
    code,
    source: 'gateway',
    phase: 'config',
    publicMessage,
    hint,
    ...(cause === undefined ? {} : { cause }),
  });
}

/** Whether the database could not be reached or could not serve, as opposed to a statement that it refused. */
export function isUnavailable(error: unknown): boolean {
  if (!(error instanceof Error)) return false;
  const { code } = error as { code?: unknown };
  if (typeof code === 'string' && (UNAVAILABLE.test(code) || NETWORK.test(code))) return true;
  // Several addresses of one name: each failed in its own way.
  if (error instanceof AggregateError) return error.errors.some(isUnavailable);
  return DRIVER.test(error.message);
}

/** Whether the same transaction may succeed when tried again. */
export function isTransient(error: unknown): boolean {
  return error instanceof Error && AGAIN.has(String((error as { code?: unknown }).code));
}
