// YAML text to plain values, and back from a place in the value to line and column (SLB-003 … SLB-005).
// Reference: YAML 1.2 core schema; docs/errors.md.
import { isAlias, isMap, isScalar, isSeq, LineCounter, type Node, parseDocument } from 'yaml';
import { type Place, SlatboxError } from '../errors.ts';

export type Path = readonly (string | number)[];

const MAX_TEXT = 4 << 20;
/** More than any hand-written file needs, and too few for a "billion laughs" file. */
const MAX_ALIASES = 100;
const MAX_DEPTH = 64;
const SHOWN_COLUMNS = 200;

export class Source {
  readonly file: string;
  readonly #text: string;
  readonly #lines = new LineCounter();
  readonly #doc;
  /** Maps, lists, strings, numbers, booleans, null; whole numbers beyond 2^53 are decimal text. */
  readonly value: unknown;

  /** Throws the first error of the text. */
  constructor(text: string, file: string) {
    this.file = file;
    this.#text = text;
    if (text.length > MAX_TEXT) {
      throw new SlatboxError(
        'SLB-004',
        `${file} is larger than ${MAX_TEXT >> 20} MiB`,
        'use `repeat` instead of many steps',
      );
    }
    try {
      this.#doc = parseDocument(text, { lineCounter: this.#lines, intAsBigInt: true, prettyErrors: false });
    } catch (error) {
      throw this.#tooDeep(error);
    }
    const [error] = this.#doc.errors;
    if (error && /call stack/.test(error.message)) throw this.#tooDeep(new RangeError('nested too deeply'));
    if (error)
      throw new SlatboxError('SLB-003', firstLine(error.message), undefined, this.#place(...error.pos));
    if (this.#doc.contents === null) {
      throw new SlatboxError('SLB-005', `${file} is empty`, 'start with `version: 1`, `title:` and `steps:`');
    }
    try {
      this.value = plain(this.#doc.toJS({ maxAliasCount: MAX_ALIASES }), 0);
    } catch (error) {
      throw this.#tooDeep(error);
    }
  }

  #tooDeep(error: unknown): SlatboxError {
    if (error instanceof SlatboxError) return error;
    if (error instanceof RangeError || error instanceof ReferenceError || error instanceof TypeError) {
      return new SlatboxError(
        'SLB-004',
        `${this.file}: ${firstLine(error.message)}`,
        'write it without so much nesting or so many aliases',
      );
    }
    throw error;
  }

  /** The place of a value, or with `key` of its key; where the path leads nowhere, of what is nearest. */
  place(path: Path, what: 'key' | 'value' = 'value'): Place {
    let node: unknown = this.#doc.contents;
    let keyNode: unknown;
    for (const part of path) {
      const container: unknown = isAlias(node) ? node.resolve(this.#doc) : node;
      let next: unknown;
      if (isMap(container)) {
        const pair = container.items.find(
          (p) => String(isScalar(p.key) ? p.key.value : p.key) === String(part),
        );
        keyNode = pair?.key;
        next = pair?.value ?? pair?.key;
      } else if (isSeq(container)) {
        next = container.items[Number(part)];
        keyNode = next;
      }
      if (next === undefined || next === null) break;
      node = next;
    }
    const range = ((what === 'key' && keyNode ? keyNode : node) as Node | null)?.range;
    return range ? this.#place(range[0], range[1]) : this.#place(0, 0);
  }

  #place(start: number, end: number): Place {
    const { line, col } = this.#lines.linePos(Math.min(start, this.#text.length));
    const from = start - (col - 1);
    const newline = this.#text.indexOf('\n', from);
    const source = this.#text.slice(from, newline < 0 ? undefined : newline).trimEnd();
    const length = Math.max(1, Math.min(end, from + source.length) - start);
    return {
      file: this.file,
      line: Math.max(1, line),
      column: Math.max(1, col),
      length,
      source: source.slice(0, SHOWN_COLUMNS),
    };
  }
}

const firstLine = (text: string): string => text.split('\n', 1)[0] as string;

/** bigint → number where it is exact; the rest of the program knows no YAML. */
function plain(value: unknown, depth: number): unknown {
  if (depth > MAX_DEPTH) throw new RangeError(`nested deeper than ${MAX_DEPTH} levels`);
  if (typeof value === 'bigint') {
    const n = Number(value);
    return Number.isSafeInteger(n) ? n : value.toString();
  }
  if (Array.isArray(value)) return value.map((v) => plain(v, depth + 1));
  if (value instanceof Uint8Array || typeof value !== 'object' || value === null) return value;
  return Object.fromEntries(Object.entries(value).map(([k, v]) => [k, plain(v, depth + 1)]));
}
