// Long-term pins of guest_memfd pages: who has a reference that KVM does not know of. Reference: linux mm/gup.c.
import { Errno } from '../../assembly/abi/errno.ts';
import { Status } from '../../assembly/abi/status.ts';
import type { Ptr } from '../core/exports.ts';
import { SCRATCH } from '../core/layout.ts';
import type { Vm } from '../vm.ts';

interface Page {
  readonly vpn: bigint;
  readonly file: Ptr;
  /** Number of the page in the file. */
  readonly page: bigint;
}

export class Pins {
  readonly #vm: Vm;
  /** How often a page is pinned, by file and page. */
  readonly #counts = new Map<string, number>();

  constructor(vm: Vm) {
    this.#vm = vm;
  }

  pin(hva: bigint, len: bigint): Errno {
    const pages = this.#pages(hva, len);
    if (typeof pages === 'number') return pages;
    const { x } = this.#vm.host.core;
    if (pages.some(({ vpn }) => x.hostAccess(this.#vm.ptr, vpn, 1) !== Status.Ok)) return Errno.EFAULT;
    for (const page of pages) this.#add(page, 1);
    return Errno.OK;
  }

  unpin(hva: bigint, len: bigint): Errno {
    const pages = this.#pages(hva, len);
    if (typeof pages === 'number') return pages;
    if (pages.some((page) => !this.#counts.has(key(page)))) return Errno.EINVAL;
    for (const page of pages) this.#add(page, -1);
    return Errno.OK;
  }

  #add(page: Page, by: number): void {
    const n = (this.#counts.get(key(page)) ?? 0) + by;
    if (n === 0) this.#counts.delete(key(page));
    else this.#counts.set(key(page), n);
    this.#vm.host.core.x.filePin(this.#vm.ptr, page.file, page.page, n === 0 ? 0 : 1);
  }

  #pages(hva: bigint, len: bigint): Page[] | Errno {
    const { core } = this.#vm.host;
    const out: Page[] = [];
    for (let vpn = hva >> 12n; vpn << 12n < hva + len; vpn++) {
      const file = core.x.gmemMapped(this.#vm.ptr, vpn) >>> 0;
      if (file <= 1) return file === 0 ? Errno.EFAULT : Errno.EINVAL;
      out.push({ vpn, file, page: core.readU64(SCRATCH) });
    }
    return out;
  }

  save(): ReadonlyMap<string, number> {
    return new Map(this.#counts);
  }

  load(counts: ReadonlyMap<string, number>): void {
    this.#counts.clear();
    for (const [page, n] of counts) this.#counts.set(page, n);
  }
}

const key = ({ file, page }: Page): string => `${file}:${page}`;
