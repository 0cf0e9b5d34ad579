// Run records: one per vCPU, found by VM and CPU number (base/thread.ts, runOf).
import { RUN_CPU, RUN_SIZE, RUN_VM } from '../abi/status';
import { runOf } from '../base/thread';

export function vcpuInit(vm: usize, cpu: u32): void {
  const run = runOf(vm, cpu);
  memory.fill(run, 0, RUN_SIZE);
  store<u32>(run, <u32>vm, RUN_VM);
  store<u32>(run, cpu, RUN_CPU);
}
