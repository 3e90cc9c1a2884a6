import { monitorEventLoopDelay } from 'node:perf_hooks';
import type { Metric } from '../admin/services.ts';
import type { ProtocolListener, ProtocolServices } from '../protocols/protocol.ts';

/** How long the event loop is held, since somebody first asked: measuring it has its price. */
const delay = monitorEventLoopDelay({ resolution: 10 });

/** What the data path has done, for Prometheus. */
export function dataPathMetrics(services: ProtocolServices, listeners: ReadonlyMap<string, ProtocolListener>): readonly Metric[] {
  delay.enable();
  const { counters, masker } = services;
  const inlineAndPool = (name: string, help: string, inline: number, pool: number): Metric => ({
    name,
    type: 'counter',
    help,
    samples: [
      { labels: { dispatch: 'inline' }, value: inline },
      { labels: { dispatch: 'pool' }, value: pool },
    ],
  });
  return [
    {
      name: 'sluice_listener_sessions',
      type: 'gauge',
      help: 'Open sessions by protocol.',
      samples: [...listeners].map(([protocol, { sessions }]) => ({ labels: { protocol }, value: sessions })),
    },
    total('sluice_io_read_bytes_total', 'Bytes read from clients and targets.', counters.bytesRead),
    total('sluice_io_written_bytes_total', 'Bytes written to clients and targets.', counters.bytesWritten),
    total('sluice_io_copied_bytes_total', 'Bytes copied because a socket cannot read into shared memory (TLS).', counters.bytesCopied),
    total('sluice_io_reads_total', 'Reads from sockets.', counters.reads),
    total('sluice_io_writes_total', 'Writes to sockets.', counters.writes),
    total(
      'sluice_io_fallbacks_total',
      'Plain connections that could not be read by their descriptor, so that their bytes are copied; should be 0.',
      counters.fallbacks,
    ),
    total('sluice_refused_connections_total', 'Connections refused because too many had not logged in.', counters.crowdedOut),
    total('sluice_silent_connections_total', 'Connections that ended before a byte came, as health checks do.', counters.silent),
    inlineAndPool('sluice_mask_calls_total', 'Calls of the scanner.', masker.counters.inlineCalls, masker.counters.pooledCalls),
    inlineAndPool('sluice_mask_bytes_total', 'Bytes scanned.', masker.counters.inlineBytes, masker.counters.pooledBytes),
    gauge('sluice_event_loop_delay_seconds', 'Delay of the event loop, 99th percentile since the start.', delay.percentile(99) / 1e9),
    gauge('sluice_resident_memory_bytes', 'Resident memory of the process.', process.memoryUsage.rss()),
  ];
}

const total = (name: string, help: string, value: number): Metric => ({ name, type: 'counter', help, samples: [{ labels: {}, value }] });
const gauge = (name: string, help: string, value: number): Metric => ({ name, type: 'gauge', help, samples: [{ labels: {}, value }] });
