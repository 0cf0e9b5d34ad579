// All of the benchmark that measures nothing: what is owed, how it is judged, how a report becomes text and a picture.
// For tests, and for who has reports in files.
export { judge } from './judge.mjs';
export { withoutHugePages } from './native.mjs';
export { panels } from './plot.mjs';
export { owed, ROWS } from './rows.mjs';
export { picture } from './svg.mjs';
export { boundText, number } from './table.mjs';
