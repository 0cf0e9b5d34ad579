// The SLAT walk of the selected page: EPT pointer, up to four entries, and where it ends; below, what the host has there.
// Reference: Intel SDM vol. 3, EPT paging structures; docs/web.md "Panels".
import { Button } from 'react-aria-components';
import { EPT_POINTER, eptEntryLayout } from '../../src/paging/index.ts';
import type { PageBacking, Walk, WalkEntry } from '../../src/types.ts';
import type { Theme } from '../draw/palette.ts';
import { formatAddress, fullHex } from '../format.ts';
import type { Inspected } from '../model/fields.ts';
import { BitInspector } from './bit-inspector.tsx';
import { PageFacts } from './page-facts.tsx';

export interface WalkPanelProps {
  readonly walk: Walk | undefined;
  readonly page: PageBacking | undefined;
  readonly isPrivate: boolean;
  readonly inspected: Inspected | undefined;
  /** Names of the VMs by their number. */
  readonly vms: readonly string[];
  readonly theme: Theme;
  readonly onInspect: (what: Inspected | undefined) => void;
  /** Another page, perhaps of another VM. */
  readonly onGoTo: (gpa: bigint, vm: number) => void;
}

const LEVEL_NAMES: Readonly<Record<number, string>> = { 4: 'PML4E', 3: 'PDPTE', 2: 'PDE', 1: 'PTE' };
/** What a leaf of a level maps. */
const REACH: Readonly<Record<number, string>> = { 3: '1 GiB', 2: '2 MiB', 1: '4 KiB' };

const entryTitle = (e: WalkEntry): string => `${LEVEL_NAMES[e.level] ?? `level ${e.level}`}[${e.index}]`;
const permissions = (e: WalkEntry): string =>
  `${e.read ? 'R' : '-'}${e.write ? 'W' : '-'}${e.execute ? 'X' : '-'}`;

function note(e: WalkEntry): string {
  if (!e.present) return 'not present';
  return e.leaf ? `${permissions(e)} maps ${REACH[e.level] ?? ''}` : permissions(e);
}

export function WalkPanel(props: WalkPanelProps) {
  const { walk, page, isPrivate, inspected, vms, theme, onInspect, onGoTo } = props;
  if (!walk) return <p className="quiet">Select a page on the map to see its walk.</p>;
  const n = walk.entries.length;
  return (
    <div className="walk">
      <p>
        SLAT walk of guest-physical <strong>{formatAddress(walk.gpa)}</strong> (KVM view): {n} table{' '}
        {n === 1 ? 'reference' : 'references'}
      </p>
      <ol className="walk-steps">
        <li>
          <Value
            title="EPTP"
            value={walk.eptp}
            note="root"
            inspected={inspected}
            onPress={() => onInspect({ title: 'EPTP', value: walk.eptp, layout: EPT_POINTER })}
          />
        </li>
        {walk.entries.map((e) => (
          <li key={e.level}>
            <Value
              title={entryTitle(e)}
              value={e.value}
              note={note(e)}
              inspected={inspected}
              onPress={() =>
                onInspect({ title: entryTitle(e), value: e.value, layout: eptEntryLayout(e.value, e.level) })
              }
            />
          </li>
        ))}
        <li className={walk.hpa === undefined ? 'walk-end absent' : 'walk-end'}>
          <WalkEnd walk={walk} />
        </li>
      </ol>
      {inspected ? <BitInspector what={inspected} onClose={() => onInspect(undefined)} /> : null}
      {page ? (
        <PageFacts walk={walk} page={page} isPrivate={isPrivate} vms={vms} theme={theme} onGoTo={onGoTo} />
      ) : null}
    </div>
  );
}

function WalkEnd({ walk: { hpa, slot, entries } }: { walk: Walk }) {
  if (hpa === undefined)
    return (
      <>
        <b>no translation</b>
        <span>
          {slot
            ? 'next access: SLAT violation, answered with a page of the backing or an exit'
            : 'next access: exit to the VMM (MMIO)'}
        </span>
      </>
    );
  return (
    <>
      <b>{entries.at(-1)?.level === 1 ? 'host frame' : 'in the huge page'}</b>
      <code>{formatAddress(hpa)}</code>
    </>
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
