import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { dataDirectory, TestClock, testStore } from '../support/control.ts';

const WRITER = fileURLToPath(new URL('store-writer.ts', import.meta.url));

test('what was committed is there after the process was killed in the middle of its work', async () => {
  const dir = dataDirectory();
  try {
    const key = Buffer.alloc(32, 7).toString('base64');
    const args = ['--disable-warning=ExperimentalWarning', WRITER, dir.path, key];
    const writer = spawn(process.execPath, args, { stdio: ['ignore', 'pipe', 'inherit'] });
    let output = '';
    for await (const chunk of writer.stdout) {
      output += String(chunk);
      if (output.split('\n').length > 50) break;
    }
    const exited = once(writer, 'exit');
    writer.kill('SIGKILL');
    await exited;
    const committed = output.slice(0, output.lastIndexOf('\n')).split('\n').map(Number);
    assert.ok(committed.length >= 50);
    assert.deepEqual(
      committed,
      committed.map((_, i) => i),
    );
    const store = await testStore('embedded', dir.path, new TestClock(), key);
    const rows = await store.db.selectFrom('users').select('last_seen').orderBy('last_seen').execute();
    await store.close();
    const found = rows.map((row) => row.last_seen);
    assert.deepEqual(found.slice(0, committed.length), committed);
    assert.deepEqual(
      found,
      found.map((_, i) => i),
      'no holes',
    );
  } finally {
    dir.remove();
  }
});
