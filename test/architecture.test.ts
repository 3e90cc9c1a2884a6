import assert from 'node:assert/strict';
import { dirname } from 'node:path';
import { test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { checkLayers, importsOf, sourceFiles } from '../scripts/layers.ts';

test('dependencies of src point one way, and only its protocol and the store name PostgreSQL', () => {
  const files = sourceFiles(dirname(dirname(fileURLToPath(import.meta.url))));
  assert.ok(files.length > 20);
  assert.deepEqual(checkLayers(files), []);
});

test('the check finds what it is there for', () => {
  const breach = (path: string, text: string): string => checkLayers([{ path, text }]).join();
  assert.match(breach('src/policy/a.ts', "import { x } from '../session/x.ts';"), /policy may not import session/);
  assert.match(breach('src/io/a.ts', "import type {\n  X,\n} from '../policy/model.ts';"), /io may not import policy/);
  assert.match(breach('src/cli/a.ts', "const x = await import('../../test/support/wire.ts');"), /not part of what runs/);
  assert.match(breach('src/protocols/ssh/a.ts', "export * from '../http/b.ts';"), /one protocol may not import another/);
  assert.match(breach('src/session/a.ts', '// speaks Postgres'), /src\/session\/a.ts:1: names PostgreSQL/);
  assert.match(breach('src/elsewhere/a.ts', ''), /belongs to no layer/);
  assert.equal(breach('src/session/a.ts', "import { y } from '../protocols/registry.ts';\nimport { z } from 'node:fs';"), '');
  assert.equal(breach('src/policy/engine.ts', "import { decidePolicy } from '../../native/binding/index.js';"), '');
});

test('imports are found in every form, and not in comments', () => {
  const text =
    "import a from './a.ts';\nimport './b.ts';\nexport { c } from './c.ts';\n// import d from './d.ts';\n/* import './e.ts' */\nconst f = import('./f.ts');";
  assert.deepEqual(importsOf(text).sort(), ['./a.ts', './b.ts', './c.ts', './f.ts']);
});
