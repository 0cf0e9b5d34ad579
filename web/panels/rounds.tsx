// The rounds of a migration, as a table: what each had to copy, and what the guest wrote meanwhile.
// Reference: src/vmm/migration.ts.
import type { StepResult } from '../../src/scenario/index.ts';
import { count } from '../format.ts';

export function Rounds({ rounds }: { rounds: NonNullable<StepResult['rounds']> }) {
  return (
    <div className="scroll">
      <table className="rounds">
        <caption>Rounds of the migration, in pages</caption>
        <thead>
          <tr>
            <th scope="col">round</th>
            <th scope="col">dirty</th>
            <th scope="col">copied, not zero</th>
            <th scope="col">written meanwhile</th>
          </tr>
        </thead>
        <tbody>
          {rounds.map(({ pages, copied, dirtied }, i) => (
            // biome-ignore lint/suspicious/noArrayIndexKey: rounds are numbered, and never change
            <tr key={i}>
              <th scope="row">{i === rounds.length - 1 ? `${i + 1}, guest stopped` : i + 1}</th>
              {[pages, copied, dirtied].map((n, j) => (
                // biome-ignore lint/suspicious/noArrayIndexKey: three columns
                <td key={j} className={n === 0 ? 'number zero' : 'number'}>
                  {count(n)}
                </td>
              ))}
            </tr>
          ))}
        </tbody>
      </table>
    </div>
  );
}
