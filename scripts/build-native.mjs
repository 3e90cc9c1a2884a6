// Builds the native addon and puts it where native/binding/index.js loads it from.
import { spawnSync } from 'node:child_process';
import { copyFileSync, renameSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';

const root = dirname(dirname(fileURLToPath(import.meta.url)));
const built = spawnSync('cargo', ['build', '--release', '--locked', '-p', 'sluice-binding'], { cwd: root, stdio: ['ignore', 2, 2] });
if (built.error) process.stderr.write(`cargo: ${built.error.message}\n`);
if (built.status !== 0) process.exit(built.status ?? 1);
const library = process.platform === 'darwin' ? 'libsluice_binding.dylib' : 'libsluice_binding.so';
const target = process.env.CARGO_TARGET_DIR ?? join(root, 'target');
const to = join(root, 'native', 'binding', 'sluice.node');
// Renamed into place: a process that has the old addon mapped keeps its own copy.
copyFileSync(join(target, 'release', library), `${to}.new`);
renameSync(`${to}.new`, to);
