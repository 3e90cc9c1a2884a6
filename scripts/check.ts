import { checkLayers, sourceFiles } from './layers.ts';
import { root, runStep, type Step } from './steps.ts';

/** Everything about the code that can be checked without running it. Quick ones first. */
const steps: readonly Step[] = [
  { name: 'format and lint (biome)', run: ['biome', 'check', '.'] },
  { name: 'types (tsc)', run: ['tsc', '--noEmit', '-p', '.'] },
  { name: 'layers and names', run: () => checkLayers(sourceFiles(root)) },
  { name: 'unused files, exports and packages (knip)', run: ['knip', '--no-progress'] },
  { name: 'Rust format (rustfmt)', run: ['cargo', 'fmt', '--all', '--check'] },
  { name: 'Rust lint (clippy)', run: ['cargo', 'clippy', '--release', '--workspace', '--all-targets', '--quiet', '--', '-D', 'warnings'] },
];

let failed = 0;
for (const step of steps) {
  if (!(await runStep(step))) failed++;
}
process.stdout.write(`${steps.length - failed} passed, ${failed} failed\n`);
process.exitCode = failed === 0 ? 0 : 1;
