// The VMM's mappings of guest RAM as a table, and the smaps text they come from.
// Reference: proc(5), /proc/pid/smaps; linux fs/proc/task_mmu.c.
import { useState } from 'react';
import { Cell, Column, Row, Table, TableBody, TableHeader, ToggleButton } from 'react-aria-components';
import type { Vma } from '../../src/types.ts';
import { bytesText, count, hex } from '../format.ts';

export interface VmasPanelProps {
  readonly vmas: readonly Vma[];
  readonly total: number;
  /** hva of the selected page, to mark its row. */
  readonly selected: bigint | undefined;
  readonly smaps: string | undefined;
  readonly onShowSmaps: () => void;
  readonly onSelect: (vma: Vma) => void;
}

const SIZES = [
  'size',
  'rss',
  'pss',
  'anonymous',
  'anonHugePages',
  'privateHugetlb',
  'lazyFree',
  'ksm',
  'swap',
  'locked',
] as const;
const HEADS: Readonly<Record<(typeof SIZES)[number], string>> = {
  size: 'Size',
  rss: 'Rss',
  pss: 'Pss',
  anonymous: 'Anonymous',
  anonHugePages: 'AnonHugePages',
  privateHugetlb: 'Private_Hugetlb',
  lazyFree: 'LazyFree',
  ksm: 'KSM',
  swap: 'Swap',
  locked: 'Locked',
};

export function VmasPanel({ vmas, total, selected, smaps, onShowSmaps, onSelect }: VmasPanelProps) {
  const [raw, setRaw] = useState(false);
  const current = vmas.find((v) => selected !== undefined && selected >= v.start && selected < v.end);
  return (
    <div className="vmas">
      <p>
        {count(total)} {total === 1 ? 'mapping' : 'mappings'} of guest RAM in the VMM process (host view).{' '}
        {total > vmas.length ? `The first ${count(vmas.length)} are shown. ` : ''}
        <ToggleButton
          isSelected={raw}
          onChange={(on) => {
            setRaw(on);
            if (on) onShowSmaps();
          }}
        >
          smaps text
        </ToggleButton>
      </p>
      {raw && smaps !== undefined ? (
        // biome-ignore lint/a11y/noNoninteractiveTabindex: a scrolled text has to be reachable by keyboard
        <section className="smaps scroll" tabIndex={0} aria-label="smaps of the VMM">
          <pre>{smaps}</pre>
        </section>
      ) : (
        <div className="scroll">
          <Table
            aria-label="Mappings of guest RAM"
            selectionMode="single"
            selectionBehavior="replace"
            selectedKeys={current ? [hex(current.start)] : []}
            onSelectionChange={(keys) => {
              const vma = vmas.find((v) => keys !== 'all' && keys.has(hex(v.start)));
              if (vma) onSelect(vma);
            }}
          >
            <TableHeader>
              <Column isRowHeader>range</Column>
              <Column>perm</Column>
              <Column>name</Column>
              {SIZES.map((s) => (
                <Column key={s}>{HEADS[s]}</Column>
              ))}
              <Column>VmFlags</Column>
            </TableHeader>
            <TableBody>
              {vmas.map((v) => (
                <Row key={hex(v.start)} id={hex(v.start)}>
                  <Cell>
                    <code>
                      {v.start.toString(16)}-{v.end.toString(16)}
                    </code>
                  </Cell>
                  <Cell>
                    <code>{v.perm}</code>
                  </Cell>
                  <Cell>{v.name ? `[anon:${v.name}]` : (v.file?.name ?? '')}</Cell>
                  {SIZES.map((s) => (
                    <Cell key={s}>
                      <span className={v[s] === 0 ? 'number zero' : 'number'}>{bytesText(v[s])}</span>
                    </Cell>
                  ))}
                  <Cell>
                    <code>{v.flags.join(' ')}</code>
                  </Cell>
                </Row>
              ))}
            </TableBody>
          </Table>
        </div>
      )}
    </div>
  );
}
