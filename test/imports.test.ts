// Import directions. The core: vcpu → bus → device → mm → memslot → slat → frames → base → abi, with fault between vcpu
// and mm (docs/architecture.md). TypeScript: only some rooms look into linear memory, and the guest's driver sees none of it.
import { describe, expect, it } from 'vitest';
import { importsOf, PROJECT, sources, text } from './support/assembly.ts';

const CORE = sources('assembly');
const SRC = sources('src');
const WEB = sources('web', ['.ts', '.tsx']);

/** Path from the project's root of what `file` imports as `from`; undefined for a package or a stylesheet. */
function target(file: string, from: string): string | undefined {
  if (!from.startsWith('.') || from.endsWith('.css')) return undefined;
  const path = new URL(from, `file:///${file}`).pathname.slice(1);
  return path.startsWith('assembly/') && !path.endsWith('.ts') ? `${path}.ts` : path.replace(/\?.*$/, '');
}
const edges = (file: string, types: boolean): string[] =>
  importsOf(file).flatMap(({ from, typeOnly }) => (types || !typeOnly ? (target(file, from) ?? []) : []));

/** A chain of imports that comes back to where it started, undefined when there is none. */
function cycle(files: readonly string[], types: boolean): string[] | undefined {
  const done = new Set<string>();
  const visit = (file: string, path: readonly string[]): string[] | undefined => {
    const seen = path.indexOf(file);
    if (seen >= 0) return [...path.slice(seen), file];
    if (done.has(file) || !files.includes(file)) return undefined;
    for (const next of edges(file, types)) {
      const found = visit(next, [...path, file]);
      if (found) return found;
    }
    done.add(file);
    return undefined;
  };
  for (const file of files) {
    const found = visit(file, []);
    if (found) return found;
  }
  return undefined;
}

