#!/usr/bin/env node
// The `slatbox` command. `main` takes its world as arguments, so that tests can call it.
import { realpathSync } from 'node:fs';
import { pathToFileURL } from 'node:url';
import { CommanderError } from 'commander';
import { SlatboxError } from '../errors.ts';
import { ExitCode, exitCodeOf, formatError, formatFault } from './diagnostics.ts';
import { colorsFor, type Io, nodeIo } from './io.ts';
import { buildProgram } from './program.ts';
import { readVersion } from './version.ts';

/** Runs one command line (without node and script); the exit code. Never throws. */
export async function main(argv: readonly string[], io: Io = nodeIo): Promise<number> {
  const version = readVersion();
  let code = ExitCode.Ok;
  const program = buildProgram(io, version, (c) => {
    code = c;
  });
  const colors = () => colorsFor(io, String(program.opts().color ?? 'auto'), io.errIsTty);
  try {
    await program.parseAsync([...argv], { from: 'user' });
    return code;
  } catch (error) {
    // Help and version are answers; everything else that commander throws is a wrong command line.
    if (error instanceof CommanderError) return error.exitCode === 0 ? ExitCode.Ok : ExitCode.Usage;
    if (error instanceof SlatboxError) {
      io.err(formatError(error, colors()));
      return exitCodeOf(error.code);
    }
    io.err(formatFault(error, version, argv, colors()));
    return ExitCode.Internal;
  }
}

/** This file was started, not imported; npm starts it through a link. */
function isStarted(): boolean {
  const script = process.argv[1];
  if (script === undefined) return false;
  try {
    return import.meta.url === pathToFileURL(realpathSync(script)).href;
  } catch {
    return false;
  }
}

if (isStarted()) {
  // `slatbox … | head` closes the pipe when it has seen enough: that is no error.
  process.stdout.on('error', (error: NodeJS.ErrnoException) => {
    if (error.code === 'EPIPE') process.exit(ExitCode.Ok);
    throw error;
  });
  process.exitCode = await main(process.argv.slice(2));
}
