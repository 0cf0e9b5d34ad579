// Rows of two vCPU workers.
import { ROWS } from '../rows.mjs';

const later = async () => ({ abstain: 'vCPUs in workers of their own are not there yet' });

/** @type {Record<string, () => Promise<import('../judge.mjs').Measured>>} */
export const workers = Object.fromEntries(
  ROWS.filter(({ where }) => where === 'workers').map(({ id }) => [id, later]),
);