describe('imports › the core', () => {
  const BELOW_MM = ['memslot', 'slat', 'frames', 'base', 'abi', 'trace'];
  const MAY: Readonly<Record<string, readonly string[]>> = {
    abi: [],
    base: ['abi'],
    trace: ['base', 'abi'],
    frames: ['base', 'abi'],
    slat: ['frames', 'base', 'abi', 'trace'],
    memslot: ['slat', 'frames', 'base', 'abi', 'trace'],
    mm: BELOW_MM,
    gmem: ['mm', ...BELOW_MM],
    fault: ['gmem', 'mm', ...BELOW_MM],
    kvm: ['gmem', 'mm', ...BELOW_MM],
    device: ['mm', ...BELOW_MM],
    bus: ['device', 'base', 'abi', 'trace'],
    vcpu: ['bus', 'device', 'fault', 'kvm', 'mm', ...BELOW_MM],
    observe: ['device', 'gmem', 'mm', ...BELOW_MM],
  };
  const room = (file: string): string => file.split('/')[1] as string;
  const ROOTS = ['assembly/index.ts', 'assembly/vm.ts'];

  it.each(CORE.filter((file) => !ROOTS.includes(file)))('%s', (file) => {
    const may = MAY[room(file)];
    expect(may, `a room that is not in the table: ${room(file)}`).toBeDefined();
    const others = edges(file, true).filter((to) => room(to) !== room(file) && !may?.includes(room(to)));
    expect(others).toEqual([]);
  });

  it('nothing imports the roots, nobody but them the observers', () => {
    for (const file of CORE.filter((f) => !ROOTS.includes(f))) {
      const to = edges(file, true);
      expect(
        to.filter((t) => ROOTS.includes(t)),
        file,
      ).toEqual([]);
      if (room(file) !== 'observe')
        expect(
          to.filter((t) => room(t) === 'observe'),
          file,
        ).toEqual([]);
    }
  });

  it('no cycle of files', () => {
    expect(cycle(CORE, true)).toBeUndefined();
  });

  it('no global variable but who the thread is: each thread has its own', () => {
    const found = CORE.filter((file) => file !== 'assembly/base/thread.ts').flatMap(
      (file) =>
        text(file)
          .match(/^(?:export )?(?:let|var) .*$/gm)
          ?.map((line) => `${file}: ${line}`) ?? [],
    );
    expect(found).toEqual([]);
  });

  it('no managed object: the stub runtime never frees one', () => {
    const managed = /\bnew (?!Function)\w+[<(]|\b(?:String|Array|Map|Set|StaticArray)<|`/;
    const code = (file: string): string => text(file).replace(/\/\*[\s\S]*?\*\/|\/\/.*$/gm, '');
    expect(CORE.filter((file) => managed.test(code(file)))).toEqual([]);
  });
});

describe('imports › src', () => {
  it('of assembly/ only abi/ is read, and abi/ imports nothing', () => {
    for (const file of [...SRC, ...WEB]) {
      const rooms = edges(file, true).filter(
        (to) => to.startsWith('assembly/') && !to.startsWith('assembly/abi/'),
      );
      expect(rooms, file).toEqual([]);
    }
  });

  it('only src/core makes WebAssembly of it', () => {
    const code = (file: string): string => text(file).replace(/\/\*[\s\S]*?\*\/|\/\/.*$|'[^'\n]*'/gm, '');
    const found = [...SRC, ...WEB].filter((file) =>
      /\bWebAssembly\b|assemblyscript\/loader/.test(code(file)),
    );
    expect(found.filter((file) => !file.startsWith('src/core/'))).toEqual([]);
    const loader = SRC.filter((file) =>
      importsOf(file).some(({ from }) => from.startsWith('@assemblyscript')),
    );
    expect(loader).toEqual(['src/core/instantiate.ts']);
  });

  it('linear memory and the core’s exports are for the rooms of the machine', () => {
    const ROOMS = /^src\/(core|host|observe|threads|vmm)\/|^src\/vm\.ts$|^src\/guest\/(guest|vcpu)\.ts$/;
    const found = [...SRC, ...WEB].filter((file) =>
      /\bcore\.(x|u8|u32|u64|readU32|readU64|readNumber|memory)\b/.test(text(file)),
    );
    expect(found.filter((file) => !ROOMS.test(file))).toEqual([]);
  });

  it('the driver sees RAM and MMIO, nothing of the host', () => {
    const OF_GUEST = ['driver', 'channel', 'uapi', 'chardev', 'pci-probe', 'port'].map(
      (name) => `src/guest/${name}.ts`,
    );
    const MAY = [...OF_GUEST, 'src/address.ts', 'src/size.ts', 'src/errors.ts', 'src/types.ts'];
    for (const file of OF_GUEST) {
      expect(
        edges(file, true).filter((to) => !MAY.includes(to) && !to.startsWith('assembly/abi/')),
        file,
      ).toEqual([]);
    }
  });

  it.each([
    ['core', ['core', '(root)']],
    ['paging', ['paging']],
    ['observe', ['observe', 'core', 'paging', '(root)']],
    ['vmm', ['vmm', 'core', '(root)']],
    ['guest', ['guest', 'core', 'observe', 'paging', 'vmm', '(root)']],
    ['host', ['host', 'core', 'observe', 'threads', '(root)']],
    ['threads', ['threads', 'core', 'guest', '(root)']],
    ['scenario', ['scenario', '(root)']],
    ['conform', ['conform', 'guest', 'vmm', '(root)']],
  ])('src/%s imports at run time only from %j', (room, may) => {
    const roomOf = (file: string): string => /^src\/(\w+)\//.exec(file)?.[1] ?? '(root)';
    for (const file of SRC.filter((f) => roomOf(f) === room)) {
      const rooms = edges(file, false).filter((to) => to.startsWith('src/') && !may.includes(roomOf(to)));
      expect(rooms, file).toEqual([]);
    }
  });

  it('nothing imports the command line', () => {
    const found = [...SRC, ...WEB].filter(
      (f) => !f.startsWith('src/cli/') && edges(f, true).some((to) => to.startsWith('src/cli/')),
    );
    expect(found).toEqual([]);
  });

  it('no cycle at run time, in src/ and web/', () => {
    expect(cycle([...SRC, ...WEB], false)).toBeUndefined();
  });
});

describe('imports › web', () => {
  const PUBLIC = [
    'index',
    'machine',
    'address',
    'size',
    'errors',
    'types',
    'scenario/index',
    'paging/index',
    'scenario/actions',
    'requests',
  ].map((m) => `src/${m}.ts`);

  it.each(WEB)('%s: of src/ only public modules', (file) => {
    expect(edges(file, true).filter((to) => to.startsWith('src/') && !PUBLIC.includes(to))).toEqual([]);
  });

  it('nothing in src/ imports web/, and nothing at all imports test/ or bench/', () => {
    for (const file of [...CORE, ...SRC, ...WEB]) {
      const wrong = edges(file, true).filter(
        (to) => /^(test|bench)\//.test(to) || (to.startsWith('web/') && !file.startsWith('web/')),
      );
      expect(wrong, file).toEqual([]);
    }
    expect(PROJECT).toMatch(/\/$/);
  });
});
