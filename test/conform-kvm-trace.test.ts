// What the reader of `kvm` recordings makes of each operation, and what it refuses. Reference: test/golden/kvm/README.md
import { describe, expect, it } from 'vitest';
import { parseOp } from '../src/conform/kvm-ops.ts';
import { parseKvmRecording } from '../src/conform/kvm-trace.ts';
import { SlatboxError } from '../src/errors.ts';
import { REGION, wrap } from './support/kvm-playback.ts';

const PAGE = 4096n;

describe('conform kvm › operations', () => {
  const slot = { two: true, id: 1, flags: 0, gpa: 0x2000n, size: 3n * PAGE, region: 'A', offset: 4n * PAGE };
  const bytes = { ...slot, size: 3n, offset: 4n };
  const part = { region: 'A', page: 1, pages: 2 };
  const range = (call: object) => ({ kind: 'range', part, call });
  const file = (call: object) => ({ kind: 'file', region: 'A', call });
  it.each<[string, object]>([
    [
      'region B gmem 8 3',
      { kind: 'region', setup: { name: 'B', kind: 'gmem', pages: 8, gmemFlags: 3, thp: false } },
    ],
    [
      'region B gmem 8',
      { kind: 'region', setup: { name: 'B', kind: 'gmem', pages: 8, gmemFlags: 0, thp: false } },
    ],
    [
      'region B anon 8 thp',
      { kind: 'region', setup: { name: 'B', kind: 'anon', pages: 8, gmemFlags: 0, thp: true } },
    ],
    ['slot 1 0x2000 3 A 4', { kind: 'slot', slot }],
    ['slot 1 0x2000 3 A 4 ro,log', { kind: 'slot', slot: { ...slot, flags: 3 } }],
    [
      'slot 1 0x2000 3 A 4 gmem',
      { kind: 'slot', slot: { ...slot, flags: 4, file: { region: 'A', offset: 4n * PAGE } } },
    ],
    [
      'slot 1 0x2000 3 A 4 gmem M 0x1234',
      { kind: 'slot', slot: { ...slot, flags: 4, file: { region: 'M', offset: 0x1234n } } },
    ],
    [
      'slot1 1 0x2000 3 A 4 4',
      { kind: 'slot', slot: { ...slot, two: false, flags: 4, file: { region: 'A', offset: 4n * PAGE } } },
    ],
    ['slotraw 1 0x2000 3 A 4 0x100', { kind: 'slot', slot: { ...bytes, flags: 0x100 } }],
    ['slotraw 1 0x2000 3 abs 4 0', { kind: 'slot', slot: { ...bytes, region: undefined } }],
    [
      'slotraw 1 0x2000 3 A 4 gmem badfd 5',
      { kind: 'slot', slot: { ...bytes, flags: 4, file: { region: undefined, offset: 5n } } },
    ],
    ['slotdel 32764', { kind: 'slotdel', id: 32764 }],
    ['gr 0x10 4', { kind: 'access', access: { kind: 'read', gpa: 16n, len: 4 } }],
    [
      'gw 0x10 2 0x12345678',
      { kind: 'access', access: { kind: 'write', gpa: 16n, len: 2, value: 0x12345678n } },
    ],
    ['gxadd 0x10 1 0xff', { kind: 'access', access: { kind: 'xadd', gpa: 16n, len: 1, value: 255n } }],
    ['gx 0x10', { kind: 'access', access: { kind: 'execute', gpa: 16n } }],
    ['guestloop r 0x10 5', { kind: 'loop', write: false, gpa: 16n, pages: 5, byte: 0 }],
    ['guestloop w 0x10 5 0x3c', { kind: 'loop', write: true, gpa: 16n, pages: 5, byte: 0x3c }],
    ['resume', { kind: 'resume' }],
    ['hr A 0x10', { kind: 'hostLoad', region: 'A', offset: 16n }],
    ['hw A 0x10 7', { kind: 'hostStore', region: 'A', offset: 16n, bytes: [7] }],
    ['hcode A 0x10 7', { kind: 'hostStore', region: 'A', offset: 16n, bytes: [0xb0, 7, 0x49, 0x89, 0] }],
    ['hfill A 1 2 7', { kind: 'hostFill', part, byte: 7 }],
    ['madv A 1 2 FREE', range({ call: 'madvise', advice: 'FREE' })],
    ['mprot A 1 2 none', range({ call: 'mprotect', prot: 0 })],
    ['mprot A 1 2 r', range({ call: 'mprotect', prot: 1 })],
    ['mprot A 1 2 w', range({ call: 'mprotect', prot: 2 })],
    ['mprot A 1 2 x', range({ call: 'mprotect', prot: 4 })],
    ['mprot A 1 2 rwx', range({ call: 'mprotect', prot: 7 })],
    ['mlock A 1 2', range({ call: 'mlock' })],
    ['mlockof A 1 2', range({ call: 'mlockOnfault' })],
    ['munlock A 1 2', range({ call: 'munlock' })],
    ['munmap A 1 2', range({ call: 'munmap' })],
    ['mapanon A 1 2', range({ call: 'mapAnonymous' })],
    ['mapfd A 1 2', range({ call: 'mapFile' })],
    ['mremap A 1 2 M 3', { kind: 'mremap', part, to: 'M', toPage: 3 }],
    ['punch A 0x10 5', file({ call: 'fallocate', mode: 3, offset: 16n, length: 5n })],
    ['falloc A 0x10 5', file({ call: 'fallocate', mode: 1, offset: 16n, length: 5n })],
    ['fallocraw A 0x11 0x10 5', file({ call: 'fallocate', mode: 17, offset: 16n, length: 5n })],
    ['ftrunc A 0x10', file({ call: 'ftruncate', size: 16n })],
    ['fread A 0x10 5', file({ call: 'pread', offset: 16n, length: 5 })],
    ['fwrite A 0x10 5', file({ call: 'pwrite', offset: 16n, length: 5 })],
    ['flseek A 0x10 hole', file({ call: 'lseek', offset: 16n, whence: 'hole' })],
    ['fmmap A 1 2 private rx', file({ call: 'mmap', page: 1, pages: 2, shared: false, prot: 5 })],
    ['fstat A', { kind: 'fstat', region: 'A' }],
    ['fclose A', file({ call: 'close' })],
    ['gmemcreate 0x10 3', { kind: 'gmemcreate', size: 16n, flags: 3n }],
    ['dirty 1', { kind: 'dirty', slot: 1 }],
    ['clrdirty 1 64 66 11 48', { kind: 'clrdirty', slot: 1, first: 64, count: 66, bits: [11, 48] }],
    ['manualprotect 3', { kind: 'manualprotect', value: 3n }],
    ['cap 10', { kind: 'cap', cap: 10 }],
    ['ksmscan 3', { kind: 'ksmscan', times: 3 }],
  ])('%s', (text, action) => {
    const where = { file: 'f.json', path: 'op' };
    expect(parseOp(text, where, new Set(['A', 'M']))).toEqual(action);
  });
});

