// Replays recordings of single requests (`slatbox conform hostcalls`): the answer, and what the host sees
// of the pages afterwards. Reference: test/golden/pvmemcontrol/README.md, "Host calls".
import { type Gpa, type Hva, hex, PAGE_SIZE } from '../address.ts';
import { decodeResponse, encodeRequest } from '../guest/uapi.ts';
import type { Response } from '../types.ts';
import {
  type HostcallLayout,
  type HostcallRequest,
  type HostcallRow,
  type PageAfter,
  parseHostcalls,
} from './hostcalls-trace.ts';
import { type Comparison, type ReplayCase, runCase } from './report.ts';
import type { OpenVm, ReplayVm, TransportDoor } from './transport-door.ts';
import { openRecordedVm, transportDoorOf } from './transport-door.ts';
import type { Backing } from './transport-trace.ts';

// The recording's wire bytes, spelled out: a replay must not agree with the engine's own constants by default.
const PAYLOAD = 0;
const COMMAND = 8;
const RESET = 0x060fe6d2;
const REGISTER = 0x0e359539;
const READY = 0x0ca8d227;
const ACK = 0x03cf5196;
const FIRST_ID = 0x80000000;
const BUF_SIZE = 32;

function u32(value: number): Uint8Array {
  const bytes = new Uint8Array(4);
  new DataView(bytes.buffer).setUint32(0, value, true);
  return bytes;
}

function u64(value: bigint): Uint8Array {
  const bytes = new Uint8Array(8);
  new DataView(bytes.buffer).setBigUint64(0, value, true);
  return bytes;
}

function connect(door: TransportDoor, buffer: bigint, c: Comparison): void {
  for (const command of [RESET, REGISTER, READY]) {
    if (command === REGISTER) door.mmioWrite(PAYLOAD, u64(buffer));
    door.mmioWrite(COMMAND, u32(command));
    const answer = new Uint8Array(4);
    door.mmioRead(COMMAND, answer);
    const value = new DataView(answer.buffer).getUint32(0, true);
    if (value !== ACK) c.differ(`${hex(command)} answered with ACK`, hex(value));
  }
}

function send(door: TransportDoor, buffer: bigint, { func, addr, length }: HostcallRequest): Response {
  door.memWrite(buffer, encodeRequest(BigInt(func), addr, length));
  door.mmioWrite(COMMAND, u32(FIRST_ID));
  return decodeResponse(door.memRead(buffer, BUF_SIZE));
}

/**
 * Private RAM is filled through the VMM's mapping, so that its pages are mapped before the request; shared RAM through its
 * file, so that they are not.
 */
function fill(
  vm: ReplayVm,
  backing: Backing,
  { gpa, len, byte }: HostcallLayout['filled'],
  c: Comparison,
): void {
  for (let at = gpa; at < gpa + BigInt(len); at += BigInt(PAGE_SIZE)) {
    const hva = vm.vmm.hvaOf(at as Gpa);
    if (hva === undefined) c.differ(`RAM at ${hex(at)}`, 'none');
    if (backing === 'shared') {
      c.equal(`a page of the file at ${hex(at)}`, 0, vm.vmm.fileWrite(hva, 4096n, byte).errno);
      continue;
    }
    const access = vm.vmm.fillPage(hva, byte);
    if (!access.ok) c.differ(`a page at ${hex(at)}`, access.signal);
  }
}

/** Page letters of pages that are not in the page table, or are the zero page there. */
const NOT_RESIDENT = '.zZsxcg-';

/** Protection, flags and residency: what smaps and pagemap of the VMM tell. */
function comparePage(vm: ReplayVm, wanted: PageAfter, c: Comparison): void {
  const name = (what: string): string => `page ${hex(wanted.page)} ${what}`;
  const hva = vm.vmm.hvaOf(wanted.page as Gpa);
  if (hva === undefined) c.differ(`RAM at ${hex(wanted.page)}`, 'none');
  const vma = vm.observe.vmas().find(({ start, end }) => start <= hva && hva < end);
  if (!vma) c.differ(`a VMA at ${hex(hva)}`, 'none');
  const letter = vm.observe.pageLetters(hva as Hva, 1);
  c.equal(name('prot'), wanted.prot, vma.perm.slice(0, 2));
  c.equal(name('resident'), wanted.resident, !NOT_RESIDENT.includes(letter));
  c.equal(name('locked'), wanted.locked, vma.flags.includes('lo'));
  c.equal(name('dontdump'), wanted.dontdump, vma.flags.includes('dd'));
  c.equal(name('mergeable'), wanted.mergeable, vma.flags.includes('mg'));
}

function contentOf(bytes: Uint8Array, filled: number): string {
  if (bytes.every((byte) => byte === filled)) return 'kept';
  return bytes.every((byte) => byte === 0) ? 'zero' : 'something else';
}

/** One row on a fresh machine. The steps are the requests; the pages belong to the last one. */
export function replayHostcall(row: HostcallRow, layout: HostcallLayout, open: OpenVm) {
  return runCase(row.before.length + 1, async (c) => {
    const vm = await openRecordedVm(open, { backing: row.backing, ram: layout.ram });
    const door = transportDoorOf(vm);
    connect(door, layout.buffer, c);
    fill(vm, row.backing, layout.filled, c);
    for (const [i, request] of row.before.entries()) {
      c.begin(i, describe(request));
      const { errno } = send(door, layout.buffer, request);
      // Not recorded, but without it the situation that the row is about does not exist.
      if (errno !== 0) c.differ('errno 0', `errno ${errno}`);
    }
    c.begin(row.before.length, describe(row));
    const response = send(door, layout.buffer, row);
    c.equal('errno', row.errno, response.errno);
    c.equal('ret_code', row.code, response.code);
    c.equal('ret_value', row.value, response.value);
    for (const page of row.pagesAfter) comparePage(vm, page, c);
    // Last, because looking may change what is resident.
    for (const { page, content } of row.pagesAfter) {
      const found = contentOf(door.memRead(page, PAGE_SIZE), layout.filled.byte);
      const wanted = (content as readonly string[]).includes(found) ? found : content.join(' or ');
      c.equal(`page ${hex(page)} content`, wanted, found);
    }
  });
}

const describe = ({ func, addr, length }: HostcallRequest): string =>
  `request of function ${func}, addr ${hex(addr)}, length ${length}`;

/** The cases of a `hostcalls` file, in its order, named `backing/func_name/scenario`. */
export function hostcallsCases(text: string, file: string, open: OpenVm): ReplayCase[] {
  const { layout, rows } = parseHostcalls(text, file);
  return rows.map((row) => ({
    file,
    name: `${row.backing}/${row.funcName}/${row.scenario}`,
    tags: [],
    properties: { backing: row.backing, func: row.funcName, scenario: row.scenario },
    run: () => replayHostcall(row, layout, open),
  }));
}
