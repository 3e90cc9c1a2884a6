import { createRequire } from 'node:module';

/**
 * Counts every call into the native addon. Import it before anything that imports the binding: the binding takes the addon's
 * functions when it is loaded, and takes these counting ones then.
 */
const counts = new Map<string, number>();
const addon = createRequire(import.meta.url)('../../native/binding/sluice.node') as Record<string, unknown>;

type Callable = (this: unknown, ...args: unknown[]) => unknown;

for (const [name, value] of Object.entries(addon)) {
  if (typeof value !== 'function') continue;
  const prototype = (value.prototype ?? {}) as object;
  const methods = Object.getOwnPropertyNames(prototype).filter((method) => method !== 'constructor');
  if (methods.length === 0) {
    addon[name] = counting(name, value as Callable);
    continue;
  }
  // A class: its constructor and its methods.
  for (const method of methods) {
    const descriptor = Object.getOwnPropertyDescriptor(prototype, method);
    if (descriptor === undefined) continue;
    const label = `${name}.${method}`;
    if (typeof descriptor.value === 'function') descriptor.value = counting(label, descriptor.value as Callable);
    if (descriptor.get !== undefined) descriptor.get = counting(label, descriptor.get);
    Object.defineProperty(prototype, method, descriptor);
  }
  addon[name] = new Proxy(value, {
    construct(target, args, newTarget) {
      add(`new ${name}`);
      return Reflect.construct(target, args, newTarget) as object;
    },
  });
}

function counting(label: string, fn: Callable): Callable {
  return function counted(this: unknown, ...args) {
    add(label);
    return fn.apply(this, args);
  };
}

function add(label: string): void {
  counts.set(label, (counts.get(label) ?? 0) + 1);
}

/** Calls by name since the last `resetCrossings`. */
export const crossings = (): ReadonlyMap<string, number> => new Map(counts);
export const resetCrossings = (): void => counts.clear();
