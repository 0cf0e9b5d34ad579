// Replays recordings of the device's registers (`slatbox conform transport`) on whatever stands behind a
// TransportDoor. Reference: test/golden/pvmemcontrol/README.md.
import { hex } from '../address.ts';
import { type Comparison, type ReplayCase, runCase } from './report.ts';
import type { OpenTransportDoor, TransportDoor } from './transport-door.ts';
import { parseTransport, type TransportCase, type TransportStep, toHex } from './transport-trace.ts';

/** Bytes as compared: where the mask has zeros the device has no defined value. */
const masked = (bytes: Uint8Array, mask: Uint8Array): string =>
  toHex(bytes.map((byte, i) => byte & (mask[i] ?? 0xff)));

function doStep(step: TransportStep, door: TransportDoor, c: Comparison): void {
  switch (step.op) {
    case 'mmio_write':
      door.mmioWrite(step.offset, step.value);
      return;
    case 'mmio_read': {
      const buffer = new Uint8Array(step.size).fill(step.fill);
      door.mmioRead(step.offset, buffer);
      c.equal('bytes', masked(step.expect, step.mask), masked(buffer, step.mask));
      return;
    }
    case 'mem_write':
      door.memWrite(step.gpa, step.bytes);
      return;
    case 'mem_fill':
      door.memFill(step.gpa, step.len, step.byte);
      return;
    case 'mem_read':
      c.equal('bytes', toHex(step.expect), toHex(door.memRead(step.gpa, step.len)));
  }
}

/** Text of a step for messages. */
function describeStep(step: TransportStep): string {
  switch (step.op) {
    case 'mmio_write':
      return `${step.op} of ${step.value.length} at offset ${step.offset}: ${toHex(step.value)}`;
    case 'mmio_read':
      return `${step.op} of ${step.size} at offset ${step.offset}`;
    case 'mem_write':
      return `${step.op} of ${step.bytes.length} at ${hex(step.gpa)}`;
    default:
      return `${step.op} of ${step.len} at ${hex(step.gpa)}`;
  }
}

/** Replays one case on a fresh device; the first difference ends it. */
export function replayTransport(recorded: TransportCase, open: OpenTransportDoor) {
  return runCase(recorded.steps.length, async (c) => {
    const door = await open(recorded);
    for (const [i, step] of recorded.steps.entries()) {
      c.begin(i, describeStep(step));
      doStep(step, door, c);
    }
  });
}

/** The cases of a `transport` file, in its order. */
export function transportCases(text: string, file: string, open: OpenTransportDoor): ReplayCase[] {
  return parseTransport(text, file).map((recorded) => ({
    file,
    name: recorded.name,
    tags: recorded.tags,
    properties: { backing: recorded.backing },
    run: () => replayTransport(recorded, open),
  }));
}
