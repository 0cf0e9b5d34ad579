// A schedule: which thread takes the next step, step by step. As text it is letters with counts, `a5 b3 a2`: five
// steps of thread a, three of b, two of a. A step leads from one point to the next. Behind the end of the text nobody
// is interrupted any more, so the text of a failure is short, and can be pasted into a test.

export type Schedule = readonly number[];

const LETTERS = 'abcdefgh';

export const letterOf = (thread: number): string => LETTERS[thread] ?? '?';

/** The text of `steps`. Steps at the end that the default would choose anyway can be left out by the caller. */
export function formatSchedule(steps: Schedule): string {
  const out: string[] = [];
  for (let i = 0; i < steps.length; ) {
    let n = 1;
    while (steps[i + n] === steps[i]) n++;
    out.push(`${letterOf(steps[i] as number)}${n}`);
    i += n;
  }
  return out.join(' ');
}

export function parseSchedule(text: string): Schedule {
  return text
    .split(/\s+/)
    .filter((part) => part !== '')
    .flatMap((part) => {
      const [, letter, count] = /^([a-h])(\d+)$/.exec(part) ?? [];
      if (letter === undefined) throw new Error(`no part of a schedule: ${part}`);
      return new Array<number>(Number(count)).fill(LETTERS.indexOf(letter));
    });
}
