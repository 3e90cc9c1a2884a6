import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { readdirSync, readFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { parse } from 'yaml';
import { parseConfig } from '../src/config/load.ts';
import type { Config } from '../src/config/model.ts';
import { protocols } from '../src/protocols/registry.ts';

/** What the documents say of the configuration and of the commands holds for this version. */
const root = dirname(dirname(fileURLToPath(import.meta.url)));
const read = (path: string): string => readFileSync(join(root, path), 'utf8');

/** What a configuration cannot do without, for examples that show a part. */
const required = `
gateway: { name: gw-1 }
listeners: { postgres: 127.0.0.1:6543 }
policies: ./policies
resources: [{ name: payments, kind: postgres, address: 127.0.0.1, accounts: { ro: { user: ro, password: env:RO } } }]
`;

function load(example: string): Config {
  const whole = /^gateway:/m.test(example) ? example : `${example}${required}`;
  const { config, warnings } = parseConfig(whole, '/etc/sluice/sluice.yaml', { protocols });
  assert.deepEqual(warnings, [], example);
  return config;
}

function examples(path: string): string[] {
  return [...read(path).matchAll(/```yaml\n(.*?)```/gs)].map(([, text = '']) => text);
}

test('every configuration in README and docs/config.md loads without a warning', () => {
  for (const [path, count] of [
    ['README.md', 1],
    ['docs/config.md', 4],
  ] as const) {
    const found = examples(path);
    assert.equal(found.length, count, path);
    for (const example of found) load(example);
  }
});

test('the parts of docs/identity.md load', () => {
  const parts = [...read('docs/identity.md').matchAll(/^ {4}identity:\n(?: {4}.*\n)+/gm)].map(([text]) => text.replace(/^ {4}/gm, ''));
  assert.equal(parts.length, 2);
  for (const part of parts) load(part);
});

test('what docs/config.md gives as a default is one', () => {
  const [all = '', store = '', , identity = ''] = examples('docs/config.md');
  const defaults = load('');
  const shown = load(all);
  for (const part of ['recording', 'limits', 'workers'] as const) assert.deepEqual(shown[part], defaults[part], part);
  assert.equal(shown.allowPlaintextLoopback, defaults.allowPlaintextLoopback);
  assert.deepEqual({ ...shown.masking, patterns: [] }, defaults.masking);
  assert.deepEqual(load(store).access, defaults.access);
  assert.equal(load(store).store, defaults.store);
  const least = load(`
identity:
  oidc: [{ name: corp, issuer: https://idp.example, client_id: sluice }]
  saml: [{ name: corp-saml, entry_point: https://idp.example/sso, idp_issuer: https://idp.example/metadata, cert: ./idp.crt }]
`);
  assert.deepEqual(load(identity).identity, least.identity);
});

test('docs/config.md has every setting there is', () => {
  const documented = new Set<string>();
  const collect = (value: unknown): void => {
    if (Array.isArray(value)) for (const item of value) collect(item);
    else if (typeof value === 'object' && value !== null)
      for (const [key, inner] of Object.entries(value)) {
        documented.add(key);
        collect(inner);
      }
  };
  for (const example of examples('docs/config.md')) collect(parse(example));
  // Named in a sentence: it has one value.
  documented.add('archive');
  const known = readdirSync(join(root, 'src', 'config'))
    .filter((file) => /^[a-z-]+\.ts$/.test(file))
    .flatMap((file) => [...read(`src/config/${file}`).matchAll(/\.fields\(\s*\[([^\]]*)\]/g)])
    .flatMap(([, list = '']) => [...list.matchAll(/'([^']+)'/g)].map(([, key = '']) => key));
  assert.ok(known.length > 60, `only ${known.length} settings were found`);
  assert.deepEqual(
    known.filter((key) => !documented.has(key)),
    [],
  );
});

test('the table of commands in the README has every command, and no other', () => {
  const { stdout } = spawnSync(process.execPath, ['--disable-warning=ExperimentalWarning', join(root, 'src/cli/main.ts'), '--help'], {
    encoding: 'utf8',
  });
  const commands = [...stdout.matchAll(/^ {2}(\S+(?: \S+)?) {2,}/gm)].map(([, name = '']) => name);
  assert.ok(commands.includes('gateway') && commands.includes('approvals ls'));
  const table = /\| command \|.*\n\|---.*\n((?:\|.*\n)+)/.exec(read('README.md'))?.[1] ?? '';
  const cells = table.split('\n').map((line) => line.split('|')[1] ?? '');
  const listed = cells.flatMap((cell) => {
    // `sessions ls`, `show` is short for `sessions show`.
    let group = '';
    return [...cell.matchAll(/`([^`]+)`/g)].map(([, name = '']) => {
      const whole = group !== '' && commands.includes(`${group} ${name}`) ? `${group} ${name}` : name;
      [group = ''] = whole.split(' ');
      return whole;
    });
  });
  assert.deepEqual(listed.sort(), commands.sort());
});

test('ARCHITECTURE.md gives the layers in the order in which they are checked', () => {
  const checked = [...read('scripts/layers.ts').matchAll(/^ {2}(\w+): \[/gm)].map(([, name = '']) => name);
  const said = /in the order of `([^`]+)`/.exec(read('ARCHITECTURE.md'))?.[1] ?? '';
  const base = ['errors', 'log', 'native'];
  assert.deepEqual(
    said.split(/,\s+/),
    checked.filter((name) => !base.includes(name)),
  );
});

test('links between the documents lead somewhere', () => {
  const documents = ['.', 'docs', 'docs/adr', 'docs/lifecycle'].flatMap((folder) =>
    readdirSync(join(root, folder))
      .filter((name) => name.endsWith('.md'))
      .map((name) => join(folder, name)),
  );
  const exists = (path: string): boolean => readdirSync(dirname(path)).includes(path.split('/').at(-1) ?? '');
  for (const path of documents) {
    for (const [, target = ''] of read(path).matchAll(/\]\(([^)#\s]+)(?:#[^)]*)?\)/g)) {
      if (/^[a-z]+:/.test(target)) continue;
      assert.ok(exists(join(root, dirname(path), target)), `${path}: ${target}`);
    }
  }
});
