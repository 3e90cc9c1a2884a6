import assert from 'node:assert/strict';
import type { Cycle, Wire } from '../test/support/wire.ts';
import { encode } from '../test/support/wire-messages.ts';
import { type Person, show, Waiting } from './approval.ts';
import { leaks } from './evidence.ts';
import type { Seeded } from './seed.ts';
import { note, print, sideBySide, sql, table } from './terminal.ts';

/** The scripted session: what each step does, shows and proves. */

export interface Stage {
  /** Straight to the server, as the target account. */
  readonly direct: Wire;
  /** Through the gateway, as a person. */
  readonly reader: Wire;
  /** Through the gateway, with the account that may write. */
  readonly writer: Wire;
  /** Whose session it is, and a member of the group that policy asks. */
  readonly requester: Person;
  readonly approver: Person;
  readonly seeded: Seeded;
  readonly pans: ReadonlySet<string>;
}

export interface Step {
  readonly title: string;
  /** Returns what was proven; throws when the step misbehaved. */
  run(stage: Stage): Promise<string>;
}

export const steps: readonly Step[] = [
  {
    title: 'The same query, direct and through the gateway',
    async run({ direct, reader, seeded }) {
      const text = 'select holder, brand, pan, cvv, expiry from cards order by id limit 4';
      sql(text);
      const before = await succeeded(direct.query(text));
      const after = await succeeded(reader.query(text));
      print();
      sideBySide({ head: 'direct, as app_ro', rows: before.rows }, { head: 'through Sluice, as ada', rows: after.rows });
      assert.equal(after.rows.length, 4, 'the gateway gave another number of rows');
      after.rows.forEach(([holder, brand, pan, cvv], index) => {
        const card = seeded.cards[index];
        assert.ok(card !== undefined);
        assert.deepEqual([holder, brand], [card.holder, card.brand], 'an unprotected column was changed');
        masked(pan, card.pan);
        assert.doesNotMatch(cvv ?? '', /\d/, 'a digit of a CVV came through');
      });
      return 'last four digits kept, CVV masked whole, other columns as they were';
    },
  },
  {
    title: 'One prepared statement, executed twice',
    async run({ reader, seeded }) {
      const text = 'select id, holder, pan from cards where pan = $1';
      sql(text);
      reader.send(encode.parse({ name: 'by_pan', text }), encode.sync());
      await succeeded(reader.cycle());
      const rows: (string | null)[][] = [];
      for (const card of [at(seeded, 11), at(seeded, 12)]) {
        const bind = encode.bind({ statement: 'by_pan', values: [card.pan] });
        reader.send(bind, encode.describe('P', ''), encode.execute(), encode.sync());
        const cycle = await succeeded(reader.cycle());
        const [id, , pan] = cycle.rows[0] ?? [];
        assert.equal(id, String(card.id), 'the value bound did not reach the server as it was');
        masked(pan, card.pan);
        rows.push(...cycle.rows);
      }
      table(rows);
      return 'found by the full number, shown masked';
    },
  },
  {
    title: 'COPY to the client',
    async run({ reader, seeded, pans }) {
      const text = 'copy cards (id, pan, expiry) to stdout';
      sql(text);
      reader.forget();
      const cycle = await succeeded(reader.query(text));
      const rows = cycle.copied
        .trimEnd()
        .split('\n')
        .map((line) => line.split('\t'));
      table(rows.slice(0, 2));
      note(`... ${(rows.length - 2).toLocaleString('en')} more`);
      assert.equal(rows.length, seeded.cards.length, 'rows are missing');
      for (const [index, [, pan]] of rows.entries()) masked(pan, at(seeded, index).pan);
      assert.deepEqual(leaks(reader.forget(), pans), [], 'card numbers in the bytes received');
      return `${rows.length.toLocaleString('en')} rows, no card number in the bytes received`;
    },
  },
  {
    title: 'An error of the server that quotes a card number',
    async run({ direct, writer, seeded, pans }) {
      const text = 'insert into cards select 0, customer_id, brand, pan, expiry, cvv, holder from cards where id = 7';
      sql(text);
      writer.forget();
      const cycle = await writer.query(text);
      const error = cycle.errors[0] ?? {};
      show('ERROR', error);
      assert.equal(error['C'], '23505', 'the server did not refuse the duplicate');
      assert.ok(error['M'] && error['D'], 'the message or the detail is gone');
      assert.deepEqual(leaks(writer.forget(), pans), [], 'the card number is in the error');
      const { rows } = await succeeded(direct.query('select count(*) from cards'));
      assert.equal(rows[0]?.[0], String(seeded.cards.length));
      return 'the error came through with its code, the card number did not';
    },
  },
  {
    title: 'A statement that policy blocks',
    async run({ direct, writer, seeded }) {
      sql('drop table cards');
      const cycle = await writer.query('drop table cards');
      const error = cycle.errors[0] ?? {};
      show('ERROR', error);
      assert.equal(error['C'], '42501', 'not the code for insufficient privilege');
      assert.ok(error['H'], 'no hint says what to do');
      assert.equal(cycle.status, 'I', 'the connection is not ready for the next statement');
      sql('select count(*) from cards');
      const { rows } = await succeeded(writer.query('select count(*) from cards'));
      table(rows);
      assert.equal(rows[0]?.[0], String(seeded.cards.length), 'the connection does not go on as it should');
      const kept = await succeeded(direct.query("select to_regclass('public.cards') is not null"));
      assert.equal(kept.rows[0]?.[0], 't', 'the table is gone');
      return 'denied with 42501; the same connection goes on, the table is there';
    },
  },
  {
    title: 'Statements that somebody else has to approve',
    async run({ direct, writer, requester, approver, seeded }) {
      const update = await Waiting.on(writer, 'update cards set brand = upper(brand)');
      const before = await succeeded(direct.query('select count(*) from cards where brand = upper(brand)'));
      assert.equal(before.rows[0]?.[0], '0', 'it ran before anybody approved it');
      const seen = await update.seenBy(approver);
      note(`${approver.name} is asked: ${seen.requester.name} on ${seen.resource}+${seen.account}: ${seen.statement}`);
      assert.equal(
        await update.decide(requester, 'approve', 'it is mine'),
        'approval_own',
        'who asked could approve it, or was refused for something else',
      );
      assert.equal(await update.decide(approver, 'approve', 'brands in capitals, as agreed'), '');
      const { tags } = await succeeded(update.outcome());
      print(`   ${tags[0]}`);
      assert.deepEqual(tags, [`UPDATE ${seeded.cards.length}`], 'not the rows that were approved');

      const remove = await Waiting.on(writer, 'delete from orders');
      assert.equal(await remove.decide(approver, 'deny', 'archive them first'), '');
      const denied = await remove.outcome();
      const error = denied.errors[0] ?? {};
      show('ERROR', error);
      assert.equal(error['C'], '42501', 'not the code for insufficient privilege');
      assert.match(error['M'] ?? '', new RegExp(`denied by ${approver.name}: archive them first$`), 'the client does not read who and why');
      assert.equal(denied.status, 'I', 'the connection is not ready for the next statement');
      const after = await succeeded(direct.query('select count(*) > 0 from orders'));
      assert.equal(after.rows[0]?.[0], 't', 'the orders are gone');
      return `one waited and ran once ${approver.name} approved it (${requester.name}'s own approval was refused), one was denied`;
    },
  },
];

/** Fails when the value shows more of the number than its last four digits, or has another length. */
function masked(shown: string | null | undefined, pan: string): void {
  assert.ok(typeof shown === 'string', 'a card number came as NULL');
  assert.equal(shown.length, pan.length, 'the mask changed the length');
  assert.equal(shown.slice(-4), pan.slice(-4), 'the last four digits are not those of the card');
  assert.doesNotMatch(shown.slice(0, -4), /\d/, 'more than the last four digits are shown');
}

function at(seeded: Seeded, index: number): Seeded['cards'][number] {
  const card = seeded.cards[index];
  if (card === undefined) throw new Error(`the seed has no card ${index}`);
  return card;
}

async function succeeded(running: Promise<Cycle>): Promise<Cycle> {
  const cycle = await running;
  const error = cycle.errors[0];
  if (error !== undefined) throw new Error(`${error['C']}: ${error['M']}${error['H'] === undefined ? '' : ` (${error['H']})`}`);
  if (cycle.status === '') throw new Error('the connection was closed');
  return cycle;
}
