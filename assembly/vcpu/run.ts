// Run records: one per vCPU, found by VM and CPU number.
import { RUN_CPU, RUN_SIZE, RUN_VM } from '../abi/status';
import { RUN_BASE, VCPU_MAX, VM_ID } from '../base/layout';

export function runOf(vm: usize, cpu: u32): usize {
  return RUN_BASE + <usize>(load<u32>(vm, VM_ID) * VCPU_MAX + cpu) * RUN_SIZE;
}

export function vcpuInit(vm: usize, cpu: u32): void {
  const run = runOf(vm, cpu);
  memory.fill(run, 0, RUN_SIZE);
  store<u32>(run, <u32>vm, RUN_VM);
  store<u32>(run, cpu, RUN_CPU);
}
