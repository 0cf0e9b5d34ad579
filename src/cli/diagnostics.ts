// Errors as a person reads them: code, what is wrong, the line with a caret, what to do. Never a stack trace.
// Exit codes: docs/cli.md.
import type { SlatboxError } from '../errors.ts';
import type { Colors } from './io.ts';

export enum ExitCode {
  Ok = 0,
  /** An expectation or a conform case failed. */
  Failed = 1,
  /** The command line is wrong, or names a file that cannot be read. */
  Usage = 2,
  /** The scenario is invalid. */
  Invalid = 3,
  /** `--strict`: a guest error that nothing expected. */
  Unexpected = 4,
  /** A bug of slatbox. */
  Internal = 70,
}

/** Files that cannot be read, recordings that are not understood and wrong arguments are the caller's. */
export function exitCodeOf(code: string): ExitCode {
  // A core that cannot be loaded is a broken installation, whatever was run; a lost thread is a bug or an exhausted machine.
  if (['SLB-070', 'SLB-026', 'SLB-052'].includes(code)) return ExitCode.Internal;
  return code === 'SLB-001' || /^SLB-0[34]/.test(code) ? ExitCode.Usage : ExitCode.Invalid;
}

/**
 *     error[SLB-011]: unknown key "lenn"
 *       ┌─ bad.yaml:7:24
 *     7 │   - dontneed: { gpa: 1G, lenn: 4K }
 *       │                          ^^^^
 *       = help: did you mean "len"?
 */
export function formatError(error: SlatboxError, c: Colors): string {
  const lines = [`${c.red(c.bold(`error[${error.code}]`))}: ${printable(error.message)}`];
  const { place } = error;
  if (place) {
    const number = String(place.line);
    const margin = ' '.repeat(number.length);
    const bar = c.blue('│');
    const source = printable(place.source.replaceAll('\t', ' '));
    const column = Math.min(place.column, source.length + 1);
    const carets = '^'.repeat(Math.max(1, Math.min(place.length, source.length - column + 1)));
    lines.push(
      `${margin} ${c.blue('┌─')} ${place.file}:${place.line}:${place.column}`,
      `${c.blue(number)} ${bar} ${source}`,
      `${margin} ${bar} ${' '.repeat(column - 1)}${c.red(carets)}`,
    );
  }
  if (error.hint !== undefined) {
    const margin = place ? ' '.repeat(String(place.line).length + 1) : '  ';
    lines.push(`${margin}${c.blue('=')} help: ${printable(error.hint)}`);
  }
  return `${lines.join('\n')}\n`;
}

/** Control characters of a file do not reach the terminal. */
// biome-ignore lint/suspicious/noControlCharactersInRegex: they are what this is about
const printable = (text: string): string => text.replace(/[\x00-\x08\x0b-\x1f\x7f-\x9f]/g, '·');

/** What to send us; no stack trace, but enough to find the place. */
export function formatFault(error: unknown, version: string, argv: readonly string[], c: Colors): string {
  const what = error instanceof Error ? `${error.name}: ${error.message}` : String(error);
  return [
    `${c.red(c.bold('error[SLB-070]'))}: internal fault, a bug of slatbox: ${printable(what)}`,
    '  = help: please report it with the file you ran and these lines:',
    `    slatbox ${version}, node ${process.version}, ${process.platform} ${process.arch}`,
    `    arguments: ${JSON.stringify(argv)}`,
    '',
  ].join('\n');
}
