// Rows about KVM's calls: private-touch, convert, convert-4k, convert-2m, convert-1g, dirty-log-1t, memslot.
import { interleave, mustAgree, timed, timedWall } from '../harness.mjs';
import { GIB, Machine, MIB, PAGE } from '../machine.mjs';

const MS = 1e6;
const US = 1e3;
const TIB = 1024 * GIB;
/** The slot under measurement, and where the VMM has its shared memory: with the rest of RAM. */
const SLOT = 9;
const GPA = 4 * TIB;
const HVA = 2n ** 44n;
const LOG = 1;
const GMEM = 4;
const PRIVATE = 8;
const PUNCH = 3;

/** @param {string} what @param {number} errno */
const well = (what, errno) => mustAgree(`errno of ${what}`, errno, 0);

/** @param {Machine} machine @param {number} flags @param {number} memorySize @param {number} [guestMemfd] */
function slot({ vm }, flags, memorySize, guestMemfd) {
  const region = { slot: SLOT, flags, guestPhysAddr: GPA, memorySize, userspaceAddr: HVA };
  const more = guestMemfd === undefined ? {} : { guestMemfd, guestMemfdOffset: 0 };
  well('KVM_SET_USER_MEMORY_REGION2', vm.kvm.setUserMemoryRegion2({ ...region, ...more }));
}

/** @param {Machine} machine @param {number} gpa @param {number} size @param {number} attributes */
const attribute = ({ vm }, gpa, size, attributes) =>
  vm.kvm.setMemoryAttributes({ address: gpa, size, attributes });

/** A machine with a slot of `bytes` that has a guest_memfd. @param {import('../context.mjs').Build} build @param {number} bytes */
async function open(build, bytes) {
  const options = { memory: '1G+4M', vmType: 1, gmemProfile: 'B' };
  const machine = await Machine.open(build, /** @type {Parameters<typeof Machine.open>[1]} */ (options));
  const { errno, fd } = machine.vm.kvm.createGuestMemfd({ size: bytes });
  well('KVM_CREATE_GUEST_MEMFD', errno);
  slot(machine, GMEM, bytes, fd);
  return { machine, fd };
}

/** @param {import('../context.mjs').Context} context */
export async function privateTouch({ build, native, fewRounds }) {
  if (!native.available) return { abstain: native.reason };
  const bytes = 256 * MIB;
  const { machine, fd } = await open(build, bytes);
  well('attributes', attribute(machine, GPA, bytes, PRIVATE));
  const result = await interleave(fewRounds * 2, {
    // Recycled frames, as in first-touch.
    engine: () => {
      well('fallocate', machine.vm.vmm.fallocate(fd, PUNCH, 0n, BigInt(bytes)));
      return timed(bytes / PAGE, () => machine.touch(GPA, bytes));
    },
    memset: async () => (await native.run(`zero-pages ${bytes / 1024} 1`)).ns,
    anon: async () => (await native.run(`first-touch ${bytes / MIB}`)).ns,
  });
  return {
    parts: [{ what: '256 MiB', value: result.engine, control: result.memset }],
    figures: [{ what: 'Linux, first touch of an anonymous page', value: result.anon, unit: 'ns' }],
  };
}

/** @param {import('../context.mjs').Context} context */
export async function convert({ build, fewRounds }) {
  const { machine } = await open(build, GIB);
  /** To and fro, where no page is. @param {number} size @param {number} times */
  const turns = (size, times) =>
    timed(2 * times, () => {
      let errno = 0;
      for (let i = 0; i < times; i++) {
        errno |= attribute(machine, GPA + size, size, PRIVATE);
        errno |= attribute(machine, GPA + size, size, 0);
      }
      well('attributes', errno);
    });
  const result = await interleave(fewRounds, {
    page: () => turns(PAGE, 20_000),
    huge: () => turns(2 * MIB, 20_000),
    gib: () => turns(GIB, 20_000),
    tib: () => turns(TIB, 20_000),
  });
  return {
    parts: [
      { what: '4 KiB', value: result.page },
      { what: '2 MiB', value: result.huge },
      { what: '1 GiB', value: result.gib },
      { what: '1 TiB', value: result.tib },
    ],
  };
}

/**
 * Private pages become shared, and those that were there are given back. `unit`: nanoseconds of the row's.
 * @param {number} size @param {number} ranges @param {number} unit
 */
