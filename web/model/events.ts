// The event log: filter words and the depth of causes. Reference: docs/events.md, docs/web.md "Event log".
import type { EventRecord } from '../../src/types.ts';

/**
 * `kind:zap cpu:1 0x4000`: every word must fit. `kind:`, `cpu:` and `vm:` look at that field (several kinds with commas),
 * `seq:` at the number and its effects, any other word is searched for in the text.
 */
export function matches(filter: string, vms: readonly string[] = []): (event: EventRecord) => boolean {
  const tests = filter
    .trim()
    .toLowerCase()
    .split(/\s+/)
    .filter(Boolean)
    .map((word): ((event: EventRecord) => boolean) => {
      const [key, value = ''] = word.split(':', 2) as [string, string?];
      if (key === 'kind') return (e) => value.split(',').some((v) => e.kind.startsWith(v));
      if (key === 'cpu') return (e) => String(e.cpu) === value;
      if (key === 'vm') return (e) => (vms[e.vm] ?? String(e.vm)).toLowerCase() === value;
      if (key === 'seq') return (e) => String(e.seq) === value || String(e.cause) === value;
      return (e) => e.text.toLowerCase().includes(word) || e.kind.includes(word);
    });
  return (event) => tests.every((test) => test(event));
}

/** How many causes an event has above it, among the events given. */
export function depths(events: readonly EventRecord[]): Map<number, number> {
  const depth = new Map<number, number>();
  // A cause always comes before its effect.
  for (const e of events) depth.set(e.seq, e.cause === 0 ? 0 : (depth.get(e.cause) ?? -1) + 1);
  return depth;
}
