// A request whose own buffer another vCPU drops, protects, swaps out or writes meanwhile, and a request about the page
// that its own buffer is in. Here a request is five steps, not one (Call.steps): nothing may come out but what these
// steps in some order give.
import { afterAll, describe, expect, it } from 'vitest';
import { Cpu } from './explore/calls.ts';
import { exploreMachine } from './explore/machine.ts';
import type { Operation, Place } from './explore/operations.ts';
import { farPage, OPERATIONS, PAGE } from './explore/operations.ts';
import { Trial } from './explore/trial.ts';

const INTERRUPTIONS = Number(process.env.EXPLORE_INTERRUPTIONS ?? 1);
const P = 640n * PAGE;

describe('explore › buffers', () => {
  const machine = exploreMachine({ cpus: 2 });
  const [a, b] = [new Cpu(machine, 0), new Cpu(machine, 1)];
  const buffer: Place = { gpa: machine.bufferOf(0), len: PAGE, word: machine.bufferOf(0) };
  const elsewhere: Place = { gpa: P, len: PAGE, word: P };
  const meddlers = OPERATIONS.filter(({ on, reclaims }) => on === 'pages' && !reclaims);
  const requests = OPERATIONS.filter(({ isRequest }) => isRequest);
  let schedules = 0;

  const explore = (request: Operation, place: Place, meddler: Operation): void => {
    const trial = new Trial({
      name: `${request.name} of ${place === buffer ? 'its own buffer' : 'a page'} ‖ ${meddler.name} of the buffer`,
      machine,
      setUp: (vm) => vm.guest.store(P, 8, 7),
      programs: [
        request.program(a, place).map((call) => ({ ...call, steps: 'request' })),
        meddler.program(b, buffer),
      ],
      pages: [8n, 640n, farPage(0) / PAGE, farPage(1) / PAGE],
    });
    schedules += trial.hold({ interruptions: INTERRUPTIONS });
  };

  afterAll(() => {
    console.log(`${requests.length * meddlers.length * 2} buffers explored, ${schedules} schedules`);
  });

  it.each(requests.map((request) => [request.name, request] as const))(
    '%s',
    { timeout: 600_000 },
    (_name, request) => {
      const before = schedules;
      for (const meddler of meddlers)
        for (const place of [buffer, elsewhere]) explore(request, place, meddler);
      expect(schedules).toBeGreaterThan(before);
    },
  );
});
