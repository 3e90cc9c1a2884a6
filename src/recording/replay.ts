/** A session as it went: what was asked, what came back, in the order of the record. */
import { readLines } from './read.ts';
import type { OperationView, SessionSummary } from './sessions.ts';
import { showSession } from './sessions.ts';

/**
 * Turns bytes of a session into text for people. `protocol` is the one of its start line, `stream` says which way or channel
 * (`''` is the reply). The bytes of one operation come together, in pieces only when they are many.
 */
export type OutputRenderer = (protocol: string, bytes: Buffer, stream: string) => string;

export type ReplayStep =
  | { readonly kind: 'operation'; readonly operation: OperationView }
  | { readonly kind: 'output'; readonly intent: number; readonly stream: string; readonly text: string };

export interface Replay {
  readonly session: SessionSummary;
  readonly steps: Iterable<ReplayStep>;
}

/** Output held back to be rendered in one piece. */
const PIECE = 16 << 20;

/** Replays one session, or returns null when the record does not hold it. */
export function replaySession(path: string, sid: string, render: OutputRenderer): Replay | null {
  const detail = showSession(path, sid);
  if (detail === null) return null;
  return {
    session: detail.session,
    steps: steps(detail.session, new Map(detail.operations.map((operation) => [operation.seq, operation])), render),
  };
}

interface Held {
  intent: number;
  stream: string;
  chunks: Buffer[];
  bytes: number;
}

function* steps(
  session: SessionSummary,
  operations: ReadonlyMap<number, OperationView>,
  render: OutputRenderer,
): Generator<ReplayStep, void, void> {
  let held: Held | null = null;
  const rendered = ({ intent, stream, chunks }: Held): ReplayStep => ({
    kind: 'output',
    intent,
    stream,
    text: render(session.protocol, Buffer.concat(chunks), stream),
  });
  for (const { line } of readLines(session.chain, { sid: session.sid, types: ['intent', 'deny', 'output', 'result'] })) {
    // A short reply stands in the result line of its operation.
    if (line.type === 'result' && line['data'] === undefined) continue;
    if ((line.type === 'output' || line.type === 'result') && typeof line['data'] === 'string') {
      const intent = Number(line['intent']);
      const stream = typeof line['stream'] === 'string' ? line['stream'] : '';
      if (held !== null && (held.intent !== intent || held.stream !== stream || held.bytes > PIECE)) {
        yield rendered(held);
        held = null;
      }
      const chunk = Buffer.from(line['data'], 'base64');
      held ??= { intent, stream, chunks: [], bytes: 0 };
      held.chunks.push(chunk);
      held.bytes += chunk.length;
      continue;
    }
    const operation = operations.get(line.seq);
    if (operation === undefined) continue;
    if (held !== null) {
      yield rendered(held);
      held = null;
    }
    yield { kind: 'operation', operation };
  }
  if (held !== null) yield rendered(held);
}
