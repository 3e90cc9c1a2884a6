import { runStep } from './steps.ts';

/** Writes every file in the project's format, and mends what lint can mend safely. */
const results = [
  await runStep({ name: 'biome', run: ['biome', 'check', '--write', '.'] }),
  await runStep({ name: 'rustfmt', run: ['cargo', 'fmt', '--all'] }),
];
process.exitCode = results.every(Boolean) ? 0 : 1;
