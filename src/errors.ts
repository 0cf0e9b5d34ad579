// Misuse by the caller. What the guest does wrong is data (errno, device state, exit), never one of these.

/** Where in a file an error is: 1-based line and column, and the text of the line. */
export interface Place {
  readonly file: string;
  readonly line: number;
  readonly column: number;
  readonly length: number;
  readonly source: string;
}

/** `code` is stable and documented in docs/errors.md; `hint` says what to do instead. */
export class SlatboxError extends Error {
  override readonly name = 'SlatboxError';
  readonly code: `SLB-${string}`;
  readonly hint: string | undefined;
  readonly place: Place | undefined;

  constructor(code: `SLB-${string}`, message: string, hint?: string, place?: Place) {
    super(message);
    this.code = code;
    this.hint = hint;
    this.place = place;
  }
}
