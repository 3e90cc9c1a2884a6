export function which(program: string, extra?: readonly string[]): string | null;
export function asRoot(): string[] | null;
export function aptInstall(packages: readonly string[]): boolean;
export function ensureBuildTools(): Record<string, string>;
