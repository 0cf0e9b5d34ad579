// The AssemblyScript sources as text: constants and enums with their values, imports. Tests compare them with TypeScript.
import { readdirSync, readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';

export const PROJECT = fileURLToPath(new URL('../../', import.meta.url));

/** Source files below a folder of the project, as paths from its root, in order. */
export function sources(folder: string, extensions: readonly string[] = ['.ts']): string[] {
  return readdirSync(`${PROJECT}${folder}`, { recursive: true, withFileTypes: true })
    .filter(
      (entry) =>
        entry.isFile() && extensions.some((e) => entry.name.endsWith(e)) && !entry.name.endsWith('.d.ts'),
    )
    .map((entry) => `${entry.parentPath}/${entry.name}`.replace(PROJECT, '').replaceAll('//', '/'))
    .sort();
}

export const text = (path: string): string => readFileSync(`${PROJECT}${path}`, 'utf8');

/** Paths that a file imports or re-exports, with whether only types are. */
export function importsOf(path: string): { readonly from: string; readonly typeOnly: boolean }[] {
  const statement = /^(?:import|export)\s+(type\s)?[^;'"]*?from\s+['"]([^'"]+)['"]/gm;
  return Array.from(text(path).matchAll(statement), ([, type, from]) => ({
    from: from as string,
    typeOnly: type !== undefined,
  }));
}

/**
 * Values of the constants of a file (exported or not), by name. Integer expressions over the file's own earlier
 * constants and `given`; casts are dropped, so values stay below 2^53.
 */
export function constants(
  path: string,
  given: Readonly<Record<string, bigint>> = {},
): Record<string, bigint> {
  const known: Record<string, bigint> = { ...given };
  const own: Record<string, bigint> = {};
  for (const [, name, expression] of text(path).matchAll(/^(?:export )?const (\w+)(?:: \w+)? = ([^;]+);/gm)) {
    const source = (expression as string)
      .replace(/<\w+>/g, '')
      .replace(/\b(0x[0-9a-fA-F_]+|\d[\d_]*)\b/g, '$1n')
      .replace(/\b[A-Za-z_]\w*\b(?!n\b)/g, (word) => (word in known ? `${known[word]}n` : word));
    if (!/^[\s()0-9a-fA-Fxn_<>|&~+*-]+$/.test(source)) continue;
    const value = BigInt(new Function(`return ${source}`)() as bigint);
    known[name as string] = value;
    own[name as string] = value;
  }
  return own;
}

/** Members of an enum, with explicit values, of a file. */
export function enumMembers(path: string, name: string): Record<string, number> {
  const body = new RegExp(`export enum ${name} \\{([^}]*)\\}`).exec(text(path))?.[1] ?? '';
  const members = Array.from(
    body.matchAll(/^\s*(\w+) = (\w+),/gm),
    ([, key, value]) => [key as string, Number(value)] as const,
  );
  return Object.fromEntries(members);
}
