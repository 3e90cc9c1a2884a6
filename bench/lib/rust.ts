import { spawnSync } from 'node:child_process';
import { globSync, mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { basename, dirname, join } from 'node:path';
import { columns, duration } from './table.ts';

interface Estimates {
  readonly median: { readonly point_estimate: number; readonly confidence_interval: { lower_bound: number; upper_bound: number } };
}

/** Runs the criterion benches of every crate with short settings; the table of their medians. Throws when one fails. */
export function rustBenches(root: string, filter: string): string {
  const home = mkdtempSync(join(tmpdir(), 'sluice-criterion-'));
  try {
    for (const manifest of globSync('native/*/benches', { cwd: root }).map(dirname).sort()) {
      const targets = globSync('benches/*.rs', { cwd: join(root, manifest) }).map((file) => basename(file, '.rs'));
      const named = targets.sort().flatMap((target) => ['--bench', target]);
      const short = ['--warm-up-time', '0.2', '--measurement-time', '0.5', '--sample-size', '20', '--noplot'];
      const args = ['bench', '--locked', '--manifest-path', join(root, manifest, 'Cargo.toml'), ...named, '--', ...short];
      if (filter !== '') args.push(filter);
      const done = spawnSync('cargo', args, { cwd: root, stdio: ['ignore', 2, 2], env: { ...process.env, CRITERION_HOME: home } });
      if (done.error) throw new Error(`cargo bench: ${done.error.message}`);
      if (done.status !== 0) throw new Error(`cargo bench of ${manifest} failed`);
    }
    const rows = globSync('**/new/estimates.json', { cwd: home })
      .sort()
      .map((file) => {
        const { full_id } = JSON.parse(readFileSync(join(home, dirname(file), 'benchmark.json'), 'utf8')) as { full_id: string };
        const { median } = JSON.parse(readFileSync(join(home, file), 'utf8')) as Estimates;
        const { lower_bound, upper_bound } = median.confidence_interval;
        return [full_id, duration(median.point_estimate), `${duration(lower_bound)} - ${duration(upper_bound)}`];
      });
    return columns([['criterion bench', 'median', '95% interval'], ...rows]);
  } finally {
    rmSync(home, { recursive: true, force: true });
  }
}
