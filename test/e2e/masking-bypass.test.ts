import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { after, before, test } from 'node:test';
import { recordedBytes, type Stage, startStage } from '../support/stage.ts';
import type { Cycle, Wire } from '../support/wire.ts';

/**
 * Ways to get at a card number that somebody tried, one per line of the table: each must come masked or be denied. What is
 * not closed is marked `open-gap`, and THREAT_MODEL.md has to name it.
 */
interface Bypass {
  readonly query: string;
  readonly outcome: 'masked' | 'denied' | 'open-gap';
  /** For an open gap: the words by which THREAT_MODEL.md names it. */
  readonly named: string;
}

const table = new URL('./data/pg_bypass.tsv', import.meta.url);
const rows = readFileSync(table, 'utf8')
  .trim()
  .split('\n')
  .slice(1)
  .map((line): Bypass => {
    const [query = '', outcome = '', named = ''] = line.split('\t');
    assert.ok(outcome === 'masked' || outcome === 'denied' || outcome === 'open-gap', line);
    return { query, outcome, named };
  });

/** The two numbers that the table holds by themselves; the other rows carry them with a suffix. */
const PANS = ['4111111111111111', '5555555555554444', '378282246310005'];

const setup = `
create table t (id int, pan text unique, name text, amt int check (amt >= 0));
insert into t select i, (array['4111111111111111', '5555555555554444', '378282246310005'])[1 + i % 3] || case when i < 3 then '' else '-' || i end, 'n' || i, 1 from generate_series(0, 299) i;
create view v as select pan from t;
create function f() returns setof t language sql stable as 'select * from t';
create table parts (id int, pan text) partition by range (id);
create table part1 partition of parts for values from (0) to (100);
insert into parts values (0, '4111111111111111');
grant select, insert on t, v, parts, part1 to app_ro, app_rw;
analyze t;`;

let stage: Stage;
before(async () => {
  stage = await startStage({ setup });
});
after(() => stage.stop());

/** Every form of a number in which one of the queries of the table would bring it out. */
function forms(pan: string): string[] {
  const digits = [...pan];
  const reversed = digits.toReversed().join('');
  const bits = BigInt(pan).toString(2);
  return [
    pan,
    reversed,
    Buffer.from(pan).toString('base64'),
    Buffer.from(pan).toString('hex'),
    bits,
    digits.map((digit) => 'abcdefghij'[Number(digit)]).join(''),
    pan.slice(0, 8),
    (pan.match(/.{1,4}/g) ?? []).join('x'),
    `x${pan}`,
  ];
}

function shown(cycle: Cycle): string {
  const raw = Buffer.concat(cycle.messages.map((message) => message.raw)).toString('latin1');
  return [raw, cycle.rows.map((row) => row.join('|')).join('\n'), cycle.rows.map((row) => row.join('')).join('')].join('\n');
}

const digests = ['5910f4ea0062a0e29afd3dccc741e3ce'];

function assertHidden(text: string, query: string): void {
  for (const pan of PANS) for (const form of forms(pan)) assert.ok(!text.includes(form), `${query}: shows ${form}`);
  for (const digest of digests) assert.ok(!text.includes(digest), `${query}: shows a digest of the number`);
}

const protocols: readonly [string, (wire: Wire, text: string) => Promise<Cycle>][] = [
  ['simple', (wire, text) => wire.query(text)],
  ['extended', (wire, text) => wire.extended(text)],
];

for (const [name, send] of protocols) {
  for (const { query, outcome, named } of rows) {
    test(`${name}: ${query} is ${outcome}`, async () => {
      // Who may not write sees no error of the server's about what was written.
      const wire = await stage.connect(query.startsWith('insert') ? stage.developer : stage.analyst);
      try {
        const cycle = await send(wire, query);
        if (name === 'extended' && query.includes('; ')) {
          assert.equal(cycle.errors[0]?.['C'], '42601', 'several statements in one Parse are an error of the server');
          return;
        }
        assert.notEqual(cycle.status, '', 'the connection ended');
        if (outcome === 'open-gap') {
          assert.ok(
            named !== '' && readFileSync(new URL('../../THREAT_MODEL.md', import.meta.url), 'utf8').includes(named),
            `THREAT_MODEL.md does not say: ${named}`,
          );
          return;
        }
        assertHidden(shown(cycle), query);
        if (outcome === 'denied')
          assert.ok(['42501', '0A000', '42601'].includes(cycle.errors[0]?.['C'] ?? ''), JSON.stringify(cycle.errors));
        else assert.doesNotMatch(cycle.errors[0]?.['M'] ?? '', /^denied/);
        assert.equal((await wire.query('select 1')).rows[0]?.[0], '1', 'the connection goes on');
      } finally {
        await wire.end();
      }
    });
  }
}

test('nothing of it is in the record or the log', () => {
  const open = new Set(rows.filter((row) => row.outcome === 'open-gap').map((row) => row.query));
  assert.ok(open.size < rows.length / 4, 'more gaps than a masking gateway may have');
  const text = recordedBytes(stage.gateway.recordDir) + stage.gateway.log();
  for (const pan of PANS)
    for (const form of [pan, [...pan].toReversed().join(''), Buffer.from(pan).toString('base64'), Buffer.from(pan).toString('hex')])
      assert.ok(!text.includes(form), `the record holds ${form}`);
  assert.equal(stage.gateway.sluice('verify', stage.gateway.recordDir).status, 0);
});
