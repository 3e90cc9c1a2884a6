import { writeFileSync } from 'node:fs';
import { type RunSuite, Suite } from './suite.ts';

/**
 * Runs one file of bench/micro in a process of its own, so that what one leaves in the heap and in the optimizer does not
 * reach another.  node run-suite.ts NAME TIME FILTER OUTPUT
 */
const [name = '', time = '', filter = '', output = ''] = process.argv.slice(2);
const { default: run } = (await import(`../micro/${name}.ts`)) as { default: RunSuite };
const suite = new Suite(name, { time: Number(time), filter });
await run(suite);
writeFileSync(output, JSON.stringify(suite.output()));
