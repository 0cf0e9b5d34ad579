// The version in package.json, which is two folders up in a checkout and three up in dist/.
import { readFileSync } from 'node:fs';

export function readVersion(): string {
  for (const up of ['../../package.json', '../../../package.json']) {
    try {
      const { name, version } = JSON.parse(readFileSync(new URL(up, import.meta.url), 'utf8'));
      if (name === 'slatbox') return version;
    } catch {
      // the other one
    }
  }
  return 'unknown';
}
