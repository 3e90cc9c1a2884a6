#!/usr/bin/env node
// `sluice` from a checkout: link it into a directory of the PATH. Installs and builds what is missing, then runs the command.
import { realpathSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';

// Through a link, the checkout is where the link leads to.
const root = dirname(dirname(realpathSync(fileURLToPath(import.meta.url))));
process.argv.splice(2, 0, 'src/cli/main.ts');
await import(join(root, 'scripts', 'run.mjs'));
