// The step `migrate`: a pre-copy migration, and a guest that writes to its working set meanwhile.
// Reference: src/vmm/migration.ts.
import { type Migrated, migrate } from '../machine.ts';
import { kvmTitle } from './kvm-titles.ts';
import { errnoText, type Outcome } from './outcome.ts';
import type { ScenarioVm, ScenarioVms } from './port.ts';
import type { Args } from './scenario.ts';

const PAGE = 4096n;

export function performMigrate(a: Args, from: ScenarioVm, vms: ScenarioVms): Outcome {
  const { to, stop, rounds: maxRounds, every } = a.kvm;
  const guest = guestOf(a, from);
  const migrated = migrate(from, vms.get(to) as ScenarioVm, {
    ...(stop !== undefined && { stop }),
    ...(maxRounds !== undefined && { maxRounds }),
    ...(every !== undefined && { every }),
    ...(guest && { guest }),
  });
  const { errno, rounds, downtime, converged, differs } = migrated;
  return {
    title: kvmTitle('migrate', a),
    text: textOf(migrated),
    fields: {
      errno,
      rounds: rounds.length,
      pages: rounds.reduce((sum, { pages }) => sum + pages, 0),
      downtime,
      converged,
      identical: errno === 0 && differs === undefined,
      ok: errno === 0,
      ...(differs !== undefined && { gpa: differs }),
    },
    rounds,
  };
}

/** The guest stores to so many pages of its working set each time, one after the other and then from the start again. */
function guestOf({ gpa, len, cpu, kvm: { writes } }: Args, vm: ScenarioVm): (() => void) | undefined {
  const pages = Number(len / PAGE);
  if (writes === 0 || pages === 0) return undefined;
  let turn = 0;
  return () => {
    const steps = Array.from({ length: writes }, (_, i) => {
      const n = turn + i;
      // Not what was there before, so that a page that is not copied again is seen to differ.
      return { store: { gpa: gpa + BigInt(n % pages) * PAGE, size: 8 as const, val: BigInt(n + 1) } };
    });
    turn += writes;
    vm.runInTurns([...Array.from({ length: cpu }, () => []), steps]);
  };
}

function textOf({ errno, rounds, downtime, converged, differs }: Migrated): string {
  if (errno !== 0) return errnoText(errno);
  const why = converged ? 'few enough' : 'too many rounds';
  const same = differs === undefined ? 'all pages are equal' : `differs at 0x${differs.toString(16)}`;
  return `${rounds.length} rounds, guest stopped for the last ${downtime} pages (${why}), ${same}`;
}
