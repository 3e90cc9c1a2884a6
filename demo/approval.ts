import assert from 'node:assert/strict';
import type { Approval } from '../src/access/model.ts';
import { type ApiClient, ApiFailure } from '../src/cli/api-client.ts';
import type { Cycle, Wire } from '../test/support/wire.ts';
import { encode } from '../test/support/wire-messages.ts';
import { note, print, sql } from './terminal.ts';

/** A statement that waits until somebody else has looked at it, as its client and as who decides see it. */

/** Somebody at the API of the gateway, over TLS. */
export interface Person {
  readonly name: string;
  readonly api: ApiClient;
}

type Fields = Readonly<Record<string, string>>;

export class Waiting {
  readonly id: string;
  readonly #wire: Wire;

  private constructor(wire: Wire, id: string) {
    this.#wire = wire;
    this.id = id;
  }

  /** Sends the statement and shows the notice that it waits. Throws when it does not. */
  static async on(wire: Wire, text: string): Promise<Waiting> {
    sql(text);
    wire.send(encode.query(text));
    const message = await wire.next();
    if (message.name === 'ErrorResponse') throw new Error(`${message.error['C']}: ${message.error['M']}`);
    assert.equal(message.name, 'NoticeResponse', 'the statement did not wait for approval');
    show('NOTICE', message.error);
    const id = /request (\S+)$/.exec(message.error['M'] ?? '')?.[1];
    assert.ok(id !== undefined, 'the notice names no request');
    return new Waiting(wire, id);
  }

  /** What came of it, for the client. */
  outcome(): Promise<Cycle> {
    return this.#wire.cycle();
  }

  /** As `person` finds it among what waits. */
  async seenBy(person: Person): Promise<Approval> {
    const { approvals } = await person.api.get<{ readonly approvals: readonly Approval[] }>('/api/v1/approvals', { state: 'pending' });
    const found = approvals.find((approval) => approval.id === this.id);
    assert.ok(found !== undefined, `${person.name} does not find the request`);
    return found;
  }

  /** A decision of `person`; resolves with the error code when it was refused, else with ''. */
  async decide(person: Person, decision: 'approve' | 'deny', reason: string): Promise<string> {
    let refused = '';
    try {
      await person.api.post(`/api/v1/approvals/${this.id}/decision`, { decision, reason });
    } catch (error) {
      if (!(error instanceof ApiFailure)) throw error;
      refused = error.code;
    }
    note(`${person.name}, through the API: ${decision}, "${reason}"${refused === '' ? '' : `: refused, ${refused}`}`);
    return refused;
  }
}

/** As psql would show it. */
export function show(severity: 'NOTICE' | 'ERROR', fields: Fields): void {
  print(`   ${severity}:  ${fields['M'] ?? '(none)'}`);
  if (fields['D']) print(`   DETAIL:  ${fields['D']}`);
  if (fields['H']) print(`   HINT:  ${fields['H']}`);
}
