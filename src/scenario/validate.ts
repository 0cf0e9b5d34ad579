// The compiled JSON Schema's findings as errors a person can act on: place, what is wrong, what would be right.
// SLB-011 unknown key, SLB-012 missing key, SLB-013 wrong value, SLB-016 unknown version of the format.
import { SlatboxError } from '../errors.ts';
import type { Path, Source } from './source.ts';
import { suggestion } from './suggest.ts';
import { schema, type ValidationError, validate } from './validator.generated.ts';

type SchemaNode = Readonly<Record<string, unknown>>;

/** Which of several findings about one value says it best; a keyword not listed comes last. */
const TELLING = ['additionalProperties', 'required', 'maxProperties', 'minProperties', 'anyOf'];

/** All problems of `value` with the format, in the order of the file; one per value. */
export function schemaProblems(value: unknown, source: Source): SlatboxError[] {
  if (validate(value)) return [];
  const best = new Map<string, ValidationError>();
  for (const e of validate.errors ?? []) {
    const other = best.get(e.instancePath);
    // An unknown key and a missing one are two mistakes or one misspelling; the unknown key shows which.
    if (other === undefined || rank(e) < rank(other)) best.set(e.instancePath, e);
  }
  const paths = [...best.keys()];
  const problems = [...best.values()]
    // An alternative fails as a whole when a value inside it is wrong; that value is the news.
    .filter((e) => e.keyword !== 'anyOf' || !paths.some((p) => p.startsWith(`${e.instancePath}/`)))
    .map((e) => toProblem(e, value, source));
  return inFileOrder(problems);
}

const rank = (e: ValidationError): number =>
  (TELLING.indexOf(e.keyword) + TELLING.length + 1) % (TELLING.length + 1);

export const inFileOrder = (problems: readonly SlatboxError[]): SlatboxError[] =>
  [...problems].sort(
    (a, b) => (a.place?.line ?? 0) - (b.place?.line ?? 0) || (a.place?.column ?? 0) - (b.place?.column ?? 0),
  );

function toProblem(e: ValidationError, root: unknown, source: Source): SlatboxError {
  const path = pathOf(e.instancePath);
  const node = schemaFor(path);
  const what = describePath(path);
  switch (e.keyword) {
    case 'additionalProperties': {
      const key = String(e.params.additionalProperty);
      const hint = suggestion(key, Object.keys(propertiesOf(node)));
      const text = what === '' ? `unknown key "${key}"` : `unknown key "${key}" in ${what}`;
      return new SlatboxError('SLB-011', text, hint, source.place([...path, key], 'key'));
    }
    case 'required': {
      const key = String(e.params.missingProperty);
      const about = propertiesOf(node)[key]?.description;
      const hint = typeof about === 'string' ? `${key}: ${about}` : undefined;
      const text = `${what === '' ? 'the scenario' : what} needs "${key}"`;
      return new SlatboxError('SLB-012', text, hint, source.place(path, 'key'));
    }
    case 'maxProperties':
      return wrong('a step is one action: a map with one key', 'start the next action with "- "');
    case 'minProperties':
      return wrong(`${what} is empty`);
  }
  const value = shorten(valueAt(root, path));
  if (path.length === 0) return wrong(`a scenario is a map, this is ${value}`, 'start with `version: 1`');
  if (what === 'version') {
    const hint = 'this slatbox reads `version: 1`';
    return new SlatboxError('SLB-016', `version ${value} is not known`, hint, source.place(path));
  }
  const about = typeof node?.description === 'string' ? node.description : undefined;
  return wrong(`${what}: ${value} is not ${expected(e, node)}`, about);

  function wrong(text: string, hint?: string): SlatboxError {
    return new SlatboxError('SLB-013', text, hint, source.place(path));
  }
}

/** What the schema wants, in words. */
function expected(e: ValidationError, node: SchemaNode | undefined): string {
  const branches = (node?.anyOf ?? [node]) as (SchemaNode | undefined)[];
  const whole = branches.find((b) => b?.type === 'integer');
  if (whole) {
    return whole.maximum === undefined
      ? 'a whole number or size, such as 4096, 0x1000, 4K, 1G, 5G+2M'
      : `a whole number from ${whole.minimum} to ${whole.maximum}`;
  }
  if (Array.isArray(node?.enum)) return `one of ${node.enum.join(', ')}`;
  if (node?.type === 'object') return 'a map';
  if (node?.type === 'array') return e.keyword === 'minItems' ? 'a list with something in it' : 'a list';
  if (e.keyword === 'pattern') return 'a name (letters, digits, _ and -)';
  if (node?.type === 'boolean') return 'true or false';
  return node?.type === 'string' ? 'text' : 'a value that fits here';
}

const pathOf = (pointer: string): Path =>
  pointer
    .split('/')
    .slice(1)
    .map((p) => p.replaceAll('~1', '/').replaceAll('~0', '~'))
    .map((p) => (/^\d+$/.test(p) ? Number(p) : p));

/** `steps[3].touch` for people: the first is 1. */
export const describePath = (path: Path): string =>
  path.reduce<string>(
    (text, p) => (typeof p === 'number' ? `${text}[${p + 1}]` : text === '' ? p : `${text}.${p}`),
    '',
  );

const child = (value: unknown, key: string | number): unknown =>
  typeof value === 'object' && value !== null && Object.hasOwn(value, key)
    ? (value as Record<string | number, unknown>)[key]
    : undefined;

const valueAt = (root: unknown, path: Path): unknown => path.reduce<unknown>(child, root);

function shorten(value: unknown): string {
  if (value === undefined) return 'nothing';
  const text = JSON.stringify(value) ?? String(value);
  return text.length > 60 ? `${text.slice(0, 57)}…` : text;
}

/** Follows `$ref`; a description beside the reference is the more specific one. */
function resolve(node: SchemaNode | undefined): SchemaNode | undefined {
  if (typeof node?.$ref !== 'string') return node;
  const target = pathOf(node.$ref.slice(1)).reduce<unknown>(child, schema) as SchemaNode | undefined;
  return { ...target, ...node, $ref: undefined };
}

const objectBranch = (node: SchemaNode | undefined): SchemaNode | undefined =>
  ((node?.anyOf ?? []) as SchemaNode[]).find((b) => b.type === 'object');

const propertiesOf = (node: SchemaNode | undefined): Readonly<Record<string, SchemaNode>> =>
  ((node?.properties ?? objectBranch(node)?.properties) as Record<string, SchemaNode> | undefined) ?? {};

/** The schema for the value at `path`. */
function schemaFor(path: Path): SchemaNode | undefined {
  let node: SchemaNode | undefined = schema;
  for (const part of path) {
    const patterns = Object.values((node?.patternProperties ?? {}) as Record<string, SchemaNode>);
    const next: unknown =
      typeof part === 'number' ? node?.items : (child(propertiesOf(node), part) ?? patterns[0]);
    node = resolve(next as SchemaNode | undefined);
  }
  return node;
}
