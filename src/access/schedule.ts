/** Calls `run` once after `ms`; the returned function forgets it. A test's own clock takes its place. */
export type Schedule = (ms: number, run: () => void) => () => void;

/** Longest delay that a timer of Node keeps to. */
const MAX_MS = 2 ** 31 - 1;

/** Timers that do not keep the process. What is further away than they reach runs early, and has to look at the time itself. */
export const systemSchedule: Schedule = (ms, run) => {
  const timer = setTimeout(run, Math.min(Math.max(ms, 0), MAX_MS));
  timer.unref();
  return () => clearTimeout(timer);
};
