// Who counts the selected range: each counter that somebody has, what it has of the range, and why.
// Reference: src/account/who.ts (the counters and their reasons).
import type { WhoCounts, WhoView } from '../../src/index.ts';
import { bytesText, formatAddress } from '../format.ts';

const VIEWS: Readonly<Record<WhoView, string>> = {
  guest: 'guest',
  kvm: 'KVM',
  process: 'VMM process',
  file: 'file',
  memcg: 'memory cgroup',
  host: 'host',
};

/** `who` is undefined where there can be no guest memory, and before the first answer. */
export function WhoPanel({ who }: { who: WhoCounts | undefined }) {
  if (!who) return <p className="quiet">Select guest memory on the map to see who counts it.</p>;
  return (
    <div className="who">
      <p>
        Who counts the <strong>{bytesText(who.length)}</strong> from <strong>{formatAddress(who.gpa)}</strong>{' '}
        on? Select another range on the map.
      </p>
      {/* biome-ignore lint/a11y/noNoninteractiveTabindex: a scrolled table has to be reachable by keyboard */}
      <section className="scroll" tabIndex={0} aria-label="Who counts it">
        <table>
          <thead>
            <tr>
              <th scope="col">whose</th>
              <th scope="col">counter</th>
              <th scope="col">has of it</th>
              <th scope="col">why</th>
            </tr>
          </thead>
          <tbody>
            {who.rows.map(({ view, counter, bytes, why }, i) => (
              <tr key={`${view} ${counter}`} className={bytes === 0 ? 'zero' : ''}>
                <td>{who.rows[i - 1]?.view === view ? '' : VIEWS[view]}</td>
                <th scope="row">
                  <code>{counter}</code>
                </th>
                <td className="number">{bytes < 0 ? `−${bytesText(-bytes)}` : bytesText(bytes)}</td>
                <td className="why">{why}</td>
              </tr>
            ))}
          </tbody>
        </table>
      </section>
    </div>
  );
}
