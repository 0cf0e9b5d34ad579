// Random system calls of the VMM, host accesses and guest accesses, on the engine and on the slow model alike.
// A failure prints fast-check's seed and the shrunk list; keep it as a named case in SHRUNK.
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { vmMmDoor } from '../src/conform/mm-vm.ts';
import { createSandbox } from '../src/machine.ts';
import type { CoreBuild } from '../src/types.ts';
import { MmModel, type MmModelOptions } from './model/mm-model.ts';

const ADVICE = ['dontneed', 'free', 'pageout', 'remove', 'dontdump', 'mergeable', 'unmergeable'] as const;

type Op =
  | {
      readonly op: (typeof ADVICE)[number] | 'mlock' | 'munlock' | 'munmap';
      readonly at: number;
      readonly len: number;
    }
  | { readonly op: 'mprotect'; readonly at: number; readonly len: number; readonly prot: number }
  | { readonly op: 'name'; readonly at: number; readonly len: number; readonly name: string | undefined }
  | { readonly op: 'hostRead' | 'guestRead'; readonly page: number }
  | { readonly op: 'hostWrite' | 'guestWrite'; readonly page: number; readonly byte: number }
  | { readonly op: 'ksmSettle' };

/** Ranges in bytes: mostly whole pages, now and then crooked, before the start, past the end. */
function opsOf(pages: number): fc.Arbitrary<Op> {
  const page = fc.integer({ min: 0, max: pages - 1 });
  const crooked = fc.oneof(
    { weight: 12, arbitrary: fc.constant(0) },
    { weight: 1, arbitrary: fc.integer({ min: -1, max: 4097 }) },
  );
  const at = fc.tuple(fc.integer({ min: -1, max: pages }), crooked).map(([p, c]) => p * 4096 + c);
  const short = fc.integer({ min: 0, max: 6 });
  const len = fc
    .tuple(
      fc.oneof(
        { weight: 3, arbitrary: short },
        { weight: 1, arbitrary: fc.integer({ min: 0, max: pages + 2 }) },
      ),
      crooked,
    )
    .map(([p, c]) => Math.max(0, p * 4096 + c));
  const name = fc.constantFrom(
    undefined,
    'pvmemcontrol-7',
    'pvmemcontrol-18446744073709551615',
    'guest ram',
    'a]b',
  );
  // Few values, so that pages are equal now and then.
  const byte = fc.integer({ min: 0, max: 3 });
  return fc.oneof(
    { weight: 1, arbitrary: fc.constant({ op: 'ksmSettle' as const }) },
    { weight: 8, arbitrary: fc.record({ op: fc.constantFrom(...ADVICE), at, len }) },
    {
      weight: 5,
      arbitrary: fc.record({ op: fc.constantFrom('mlock' as const, 'munlock' as const), at, len }),
    },
    { weight: 1, arbitrary: fc.record({ op: fc.constant('munmap' as const), at, len }) },
    {
      weight: 5,
      arbitrary: fc.record({
        op: fc.constant('mprotect' as const),
        at,
        len,
        prot: fc.integer({ min: 0, max: 3 }),
      }),
    },
    { weight: 2, arbitrary: fc.record({ op: fc.constant('name' as const), at, len, name }) },
    {
      weight: 6,
      arbitrary: fc.record({ op: fc.constantFrom('hostRead' as const, 'guestRead' as const), page }),
    },
    {
      weight: 8,
      arbitrary: fc.record({ op: fc.constantFrom('hostWrite' as const, 'guestWrite' as const), page, byte }),
    },
  );
}

interface Setup extends MmModelOptions {
  readonly core: CoreBuild;
}

