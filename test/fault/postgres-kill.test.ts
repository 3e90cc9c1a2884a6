import assert from 'node:assert/strict';
import { rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { after, before, test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { type RecordLine, type Stage, startStage } from '../support/stage.ts';
import type { Wire } from '../support/wire.ts';
import { encode } from '../support/wire-messages.ts';

/**
 * The gateway is killed between the record and the target. Whatever the server executed, by its own log, must have its
 * intent in the record, whichever the place.
 */
let stage: Stage;
before(async () => {
  stage = await startStage({
    postgres: { conf: { log_statement: 'all', log_parameter_max_length: -1 } },
    setup: 'create table tokens (token text); grant select, insert on tokens to app_rw',
    gateway: { program: fileURLToPath(new URL('../support/failpoint-gateway.ts', import.meta.url)) },
  });
});
after(() => stage.stop());

let sessions = 0;

/** Sends statements with a token each, in every form, until the connection ends. */
async function work(wire: Wire): Promise<void> {
  const me = ++sessions;
  try {
    wire.send(encode.parse({ name: 'put', text: 'insert into tokens values ($1)' }), encode.sync());
    await wire.cycle();
    for (let i = 0; ; i++) {
      const token = (form: string): string => `token-${me}-${i}-${form}.`;
      wire.send(encode.query(`insert into tokens values ('${token('simple')}')`));
      wire.send(encode.bind({ statement: 'put', values: [token('bound')] }), encode.execute(), encode.sync());
      wire.send(
        encode.parse({ text: `insert into tokens values ('${token('parsed')}')` }),
        encode.bind(),
        encode.execute(),
        encode.bind({ statement: 'put', values: [token('piped')] }),
        encode.execute(),
        encode.sync(),
      );
      for (let replies = 0; replies < 3; replies++) if ((await wire.cycle()).status === '') return;
    }
  } finally {
    wire.destroy();
  }
}

const tokensIn = (text: string): Set<string> => new Set(text.match(/token-\d+-\d+-[a-z]+\./g) ?? []);

/** Tokens of statements for which the record has an intent to execute. */
function intended(lines: readonly RecordLine[]): Set<string> {
  return tokensIn(
    lines
      .filter((line) => line.type === 'intent')
      .map((line) => JSON.stringify(line))
      .join('\n'),
  );
}

for (const failpoint of [
  'record.written-not-synced',
  'record.synced-not-released',
  'postgres.synced-not-forwarded',
  'postgres.forwarded',
] as const) {
  // The first forwards of each client carry no token yet.
  for (const hits of failpoint.startsWith('postgres') ? [6, 20, 80] : [1, 20, 60]) {
    test(`kill -9 at ${failpoint}, time ${hits}: nothing was executed without its intent, and the record recovers`, async () => {
      const { gateway, server } = stage;
      const wires = await Promise.all(Array.from({ length: 4 }, () => stage.connect(stage.developer)));
      const first = sessions + 1;
      writeFileSync(join(gateway.dir, 'armed'), `${failpoint} ${hits}`);
      await Promise.all(wires.map(work));
      await gateway.kill('SIGKILL');
      rmSync(join(gateway.dir, 'armed'));
      // The server may still be at what had arrived.
      for (;;) {
        const [left] = await server.sql("select from pg_stat_activity where usename in ('app_rw', 'app_ro')");
        if (left?.rowCount === 0) break;
      }
      const executed = tokensIn(server.log());
      await gateway.start();
      const verified = gateway.sluice('verify', gateway.recordDir);
      assert.equal(verified.status, 0, verified.stdout + verified.stderr);

      const lines = stage.record();
      const intents = intended(lines);
      assert.deepEqual(
        [...executed].filter((token) => !intents.has(token)),
        [],
        'executed without an intent',
      );
      const inTable = (await server.sql('select token from tokens', 'payments'))[0]?.rows.map((row) => String(row.token)) ?? [];
      assert.ok(
        inTable.every((token) => executed.has(token)),
        'the log of the server is complete',
      );

      const mine = (token: string): boolean => Number(token.split('-')[1]) >= first;
      const recover = lines.findLast((line) => line['event'] === 'recover');
      assert.ok(recover !== undefined, 'recovery says that it happened');
      assert.ok(Array.isArray(recover['sessions']) && recover['sessions'].length >= 4, 'the sessions that broke off are named');
      const unknown = new Set(recover['intents'] as number[]);
      const open = intended(lines.filter((line) => unknown.has(line.seq)));
      if (failpoint === 'postgres.synced-not-forwarded') {
        assert.ok(
          [...open].some((token) => mine(token) && !executed.has(token)),
          'an intent was on disk and its statement not sent',
        );
      }
      if (failpoint === 'postgres.forwarded') {
        assert.ok(
          [...open].some((token) => mine(token) && executed.has(token)),
          'a statement was executed whose outcome is unknown',
        );
      }
      assert.ok(hits === 1 || [...executed].some(mine), 'there was work');
      const wire = await stage.connect(stage.developer);
      assert.deepEqual((await wire.query('select 1')).rows, [['1']]);
      await wire.end();
    });
  }
}