describe('conform kvm › a malformed file is refused with the place', () => {
  const file = (change: object): string =>
    JSON.stringify({ ...JSON.parse(wrap({ name: 't', ops: [] })), ...change });
  const ops = (...steps: object[]): string => wrap({ name: 't', ops: [REGION, ...steps] });
  const op = (text: string): string => ops({ op: text, ret: 0 });
  const exit = (value: object): string => ops({ op: 'gw 0 1 1', ex: [value] });
  const state = (change: object): string =>
    ops({ op: 'cap 1', ret: 0, st: { A: { rss: 0, blk: 0, pg: '....', ...change } } });
  it.each([
    ['no JSON', '{', 'not JSON'],
    ['an array', '[]', 'expected an object'],
    ['another format', file({ format: 'kvm-trace/2' }), 'format: expected kvm-trace/1'],
    ['an unknown field', file({ arch: 'arm64' }), 'arch: expected only'],
    ['swap', file({ swap: 1 }), 'swap: expected true or false'],
    ['another thp policy', file({ thp: 'always' }), 'thp: expected "madvise"'],
    ['no traces', file({ traces: undefined }), 'traces: expected an array'],
    ['a field of a trace', wrap({ name: 't', ops: [], seed: 1 }), 'traces[0].seed: expected only'],
    ['an unknown operation', op('fly A'), 'traces[0].ops[1].op: expected one of region slot'],
    ['not an operation', op('constructor'), 'ops[1].op: expected one of'],
    ['a region that there is not', op('madv B 0 1 FREE'), 'expected R: a region that was made before'],
    ['no more words', op('madv A 0'), 'expected PAGES'],
    ['too many words', op('fclose A B'), 'expected no more than fclose takes'],
    ['a kind of region', op('region B hugetlb 4'), 'expected KIND: one of anon anonsh memfd memfdpriv gmem'],
    ['a region of nothing', op('region B anon 0'), 'expected PAGES: at least 1'],
    ['a number', op('cap ten'), 'expected N: a whole number below 2^64'],
    ['more than 64 bits', op('ftrunc A 0x10000000000000000'), 'expected SIZE: a whole number below 2^64'],
    ['a byte', op('hw A 0 256'), 'expected VAL: a whole number from 0 to 255'],
    ['an access', op('gr 0 3'), 'expected LEN: 1, 2, 4 or 8'],
    ['a direction', op('guestloop x 0 1'), 'expected DIRECTION: one of r w'],
    ['protection', op('mprot A 0 1 wr'), 'expected PROT: none, or letters of rwx'],
    ['slot flags', op('slot 0 0 1 A 0 rw'), 'expected FLAGS: a number, or names of ro log gmem'],
    ['a memfd', op('slot 0 0 1 A 0 gmem B 0'), 'expected GR: a region that was made before'],
    ['where to seek', op('flseek A 0 cur'), 'expected WHENCE: one of data hole end'],
    ['an unknown field of a step', ops({ op: 'cap 1', ret: 0, val: '0x0' }), 'ops[1].val: expected only'],
    ['no result', ops({ op: 'cap 1' }), 'ops[1]: expected one of ret err, found nothing'],
    ['two results', ops({ op: 'cap 1', ret: 0, err: 'EINVAL' }), 'ops[1]: expected one of ret err'],
    ['neither value nor signal', ops({ op: 'hr A 0' }), 'ops[1]: expected one of val sig'],
    ['no exits', ops({ op: 'gw 0 1 1' }), 'ops[1].ex: expected at least one exit'],
    ['no bits', ops({ op: 'dirty 0', ret: 0 }), 'ops[1].bits: expected bits, or an error'],
    ['bits of an error', ops({ op: 'dirty 0', err: 'ENOENT', bits: [] }), 'ops[1].bits: expected bits'],
    [
      'other bits by reads',
      ops({ op: 'dirty 0', ret: 0, bits: [1], by_read: [2] }),
      'ops[1].by_read: expected some',
    ],
    ['no mode', ops({ op: 'fstat A', ret: 0, size: 0, blocks: 0 }), 'ops[1].mode: expected a text'],
    [
      'a mode',
      ops({ op: 'fstat A', ret: 0, size: 0, blocks: 0, mode: '9' }),
      'ops[1].mode: expected a mode in octal',
    ],
    ['an unknown exit', exit({ x: 'HLT' }), 'ex[0].x: expected one of DONE MMIO'],
    ['data of a read', exit({ x: 'MMIO', gpa: 0, len: 1, wr: 0, data: '00' }), 'ex[0].data: expected only'],
    [
      'too few data',
      exit({ x: 'MMIO', gpa: 0, len: 2, wr: 1, data: '00' }),
      'ex[0].data: expected 2 bytes in hex',
    ],
    ['a field of an exit', exit({ x: 'DONE', gpa: 0 }), 'ex[0].gpa: expected only'],
    ['no errno of a fault', exit({ x: 'UNKNOWN' }), 'ex[0].err: expected a text'],
    [
      'no size of a fault',
      exit({ x: 'MEMORY_FAULT', err: 'EFAULT', flags: 0, gpa: 0 }),
      'ex[0].size: expected a whole',
    ],
    ['no suberror', exit({ x: 'INTERNAL_ERROR' }), 'ex[0].sub: expected a whole number'],
    [
      'no state of a region',
      ops({ op: 'region B anon 4', ret: 0 }),
      'ops[1].st: expected the state of the region, or mmap',
    ],
    [
      'the state of no region',
      ops({ op: 'cap 1', ret: 0, st: { B: {} } }),
      'st.B: expected a region that was made',
    ],
    ['a field of a state', state({ pss: 1 }), 'st.A.pss: expected only'],
    ['too few letters', state({ pg: '...' }), 'st.A.pg: expected 4 pages in all'],
    ['a letter', state({ pg: '...q' }), 'st.A.pg: expected letters of'],
    ['no resident pages', state({ rss: undefined }), 'st.A.rss: expected a whole number'],
    [
      'runs',
      wrap({ name: 't', ops: [{ op: 'region A anon 65', ret: 0, st: { A: { rss: 0, pg: '65' } } }] }),
      'pg: expected counts and letters',
    ],
    [
      'a huge count',
      wrap({ name: 't', ops: [{ op: 'region A anon 65', ret: 0, st: { A: { rss: 0, pg: '99999999.' } } }] }),
      'pg: expected 65 pages in all',
    ],
  ])('%s', (_name, text, message) => {
    const parse = () => parseKvmRecording(text, 'f.json');
    expect(parse).toThrow(SlatboxError);
    expect(parse).toThrow(expect.objectContaining({ code: 'SLB-031' }));
    expect(parse).toThrow(message);
  });
});
