// The format of `hostcalls` recordings: one request a row, and the pages of the host afterwards.
// Reference: test/golden/pvmemcontrol/README.md, "Host calls".
import { FUNC_LAST } from '../../assembly/abi/pvmemcontrol.ts';
import type { Where } from './recording.ts';
import {
  asArray,
  asBoolean,
  asInteger,
  asObject,
  asString,
  asU64,
  at,
  malformed,
  parseJson,
} from './recording.ts';
import { asBacking, asBytes, asRam, type Backing, type TransportRam } from './transport-trace.ts';

export interface HostcallRequest {
  readonly func: number;
  readonly addr: bigint;
  readonly length: bigint;
}

export interface PageAfter {
  readonly page: bigint;
  /** `rw` `r-` `-w` `--` */
  readonly prot: string;
  /** A page other than the zero page is mapped in the VMM's page table. */
  readonly resident: boolean;
  readonly locked: boolean;
  readonly dontdump: boolean;
  readonly mergeable: boolean;
  /** What it may read as. */
  readonly content: readonly ('kept' | 'zero')[];
}

export interface HostcallRow extends HostcallRequest {
  readonly backing: Backing;
  readonly funcName: string;
  readonly scenario: string;
  readonly before: readonly HostcallRequest[];
  readonly errno: number;
  readonly code: number;
  readonly value: bigint;
  readonly pagesAfter: readonly PageAfter[];
}

export interface HostcallLayout {
  readonly ram: readonly TransportRam[];
  readonly buffer: bigint;
  /** Whole pages that hold `byte` everywhere before the first request. */
  readonly filled: { readonly gpa: bigint; readonly len: number; readonly byte: number };
}

export interface HostcallTrace {
  readonly layout: HostcallLayout;
  readonly rows: readonly HostcallRow[];
}

const PAGE_SIZE = 4096;

const CONTENT: Readonly<Record<string, PageAfter['content']>> = {
  kept: ['kept'],
  zero: ['zero'],
  'kept or zero (not defined)': ['kept', 'zero'],
};

function parseRequest(value: unknown, where: Where): HostcallRequest {
  const request = asObject(value, where);
  return {
    func: asInteger(request.func, at(where, 'func'), 0, FUNC_LAST),
    addr: asU64(request.addr, at(where, 'addr')),
    length: asU64(request.length, at(where, 'length')),
  };
}

function parsePage(value: unknown, where: Where): PageAfter {
  const page = asObject(value, where);
  const text = asString(page.content, at(where, 'content'));
  const content = Object.hasOwn(CONTENT, text) ? CONTENT[text] : undefined;
  if (!content) throw malformed(at(where, 'content'), Object.keys(CONTENT).join(' | '), text);
  const prot = asString(page.prot, at(where, 'prot'));
  if (!/^[r-][w-]$/.test(prot)) throw malformed(at(where, 'prot'), 'rw, r-, -w or --', prot);
  const flag = (key: string): boolean => asBoolean(page[key], at(where, key));
  return {
    page: asU64(page.page, at(where, 'page')),
    prot,
    resident: flag('resident'),
    locked: flag('locked'),
    dontdump: flag('dontdump'),
    mergeable: flag('mergeable'),
    content,
  };
}

function parseRow(value: unknown, where: Where): HostcallRow {
  const row = asObject(value, where);
  const text = (key: string): string => asString(row[key], at(where, key));
  const list = (key: string): readonly unknown[] => asArray(row[key], at(where, key));
  const u32 = (key: string): number => asInteger(row[key], at(where, key), 0, 2 ** 32 - 1);
  return {
    ...parseRequest(row, where),
    backing: asBacking(row.backing, at(where, 'backing')),
    funcName: text('func_name'),
    scenario: text('scenario'),
    before: list('before').map((item, i) => parseRequest(item, at(at(where, 'before'), i))),
    errno: u32('errno'),
    code: u32('ret_code'),
    value: asU64(row.ret_value, at(where, 'ret_value')),
    pagesAfter: list('pages_after').map((item, i) => parsePage(item, at(at(where, 'pages_after'), i))),
  };
}

function parseLayout(value: unknown, where: Where): HostcallLayout {
  const layout = asObject(value, where);
  const here = at(where, 'filled');
  const filled = asObject(layout.filled, here);
  const gpa = asU64(filled.gpa, at(here, 'gpa'));
  const len = asInteger(filled.len, at(here, 'len'), 0);
  if (gpa % BigInt(PAGE_SIZE) !== 0n || len % PAGE_SIZE !== 0) throw malformed(here, 'whole pages', filled);
  return {
    ram: asRam(layout.ram, at(where, 'ram')),
    buffer: asU64(layout.request_buffer_gpa, at(where, 'request_buffer_gpa')),
    filled: { gpa, len, byte: asBytes(filled.byte, at(here, 'byte'), 1)[0] ?? 0 },
  };
}

/** `host` and `limits` are informative and not looked at. */
export function parseHostcalls(text: string, file: string): HostcallTrace {
  const root: Where = { file, path: '' };
  const value = asObject(parseJson(text, file), root);
  const results = at(root, 'results');
  return {
    layout: parseLayout(value.layout, at(root, 'layout')),
    rows: asArray(value.results, results).map((row, i) => parseRow(row, at(results, i))),
  };
}