async function compare(setup: Setup, ops: readonly Op[]): Promise<void> {
  const { pages, mode, maxMapCount, memlock } = setup;
  const vm = await createSandbox({
    ram: [{ gpa: 0, size: pages * 4096 }],
    backing: mode,
    core: setup.core,
    // Room for copies of a file, and for huge pages beside what is left of others.
    pool: (4 * pages + 1024) * 4096,
    swap: (2 * pages + 8) * 4096,
    ...(maxMapCount !== undefined && { maxMapCount }),
    ...(memlock !== undefined && { memlock }),
  });
  const engine = vmMmDoor(vm);
  const model = new MmModel(setup);
  const base = vm.ram[0]?.hva as bigint;
  ops.forEach((op, i) => {
    const [is, want] = perform(op);
    const step = `step ${i} ${JSON.stringify(op)}`;
    expect(is, step).toEqual(want);
    expect(engine.letters(), step).toEqual(model.letters());
    expect(engine.blocks?.(), step).toEqual(model.blocks());
    const wanted = model.vmas();
    expect(engine.vmas(), step).toEqual(
      wanted.map(({ start, end, perm, flags, sizes }) => ({ start, end, perm, flags, sizes })),
    );
    expect(
      vm.observe.vmas().map(({ name }) => name),
      step,
    ).toEqual(wanted.map(({ name }) => name));
  });
  expect(vm.host.check()).toEqual([]);

  function perform(op: Op): [unknown, unknown] {
    switch (op.op) {
      case 'ksmSettle':
        return [engine.ksmSettle?.(), model.ksmSettle()];
      case 'hostRead':
        return [engine.hostRead(op.page), model.hostRead(op.page)];
      case 'hostWrite':
        return [engine.hostWrite(op.page, op.byte), model.hostWrite(op.page, op.byte)];
      case 'guestRead': {
        const access = vm.guest.load(op.page * 4096, 1);
        return [
          access.ok ? { ok: true, value: Number(access.value) } : { ok: false, reason: access.exit.reason },
          model.guestRead(op.page),
        ];
      }
      case 'guestWrite': {
        const filled = vm.guest.fill({ gpa: op.page * 4096, len: 4096, byte: op.byte });
        return [
          filled.exit ? { ok: false, reason: filled.exit.reason } : { ok: true, value: op.byte },
          model.guestWrite(op.page, op.byte),
        ];
      }
      default: {
        const start = BigInt(op.at);
        const len = BigInt(op.len);
        if (op.op === 'mprotect')
          return [engine.mprotect(start, len, op.prot), model.mprotect(start, len, op.prot)];
        if (op.op === 'name')
          return [vm.vmm.setAnonName(base + start, len, op.name), model.setAnonName(start, len, op.name)];
        if (op.op === 'mlock' || op.op === 'munlock' || op.op === 'munmap')
          return [engine[op.op](start, len), model[op.op](start, len)];
        return [engine.madvise(start, len, op.op), model.madvise(start, len, op.op)];
      }
    }
  }
}

const SMALL = ['anon', 'anon_acct', 'memfd', 'memfd_priv'] as const;
const LARGE = ['thp', 'hugetlb', 'hugetlb_shared'] as const;

const setups: fc.Arbitrary<Setup> = fc
  .tuple(
    fc.oneof(
      fc.record({ mode: fc.constantFrom(...SMALL), pages: fc.constantFrom(16, 70, 600) }),
      fc.record({ mode: fc.constantFrom(...LARGE), pages: fc.constantFrom(512, 1024) }),
    ),
    fc.record(
      {
        core: fc.constantFrom('release' as const, 'debug' as const),
        maxMapCount: fc.constantFrom(33, 36, 65530),
        memlock: fc.constantFrom(0, 5 * 4096, 100 * 4096),
      },
      { requiredKeys: ['core'] },
    ),
  )
  .map(([shape, options]) => ({ ...shape, ...options }));

describe('fuzz › memory management', () => {
  it('the engine and the model agree after every step, and all invariants hold', {
    timeout: 300_000,
  }, async () => {
    const program = setups.chain((setup) =>
      fc.tuple(
        fc.constant(setup),
        fc.array(opsOf(setup.pages), { minLength: 1, maxLength: 80, size: 'max' }),
      ),
    );
    await fc.assert(
      fc.asyncProperty(program, async ([setup, ops]) => compare(setup, ops)),
      { numRuns: Number(process.env.FUZZ_RUNS ?? 400) },
    );
  });
});
