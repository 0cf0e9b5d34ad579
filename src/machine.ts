// The machine, as its users name it.
export type { Checkpoint } from './host/checkpoint.ts';
export { createHost, createSandbox, createVms, Host } from './host/host.ts';
export { threadsMissing } from './threads/spawn.ts';
export type { Region } from './vm.ts';
export { Vm } from './vm.ts';
export { type Migrated, type MigrationOptions, type MigrationRound, migrate } from './vmm/migration.ts';
