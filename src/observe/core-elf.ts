// Parts of an ELF64 core file for x86-64: header, program headers, notes.
// Reference: linux 6.18 fs/binfmt_elf.c, include/linux/elfcore.h, include/uapi/linux/elf.h.
import { PAGE_SIZE } from '../address.ts';
import type { MappedFile, Vma } from '../types.ts';
import type { CoreSegment } from './core-types.ts';

export const EHDR_SIZE = 64;
export const PHDR_SIZE = 56;
/** Of the one section header of a file with too many segments for e_phnum. */
export const SHDR_SIZE = 64;
/** e_phnum that says: the number is in sh_info of the first section header. */
const PN_XNUM = 0xffff;
const ET_CORE = 4;
const EM_X86_64 = 62;
const PT = { LOAD: 1, NOTE: 4 } as const;
const NT_PRSTATUS = 1;
const NT_PRPSINFO = 3;
const NT_FILE = 0x46494c45;
const NAME = 'slatbox';

const view = (bytes: Uint8Array): DataView => new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
const ascii = (text: string): Uint8Array => new TextEncoder().encode(text);
const align = (n: number, to: number): number => Math.ceil(n / to) * to;

export const isExtended = (segments: number): boolean => segments >= PN_XNUM;

/** ELF header and program headers. `end`: where the section header lies, if there are too many segments. */
export function elfHeaders(segments: readonly CoreSegment[], end: number): Uint8Array {
  const out = new Uint8Array(EHDR_SIZE + segments.length * PHDR_SIZE);
  const v = view(out);
  // Magic, 64 bits, little-endian, version 1; System V.
  out.set([0x7f, 0x45, 0x4c, 0x46, 2, 1, 1]);
  v.setUint16(16, ET_CORE, true);
  v.setUint16(18, EM_X86_64, true);
  v.setUint32(20, 1, true);
  v.setBigUint64(32, BigInt(EHDR_SIZE), true); // e_phoff
  v.setUint16(52, EHDR_SIZE, true);
  v.setUint16(54, PHDR_SIZE, true);
  v.setUint16(56, Math.min(segments.length, PN_XNUM), true);
  if (isExtended(segments.length)) {
    v.setBigUint64(40, BigInt(end), true); // e_shoff
    v.setUint16(58, SHDR_SIZE, true);
    v.setUint16(60, 1, true); // e_shnum
  }
  segments.forEach((s, i) => {
    const at = EHDR_SIZE + i * PHDR_SIZE;
    v.setUint32(at, PT[s.type], true);
    v.setUint32(at + 4, s.flags, true);
    v.setBigUint64(at + 8, BigInt(s.offset), true);
    v.setBigUint64(at + 16, s.vaddr, true);
    v.setBigUint64(at + 32, BigInt(s.filesz), true);
    v.setBigUint64(at + 40, BigInt(s.memsz), true);
    v.setBigUint64(at + 48, BigInt(s.align), true);
  });
  return out;
}

/** The section header that has the number of segments: sh_size 1 as e_shnum, sh_info. */
export function extendedNumbering(segments: number): Uint8Array {
  const out = new Uint8Array(SHDR_SIZE);
  view(out).setBigUint64(32, 1n, true);
  view(out).setUint32(44, segments, true);
  return out;
}

/** The notes of a process of one thread that no signal ended; NT_FILE only if it maps files. */
export function notes(pid: number, vmas: readonly Vma[]): Uint8Array {
  const parts = [note(NT_PRSTATUS, prstatus(pid)), note(NT_PRPSINFO, prpsinfo(pid))];
  if (vmas.some((vma) => vma.file)) parts.push(note(NT_FILE, fileTable(vmas)));
  const out = new Uint8Array(parts.reduce((sum, part) => sum + part.length, 0));
  let at = 0;
  for (const part of parts) {
    out.set(part, at);
    at += part.length;
  }
  return out;
}

function note(type: number, desc: Uint8Array): Uint8Array {
  const name = ascii('CORE\0');
  const descAt = 12 + align(name.length, 4);
  const out = new Uint8Array(descAt + align(desc.length, 4));
  const v = view(out);
  v.setUint32(0, name.length, true);
  v.setUint32(4, desc.length, true);
  v.setUint32(8, type, true);
  out.set(name, 12);
  out.set(desc, descAt);
  return out;
}

/** struct elf_prstatus: no signal, no times, every register 0, since the VMM here has no instructions. */
function prstatus(pid: number): Uint8Array {
  const out = new Uint8Array(336);
  const v = view(out);
  v.setInt32(32, pid, true); // pr_pid
  v.setInt32(40, pid, true); // pr_pgrp
  v.setInt32(44, pid, true); // pr_sid
  return out;
}

/** struct elf_prpsinfo */
function prpsinfo(pid: number): Uint8Array {
  const out = new Uint8Array(136);
  const v = view(out);
  out[1] = 'R'.charCodeAt(0); // pr_sname
  v.setInt32(24, pid, true); // pr_pid
  v.setInt32(32, pid, true); // pr_pgrp
  v.setInt32(36, pid, true); // pr_sid
  out.set(ascii(NAME), 40); // pr_fname[16]
  out.set(ascii(NAME), 56); // pr_psargs[80]
  return out;
}

/** count, page size; start, end, offset in pages of each; their names one behind the other. */
function fileTable(vmas: readonly Vma[]): Uint8Array {
  const mapped = vmas.filter((vma): vma is Vma & { file: MappedFile } => vma.file !== undefined);
  const names = ascii(mapped.map((vma) => `${vma.file.name}\0`).join(''));
  const out = new Uint8Array(16 + mapped.length * 24 + names.length);
  const v = view(out);
  v.setBigUint64(0, BigInt(mapped.length), true);
  v.setBigUint64(8, BigInt(PAGE_SIZE), true);
  mapped.forEach(({ start, end, file }, i) => {
    const at = 16 + i * 24;
    v.setBigUint64(at, start, true);
    v.setBigUint64(at + 8, end, true);
    v.setBigUint64(at + 16, BigInt(file.offset / PAGE_SIZE), true);
  });
  out.set(names, 16 + mapped.length * 24);
  return out;
}
