// `${name}` in machine and steps stands for a value of `params` (SLB-015).
import { SlatboxError } from '../errors.ts';
import type { ScalarSpec } from './format.ts';
import type { Path, Source } from './source.ts';
import { suggestion } from './suggest.ts';

const REFERENCE = /\$\{([^{}]*)\}/g;
const WHOLE = /^\$\{([^{}]*)\}$/;

export type Params = Readonly<Record<string, ScalarSpec>>;

/** A copy of `value` with every reference replaced. Text that is one reference alone keeps the parameter's type. */
export function substitute(
  value: unknown,
  params: Params,
  source: Source,
  path: Path,
  problems: SlatboxError[],
): unknown {
  const lookUp = (name: string): ScalarSpec => {
    if (Object.hasOwn(params, name)) return params[name] as ScalarSpec;
    problems.push(
      new SlatboxError(
        'SLB-015',
        `no parameter is called "${name}"`,
        suggestion(name, Object.keys(params)) ?? 'give it a value under `params:`',
        source.place(path),
      ),
    );
    return 0;
  };
  if (typeof value === 'string') {
    const whole = WHOLE.exec(value);
    if (whole) return lookUp(whole[1] as string);
    return value.replace(REFERENCE, (_, name: string) => String(lookUp(name)));
  }
  if (Array.isArray(value)) return value.map((v, i) => substitute(v, params, source, [...path, i], problems));
  if (typeof value !== 'object' || value === null) return value;
  return Object.fromEntries(
    Object.entries(value).map(([k, v]) => [k, substitute(v, params, source, [...path, k], problems)]),
  );
}
