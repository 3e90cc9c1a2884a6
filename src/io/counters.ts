/** What the hand-off costs, counted where it happens so that a bench and a test can hold it to the design. */
export interface IoCounters {
  /** Reads delivered to a handler. */
  reads: number;
  /** Bytes read from sockets. */
  bytesRead: number;
  /** Bytes copied because a socket cannot read into a slab (TLS). */
  bytesCopied: number;
  /** Bytes of a message's head moved into a fresh slab because its tail had no room. */
  bytesCarried: number;
  /** Calls to socket.write. */
  writes: number;
  bytesWritten: number;
  /** Plain connections that could not be taken over by their descriptor, so that their bytes are copied. */
  fallbacks: number;
  /** Connections that ended before a byte came: health checks, port scans. */
  silent: number;
  /** Connections refused because too many had not logged in. */
  crowdedOut: number;
}

export function newCounters(): IoCounters {
  return { reads: 0, bytesRead: 0, bytesCopied: 0, bytesCarried: 0, writes: 0, bytesWritten: 0, fallbacks: 0, silent: 0, crowdedOut: 0 };
}
