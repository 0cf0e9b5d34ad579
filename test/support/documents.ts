// Code in documents: it runs, and prints what its comments say.
import { format } from 'node:util';
import * as api from '../../src/index.ts';

/** The fenced blocks of a language. */
export const blocks = (markdown: string, language: string): string[] =>
  [...markdown.matchAll(new RegExp(`^\`\`\`${language}\n(.*?)^\`\`\``, 'gms'))].map((m) => m[1] as string);

/** What the comments of an example say that it prints, behind `console.log(…)` or in lines of their own, and what it printed. */
export async function example(code: string): Promise<{ said: string[]; printed: string[] }> {
  const said = code.split('\n').flatMap((line) => {
    const comment = /(?:^|console\.log\(.*)\/\/ (.*)$/.exec(line);
    return comment ? [comment[1] as string] : [];
  });
  const printed: string[] = [];
  const fake = { log: (...values: unknown[]) => void printed.push(format(...values)) };
  const [, names = ''] = /^import \{ (.*) \} from 'slatbox';$/m.exec(code) ?? [];
  const AsyncFunction = Object.getPrototypeOf(async () => {}).constructor;
  await new AsyncFunction(
    'console',
    'slatbox',
    code.replace(/^import .*$/m, `const { ${names} } = slatbox;`),
  )(fake, api);
  return { said, printed };
}
