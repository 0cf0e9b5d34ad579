// The small parts of the scenario file format: numbers, names, objects without unknown keys.
import Type, { type TSchema } from 'typebox';

export const MAX_CPUS = 32;

const NUMBER = '(0[xX][0-9a-fA-F_]+|[0-9][0-9_]*)([KMGTkmgt]([iI]?[bB])?)?';
const PARAM = '\\$\\{[A-Za-z_][A-Za-z0-9_]*\\}';
const TERM = `(${NUMBER}|${PARAM})`;
export const Integer = Type.Union(
  [Type.Integer({ minimum: 0 }), Type.String({ pattern: `^\\s*${TERM}(\\s*\\+\\s*${TERM})*\\s*$` })],
  { description: 'a whole number, or text such as 4K, 5G+2M, 0x1000' },
);
/** An address, a size or a 64-bit value. */
export const integer = (description: string) => Type.Ref('Integer', { description });
export const strict = { additionalProperties: false } as const;
export const object = <P extends Record<string, TSchema>>(properties: P, description: string) =>
  Type.Object(properties, { ...strict, description });
/** A small whole number, or a `${param}`. */
export const small = (minimum: number, maximum: number, description: string) =>
  Type.Union([Type.Integer({ minimum, maximum }), Type.String({ pattern: `^${PARAM}$` })], { description });
export const name = (description: string) =>
  Type.String({ pattern: '^[A-Za-z_][A-Za-z0-9_-]*$', description });

export const Scalar = Type.Union([Type.Number(), Type.String(), Type.Boolean(), Type.Null()]);

export type IntegerSpec = number | string;
export type ScalarSpec = number | string | boolean | null;
