// The SLAT walk of the selected page: EPT pointer, up to four entries, and where it ends.
// Reference: Intel SDM vol. 3, EPT paging structures; docs/web.md "Panels".
import { Button } from 'react-aria-components';
import type { Walk, WalkEntry } from '../../src/types.ts';
import { bytesText, formatAddress, fullHex } from '../format.ts';
import { EPT_ABSENT, EPT_LEAF, EPT_TABLE, EPTP, type Inspected } from '../model/fields.ts';
import { BitInspector } from './bit-inspector.tsx';

export interface WalkPanelProps {
  readonly walk: Walk | undefined;
  readonly inspected: Inspected | undefined;
  readonly onInspect: (what: Inspected | undefined) => void;
}

const LEVEL_NAMES: Readonly<Record<number, string>> = { 4: 'PML4E', 3: 'PDPTE', 2: 'PDE', 1: 'PTE' };
const LETTERS: Readonly<Record<string, string>> = {
  '.': 'no page: nothing was ever stored or loaded here, or it was dropped',
  z: 'the shared zero page',
  a: 'anonymous page in a frame of its own',
  l: 'lazily freed and clean: the host may drop it',
  d: 'lazily freed, then written again: kept',
  s: 'swapped out',
  x: 'no VMA',
  '-': 'no memslot',
};

const entryTitle = (e: WalkEntry): string => `${LEVEL_NAMES[e.level] ?? `level ${e.level}`}[${e.index}]`;
const permissions = (e: WalkEntry): string =>
  `${e.read ? 'R' : '-'}${e.write ? 'W' : '-'}${e.execute ? 'X' : '-'}`;

export function WalkPanel({ walk, inspected, onInspect }: WalkPanelProps) {
  if (!walk) return <p className="quiet">Select a page on the map to see its walk.</p>;
  const last = walk.entries.at(-1);
  return (
    <div className="walk">
      <p>
        SLAT walk of guest-physical <strong>{formatAddress(walk.gpa)}</strong>, {walk.entries.length} of 4
        references
      </p>
      <ol className="walk-steps">
        <li>
          <Value
            title="EPTP"
            value={walk.eptp}
            note="root"
            inspected={inspected}
            onPress={() => onInspect({ title: 'EPTP', value: walk.eptp, layout: EPTP })}
          />
        </li>
        {walk.entries.map((e) => (
          <li key={e.level}>
            <Value
              title={entryTitle(e)}
              value={e.value}
              note={e.present ? permissions(e) : 'not present'}
              inspected={inspected}
              onPress={() =>
                onInspect({
                  title: entryTitle(e),
                  value: e.value,
                  layout: !e.present ? EPT_ABSENT : e.leaf ? EPT_LEAF : EPT_TABLE,
                })
              }
            />
          </li>
        ))}
        <li className={walk.hpa === undefined ? 'walk-end absent' : 'walk-end'}>
          {walk.hpa === undefined ? (
            <>
              <b>no translation</b>
              <span>
                {walk.slot
                  ? 'next access: SLAT violation, answered with a page of the backing or an exit'
                  : 'next access: exit to the VMM (MMIO)'}
              </span>
            </>
          ) : (
            <>
              <b>host frame</b>
              <code>{formatAddress(walk.hpa)}</code>
            </>
          )}
        </li>
      </ol>
      {inspected ? <BitInspector what={inspected} onClose={() => onInspect(undefined)} /> : null}
      <dl className="facts">
        <dt>page</dt>
        <dd>
          <code>{walk.page}</code> {LETTERS[walk.page] ?? ''}
        </dd>
        <dt>host-virtual</dt>
        <dd>{walk.hva === undefined ? 'none' : <code>{formatAddress(walk.hva)}</code>}</dd>
        <dt>memslot</dt>
        <dd>
          {walk.slot ? (
            <>
              slot {walk.slot.id}: <code>{formatAddress(walk.slot.gpa)}</code> +{bytesText(walk.slot.size)} at{' '}
              <code>{formatAddress(walk.slot.hva)}</code>
            </>
          ) : (
            'none: the device window, a hole, or beyond RAM'
          )}
        </dd>
        <dt>last entry</dt>
        <dd>
          {last ? (
            <>
              at host-physical <code>{formatAddress(last.at)}</code>
            </>
          ) : (
            'none'
          )}
        </dd>
      </dl>
    </div>
  );
}

interface ValueProps {
  readonly title: string;
  readonly value: bigint;
  readonly note: string;
  readonly inspected: Inspected | undefined;
  readonly onPress: () => void;
}

function Value({ title, value, note, inspected, onPress }: ValueProps) {
  return (
    <Button className={`value${inspected?.title === title ? ' current' : ''}`} onPress={onPress}>
      <b>{title}</b>
      <code>{fullHex(value, 64)}</code>
      <span className="quiet">{note}</span>
    </Button>
  );
}
