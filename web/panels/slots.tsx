// KVM's memslots as a table: what is behind each, its dirty log, its SLAT leaves. A row selects the slot's range.
// Reference: linux Documentation/virt/kvm/api.rst (KVM_SET_USER_MEMORY_REGION2).
import { Cell, Column, Row, Table, TableBody, TableHeader } from 'react-aria-components';
import type { MemslotUse } from '../../src/types.ts';
import { bytesText, count, hex } from '../format.ts';

export interface SlotsPanelProps {
  readonly slots: readonly MemslotUse[];
  readonly total: number;
  /** Selected address, to mark its row. */
  readonly selected: bigint;
  readonly onSelect: (slot: MemslotUse) => void;
}

export function SlotsPanel({ slots, total, selected, onSelect }: SlotsPanelProps) {
  const current = slots.find((s) => selected >= s.gpa && selected < s.gpa + BigInt(s.size));
  return (
    <div className="slots">
      <p>
        {count(total)} {total === 1 ? 'memslot' : 'memslots'} (KVM view): guest-physical addresses, and the
        VMM’s addresses behind them.{' '}
        {total > slots.length ? `The first ${count(slots.length)} are shown.` : ''}
      </p>
      <div className="scroll">
        <Table
          aria-label="Memslots"
          selectionMode="single"
          selectionBehavior="replace"
          selectedKeys={current ? [String(current.id)] : []}
          onSelectionChange={(keys) => {
            const slot = slots.find((s) => keys !== 'all' && keys.has(String(s.id)));
            if (slot) onSelect(slot);
          }}
        >
          <TableHeader>
            <Column isRowHeader>slot</Column>
            <Column>guest-physical</Column>
            <Column>size</Column>
            <Column>at hva</Column>
            <Column>flags</Column>
            <Column>guest_memfd</Column>
            <Column>dirty</Column>
            <Column>4K</Column>
            <Column>2M</Column>
            <Column>1G</Column>
          </TableHeader>
          <TableBody renderEmptyState={() => 'No slot: every access leaves the guest.'}>
            {slots.map((s) => (
              <Row key={s.id} id={String(s.id)}>
                <Cell>{s.id}</Cell>
                <Cell>
                  <code>
                    {hex(s.gpa)}-{hex(s.gpa + BigInt(s.size))}
                  </code>
                </Cell>
                <Cell>{bytesText(s.size)}</Cell>
                <Cell>
                  <code>{hex(s.hva)}</code>
                </Cell>
                <Cell>{flagsText(s)}</Cell>
                <Cell>{fileText(s)}</Cell>
                <Cell>{s.dirtyPages === undefined ? 'no log' : `${count(s.dirtyPages)} pages`}</Cell>
                {([s.leaves['4k'], s.leaves['2m'], s.leaves['1g']] as const).map((n, i) => (
                  <Cell key={LEAVES[i]}>
                    <span className={n === 0 ? 'number zero' : 'number'}>{count(n)}</span>
                  </Cell>
                ))}
              </Row>
            ))}
          </TableBody>
        </Table>
      </div>
      <p className="quiet">The last three columns are SLAT leaf entries by what one maps.</p>
    </div>
  );
}

const LEAVES = ['4k', '2m', '1g'];

const flagsText = ({ dirtyLog, readonly }: MemslotUse): string =>
  [dirtyLog ? 'dirty log' : '', readonly ? 'read-only' : ''].filter(Boolean).join(', ') || 'none';

function fileText({ guestMemfd, guestMemfdOffset, fd }: MemslotUse): string {
  if (guestMemfd === undefined) return 'none';
  if (guestMemfd === 'closed') return 'closed';
  return `${fd === undefined ? 'no fd' : `fd ${fd}`} + ${bytesText(guestMemfdOffset ?? 0)}`;
}
