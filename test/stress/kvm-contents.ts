// What the pages hold at a quiet point, and what KVM says of them, against what the programs may have left.
import type { Vm } from '../../src/machine.ts';
import type { Random } from '../support/random.ts';
import { GMEM, GMEM_FD, HVA, LOGGED, MOVING, PAGE, plainWord, privateWord, sharedWord } from './kvm-areas.ts';

const hexOf = (word: bigint): string => `0x${word.toString(16)}`;

export class KvmContents {
  readonly #vm: Vm;

  constructor(vm: Vm) {
    this.#vm = vm;
  }

  /** What is wrong, in sentences. `written`: pages of LOGGED that its log must have. */
  judge(written: ReadonlySet<number>): string[] {
    return [...this.#log(written), ...this.#pages(), ...this.#mixed(), ...this.#plain()];
  }

  #log(written: ReadonlySet<number>): string[] {
    const { errno, pages } = this.#vm.kvm.getDirtyLog(LOGGED.slot);
    const log = new Set(pages);
    const missed = [...written].filter((page) => !log.has(page));
    return errno === 0 && missed.length === 0
      ? []
      : [`the log, errno ${errno}, has ${log.size} pages, not ${missed}`];
  }

  /** No private byte where the VMM reads, no shared one in the file, and the guest sees the one that it is to see. */
  #pages(): string[] {
    const { guest, kvm, host, observe, vmm } = this.#vm;
    const { core } = host;
    const out: string[] = [];
    const file = vmm.files.get(GMEM_FD)?.ptr ?? 0;
    const attributes = this.#hasAttributes;
    const letters = observe.filePages(GMEM_FD, 0, Number(GMEM.pages));
    const bound = kvm.memslots().some(({ id }) => id === GMEM.slot);
    for (let page = 0; page < Number(GMEM.pages); page++) {
      const gfn = GMEM.first + BigInt(page);
      const say = (what: string, word: bigint): number => out.push(`page ${gfn}: ${what} ${hexOf(word)}`);
      const shared = this.#word(gfn);
      if (shared !== 0n && shared !== sharedWord(gfn)) say('the VMM reads', shared);
      const stored =
        letters[page] === 'c' ? core.readU64(core.x.fileBytes(file, BigInt(page) * PAGE, 0) >>> 0) : 0n;
      const own = attributes ? privateWord(gfn) : sharedWord(gfn);
      if (stored !== 0n && stored !== own) say('the file has', stored);
      if (!bound) continue;
      const seen = guest.load(gfn * PAGE, 8);
      const isFile = !attributes || kvm.isPrivate(gfn * PAGE);
      const wanted = isFile ? stored : shared;
      if (!seen.ok) out.push(`page ${gfn}: ${seen.exit.reason}`);
      else if (seen.value !== wanted || seen.exits.length > 0)
        say(`the guest reads instead of ${hexOf(wanted)}`, seen.value);
    }
    return out;
  }

  /** A 2 MiB page is mixed when it has gfns of both kinds. */
  #mixed(): string[] {
    const { kvm, host, ptr } = this.#vm;
    const out: string[] = [];
    for (let chunk = GMEM.first - 512n; chunk <= GMEM.first + GMEM.pages; chunk += 512n) {
      const kinds = new Set(Array.from({ length: 512 }, (_, i) => kvm.isPrivate((chunk + BigInt(i)) * PAGE)));
      if ((host.core.x.isMixed(ptr, chunk, 9n) !== 0) !== kinds.size > 1)
        out.push(`chunk ${chunk}: mixed or not`);
    }
    return out;
  }

  #plain(): string[] {
    return [LOGGED, MOVING].flatMap(({ first, pages }) =>
      Array.from({ length: Number(pages) }, (_, i) => first + BigInt(i)).flatMap((gfn) => {
        const word = this.#word(gfn);
        return word === 0n || word === plainWord(gfn) ? [] : [`page ${gfn} has ${hexOf(word)}`];
      }),
    );
  }

  /** The VMM's own stores and calls, between two slices. */
  disturb(r: Random): void {
    const { vmm, kvm } = this.#vm;
    for (let n = 0; n < 40; n++) {
      const gfn = GMEM.first + BigInt(r.below(Number(GMEM.pages)));
      // The lowest bytes of the word are 0: it stays what it is, but a page comes, or a SLAT entry goes.
      vmm.store(HVA + gfn * PAGE, 0);
      if (r.chance(4)) vmm.madvise(HVA + gfn * PAGE, PAGE, 'pageout');
    }
    // What threads left as one may be of two kinds from here on.
    if (this.#hasAttributes) {
      const address = (GMEM.first + BigInt(r.below(Number(GMEM.pages)))) * PAGE;
      kvm.setMemoryAttributes({ address, size: PAGE, attributes: r.below(2) * 8 });
    }
  }

  get #hasAttributes(): boolean {
    return this.#vm.kvm.checkExtension(233) !== 0;
  }

  /** The first word of what the VMM would read there. */
  #word(gfn: bigint): bigint {
    const { core } = this.#vm.host;
    const at = core.x.pagePeek(this.#vm.ptr, (HVA + gfn * PAGE) >> 12n) >>> 0;
    return at === 0 ? 0n : core.readU64(at);
  }
}
