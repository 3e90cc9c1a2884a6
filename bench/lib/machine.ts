import { cpus, loadavg } from 'node:os';
import type { Machine } from './result.ts';

export const load = (): number => Math.round((loadavg()[0] ?? 0) * 100) / 100;

export function machine(loadBefore: number): Machine {
  const all = cpus();
  return {
    cpu: all[0]?.model.trim() ?? 'unknown',
    cores: all.length,
    node: process.versions.node,
    platform: `${process.platform} ${process.arch}`,
    loadBefore,
    loadAfter: load(),
  };
}

/** One line on the machine, and a warning when others were using it: the run itself keeps at most one core busy. */
export function describeMachine(found: Machine): string {
  const line = `${found.cores} x ${found.cpu}, Node ${found.node}, ${found.platform}; load ${found.loadBefore} before, ${found.loadAfter} after`;
  const busy = found.loadBefore > found.cores / 4;
  return busy ? `${line}\nNOTE: the machine was busy before the run began; take the times as upper bounds` : line;
}
