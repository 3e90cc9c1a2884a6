import { readdirSync, readFileSync } from 'node:fs';
import { dirname, join, relative } from 'node:path';
import { fileURLToPath } from 'node:url';

/**
 * Dependencies point one way. For each layer: what it may import beside itself and Node. Type imports count as well,
 * because a type that comes from above is knowledge of what is above.
 */
const layers: Readonly<Record<string, readonly string[]>> = {
  errors: [],
  log: [],
  native: [],
  io: ['errors', 'native'],
  policy: ['errors', 'native'],
  config: ['errors', 'policy'],
  store: ['errors', 'native', 'policy', 'config'],
  identity: ['errors', 'policy', 'config', 'store'],
  recording: ['errors', 'native', 'policy', 'config', 'identity'],
  workers: ['errors', 'native', 'io', 'config'],
  access: ['errors', 'policy', 'config', 'identity', 'recording', 'store'],
  protocols: ['errors', 'native', 'io', 'policy', 'config', 'identity', 'recording', 'workers', 'access'],
  admin: ['errors', 'log', 'io', 'policy', 'config', 'identity', 'recording', 'store', 'access'],
  session: [
    'errors',
    'native',
    'log',
    'io',
    'policy',
    'config',
    'identity',
    'recording',
    'workers',
    'store',
    'access',
    'protocols',
    'admin',
  ],
  cli: [
    'errors',
    'log',
    'native',
    'io',
    'policy',
    'config',
    'identity',
    'recording',
    'workers',
    'store',
    'access',
    'protocols',
    'session',
    'admin',
  ],
};

/** Where the database that is both a protocol and our own store may be named. */
const namesPostgres = /^src\/(protocols\/postgres|store)\//;
/** The one line that adds a protocol. */
const registry = 'src/protocols/registry.ts';

export interface SourceFile {
  /** Relative to the root of the project, with slashes. */
  readonly path: string;
  readonly text: string;
}

/** Every breach of the layers, as `file: what and why`. */
export function checkLayers(files: readonly SourceFile[]): string[] {
  return files.flatMap((file) => [...checkImports(file), ...checkNames(file)]);
}

/** The source files of src/, tests left out of the rule on names. */
export function sourceFiles(root: string): SourceFile[] {
  return readdirSync(join(root, 'src'), { recursive: true, withFileTypes: true })
    .filter((entry) => entry.isFile() && entry.name.endsWith('.ts'))
    .map((entry) => join(entry.parentPath, entry.name))
    .map((path) => ({ path: relative(root, path).replaceAll('\\', '/'), text: readFileSync(path, 'utf8') }))
    .sort((a, b) => (a.path < b.path ? -1 : 1));
}

/** What the file imports, as written: static, type-only, re-exported and dynamic. */
export function importsOf(text: string): string[] {
  const code = text.replace(/\/\*[\s\S]*?\*\//g, '').replace(/^\s*\/\/.*$/gm, '');
  const patterns = [
    /^\s*(?:import|export)\b[^'"`;]*?\bfrom\s*['"]([^'"]+)['"]/gm,
    /^\s*import\s*['"]([^'"]+)['"]/gm,
    /\bimport\(\s*['"]([^'"]+)['"]/g,
    /\brequire\(\s*['"]([^'"]+)['"]/g,
  ];
  return patterns.flatMap((pattern) => [...code.matchAll(pattern)].map((match) => match[1] ?? ''));
}

function checkImports(file: SourceFile): string[] {
  const from = layerOf(file.path);
  if (from === null) return [`${file.path}: belongs to no layer; add it to scripts/layers.ts`];
  const test = file.path.endsWith('.test.ts');
  const wrong: string[] = [];
  for (const specifier of importsOf(file.text)) {
    if (!specifier.startsWith('.')) continue;
    const target = join(dirname(file.path), specifier).replaceAll('\\', '/');
    const to = layerOf(target);
    if (to === null) {
      // Tests beside the source may use the test servers and clients.
      if (!(test && target.startsWith('test/support/'))) wrong.push(`${file.path}: imports ${target}, which is not part of what runs`);
      continue;
    }
    if (to !== from && !(layers[from] ?? []).includes(to)) wrong.push(`${file.path}: ${from} may not import ${to} (${target})`);
    else if (
      from === 'protocols' &&
      !test &&
      protocolOf(file.path) !== null &&
      protocolOf(target) !== null &&
      protocolOf(file.path) !== protocolOf(target)
    ) {
      wrong.push(`${file.path}: one protocol may not import another (${target})`);
    }
  }
  return wrong;
}

function checkNames(file: SourceFile): string[] {
  if (namesPostgres.test(file.path) || file.path.endsWith('.test.ts')) return [];
  const lines = file.text.split('\n').flatMap((line, index) => (/postgres|pgsql/i.test(line) ? [index + 1] : []));
  // Two imports and the entry.
  const allowed = file.path === registry ? 3 : 0;
  return lines.slice(allowed).map((line) => `${file.path}:${line}: names PostgreSQL outside src/protocols/postgres and src/store`);
}

function layerOf(path: string): string | null {
  if (path.startsWith('native/binding/')) return 'native';
  const name = /^src\/([^/]+?)(?:\.test)?(?:\.ts)?(?:\/|$)/.exec(path)?.[1];
  return name !== undefined && name in layers ? name : null;
}

function protocolOf(path: string): string | null {
  return /^src\/protocols\/([^/]+)\//.exec(path)?.[1] ?? null;
}

if (process.argv[1] === fileURLToPath(import.meta.url)) {
  const breaches = checkLayers(sourceFiles(dirname(dirname(fileURLToPath(import.meta.url)))));
  for (const breach of breaches) process.stdout.write(`${breach}\n`);
  process.exitCode = breaches.length === 0 ? 0 : 1;
}