const convertPunched =
  (size, ranges, unit) =>
  /** @param {import('../context.mjs').Context} context */
  async ({ build, native, fewRounds }) => {
    if (!native.available) return { abstain: native.reason };
    const bytes = size * ranges;
    const { machine, fd } = await open(build, bytes);
    const { vmm } = machine.vm;
    const fill = () => {
      well('attributes', attribute(machine, GPA, bytes, PRIVATE));
      machine.touch(GPA, bytes);
    };
    let alone = Number.POSITIVE_INFINITY;
    const result = await interleave(fewRounds, {
      engine: () => {
        fill();
        const there = machine.vm.host.frames().used;
        const ns = timedWall(ranges, () => {
          let errno = 0;
          for (let at = 0; at < bytes; at += size) {
            errno |= attribute(machine, GPA + at, size, 0);
            errno |= vmm.fallocate(fd, PUNCH, BigInt(at), BigInt(size));
          }
          well('conversions', errno);
        });
        mustAgree('pages given back', there - machine.vm.host.frames().used, bytes / PAGE);
        return ns / unit;
      },
      // The pages stay in the file: the attributes change, and the guest's translations go.
      alone: () => {
        fill();
        const ns = timedWall(ranges, () => {
          for (let at = 0; at < bytes; at += size) attribute(machine, GPA + at, size, 0);
        });
        alone = Math.min(alone, ns / unit);
        return ns;
      },
      native: async () => (await native.run(`punch ${size / 1024} ${ranges}`)).ns / unit,
    });
    const name = unit === 1 ? 'ns' : unit === US ? 'µs' : 'ms';
    return {
      parts: [{ what: 'attributes and hole', value: result.engine, control: result.native }],
      figures: [{ what: 'attributes alone', value: alone, unit: name }],
    };
  };

export const convertPage = convertPunched(PAGE, 4096, 1);
export const convertHuge = convertPunched(2 * MIB, 64, US);
export const convertGib = convertPunched(GIB, 1, MS);

/** One page in a thousand is dirty, in runs of 2 MiB. @param {import('../context.mjs').Context} context */
export async function dirtyLog({ build, fewRounds }) {
  const SHARE = 1000;
  const ram = [
    { gpa: 0, size: 4 * MIB },
    { gpa: 4 * GIB, size: TIB },
  ];
  const machine = await Machine.open(build, { ram, pool: '1G+64M' });
  const { vm } = machine;
  const userspaceAddr = vm.ram[1]?.hva ?? 0n;
  const set = (/** @type {number} */ memorySize, /** @type {number} */ flags) =>
    well(
      'KVM_SET_USER_MEMORY_REGION',
      vm.kvm.setUserMemoryRegion({ slot: SLOT, flags, guestPhysAddr: GPA, memorySize, userspaceAddr }),
    );
  /** @param {number} size */
  const harvest = (size) => {
    set(size, LOG);
    const run = Math.min(2 * MIB, Math.floor(size / PAGE / SHARE) * PAGE);
    const runs = Math.floor(size / SHARE / run);
    // The first time pages come; from then on they are there, in the log once more.
    const dirty = () => {
      for (let i = 0; i < runs; i++)
        machine.touch(GPA + i * Math.floor(size / runs / (2 * MIB)) * 2 * MIB, run);
    };
    dirty();
    vm.kvm.getDirtyLog(SLOT);
    dirty();
    const pages = (runs * run) / PAGE;
    let found = 0;
    const ns = timedWall(pages, () => {
      found = vm.kvm.getDirtyLog(SLOT).pages.length;
    });
    mustAgree('dirty pages', found, pages);
    set(0, 0);
    return ns;
  };
  const result = await interleave(fewRounds, { tib: () => harvest(TIB), gib: () => harvest(GIB) });
  return {
    parts: [{ what: '1 TiB, 268 000 pages', value: result.tib }],
    figures: [
      {
        what: '1 TiB, whole',
        value: (result.tib * Math.floor(TIB / SHARE / (2 * MIB)) * 512) / MS,
        unit: 'ms',
      },
      { what: '1 GiB, a page', value: result.gib, unit: 'ns' },
    ],
  };
}

/** A slot comes and goes, alone or among others. @param {import('../context.mjs').Context} context */
export async function memslot({ build, fewRounds }) {
  const machine = await Machine.open(build, { memory: '64M', pool: '8M' });
  const { kvm } = machine.vm;
  const region = (/** @type {number} */ id, /** @type {number} */ at, /** @type {number} */ memorySize) =>
    kvm.setUserMemoryRegion({
      slot: id,
      flags: 0,
      guestPhysAddr: GPA + at,
      memorySize,
      userspaceAddr: HVA + BigInt(at),
    });
  const pair = () =>
    timed(4000, () => {
      let errno = 0;
      for (let i = 0; i < 2000; i++) {
        errno |= region(30_000, 5000 * 2 * MIB, 64 * MIB);
        errno |= region(30_000, 0, 0);
      }
      well('KVM_SET_USER_MEMORY_REGION', errno);
    });
  // A hole in the middle for the one that is measured.
  const others = () => {
    for (let id = 1; id < 10_000; id++)
      well('KVM_SET_USER_MEMORY_REGION', region(id, (id < 5000 ? id : id + 100) * 2 * MIB, MIB));
  };
  const alone = await interleave(fewRounds, { pair });
  others();
  const many = await interleave(fewRounds, { pair });
  return {
    parts: [
      { what: 'among 10 000', value: many.pair },
      { what: 'with one other', value: alone.pair },
    ],
  };
}
