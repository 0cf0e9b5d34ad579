// The command line in this process: what it prints, and its exit code.
import { main } from '../../src/cli/main.ts';
import { createFile } from '../../src/cli/output-file.ts';

/** `argv` is parted at spaces; every file that is read holds `file`. */
export async function runCli(
  argv: string,
  file: string,
): Promise<{ code: number; out: string; err: string }> {
  let [out, err] = ['', ''];
  const code = await main(argv.split(' '), {
    out: (text) => {
      out += text;
    },
    err: (text) => {
      err += text;
    },
    errIsTty: false,
    outIsTty: false,
    env: {},
    create: createFile,
    read: () => new TextEncoder().encode(file),
  });
  return { code, out, err };
}
