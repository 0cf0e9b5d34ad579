// Types of library.mjs; the benchmark stays JavaScript so that it runs as it is.
export interface Bound {
  readonly valueAtMost?: number;
  readonly valueAtLeast?: number;
  readonly ratioAtMost?: number;
  readonly ratioAtLeast?: number;
}
export interface RowSpec {
  readonly id: string;
  readonly what: string;
  readonly unit: string;
  readonly against: string | null;
  readonly where: 'each' | 'once' | 'workers';
  readonly floor: Bound | null;
  readonly goal: Bound | null;
  readonly controlAtLeast?: number;
}
export interface Figure {
  readonly what: string;
  readonly value: number;
  readonly unit: string;
}
export type Build = 'plain' | 'threads';
export type Verdict = 'short' | 'abstained' | 'floor' | 'goal' | 'reported';
export type Measured = { readonly figures?: readonly Figure[]; readonly notes?: readonly string[] } & (
  | {
      readonly parts: readonly { readonly what: string; readonly value: number; readonly control?: number }[];
      readonly mean?: boolean;
      readonly controlMissing?: string;
    }
  | { readonly abstain: string }
);
export interface Case {
  readonly what: string;
  readonly value: number;
  readonly control: number | null;
  readonly ratio: number | null;
  readonly verdict: Verdict;
}
export interface Row extends Omit<RowSpec, 'where' | 'controlAtLeast'> {
  readonly build: Build | null;
  readonly value: number | null;
  readonly control: number | null;
  readonly ratio: number | null;
  readonly verdict: Verdict;
  readonly reason?: string;
  readonly cases: readonly Case[];
  readonly figures: readonly Figure[];
  readonly notes: readonly string[];
}
export interface Panel {
  readonly title: string;
  readonly lines: readonly {
    readonly label: string;
    readonly floor: number;
    readonly goal: number;
    readonly note?: string;
    readonly marks: readonly {
      readonly kind: Build | 'control';
      readonly at: number;
      readonly short?: boolean;
    }[];
  }[];
}

export declare const ROWS: readonly RowSpec[];
export declare function owed(spec: RowSpec, build: Build | null): RowSpec;
export declare function judge(spec: RowSpec, build: Build | null, measured: Measured): Row;
export declare function panels(rows: readonly Row[]): Panel[];
export declare function picture(panels: readonly Panel[], caption: string): string;
export declare function boundText(bound: Bound | null, unit: string): string;
export declare function number(value: number | null): string;
export declare function withoutHugePages(kib: number, bytes: number): string | undefined;
