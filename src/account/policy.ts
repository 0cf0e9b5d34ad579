// Which node a page comes from, as assembly/mm/policy.ts and assembly/frames/node.ts have it for frames: for counts alone.
// A test holds both equal.
import { Mpol } from '../../assembly/abi/mempolicy.ts';

export interface Policy {
  readonly mode: Mpol;
  readonly nodes: readonly number[];
}

/** Memory nodes with so many pages each. */
export class Nodes {
  readonly #room: readonly number[];
  readonly #used: number[];

  constructor(room: readonly number[]) {
    this.#room = room;
    this.#used = room.map(() => 0);
  }

  /** Pages of each node that may still be had. */
  get free(): number[] {
    return this.#room.map((room, n) => room - (this.#used[n] as number));
  }

  /** The node that `pages` pages are from: `node`, or those behind it in a ring, of `among`; -1 when none has room. */
  take(pages: number, node: number, among: readonly number[] | undefined): number {
    const found = this.#room
      .map((_, i) => (node + i) % this.#room.length)
      .find((n) => (among?.includes(n) ?? true) && (this.free[n] as number) >= pages);
    if (found !== undefined) this.#used[found] = (this.#used[found] as number) + pages;
    return found ?? -1;
  }

  give(pages: number, node: number): void {
    this.#used[node] = (this.#used[node] as number) - pages;
  }
}

/** What a task allocates by its policy. */
export class Task {
  readonly #nodes: Nodes;
  readonly #policy: Policy;
  #turn = 0;

  constructor(nodes: Nodes, policy: Policy) {
    this.#nodes = nodes;
    this.#policy = policy;
  }

  /**
   * The node of `pages` pages. Interleaved is by `index`, a place in a file or mapping in units of so many pages; without one
   * by the task's next turn, as what no mapping is for.
   */
  take(pages: number, index?: number): number {
    const { mode, nodes } = this.#policy;
    const local = 0;
    switch (mode) {
      case Mpol.Preferred:
        return this.#nodes.take(pages, nodes[0] ?? local, undefined);
      case Mpol.Bind:
        return this.#nodes.take(pages, local, nodes);
      case Mpol.Interleave:
        return this.#nodes.take(pages, nodes[(index ?? this.#turn++) % nodes.length] as number, undefined);
      default:
        return this.#nodes.take(pages, local, undefined);
    }
  }
}
