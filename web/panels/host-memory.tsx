// The host's memory: where the frames are, over time, and whose they are when several VMs share it.
// Reference: docs/web.md "Host memory".
import { useMemo } from 'react';
import { Cell, Column, Row, Table, TableBody, TableHeader } from 'react-aria-components';
import type { StepResult } from '../../src/scenario/index.ts';
import type { Theme } from '../draw/palette.ts';
import type { Frame, Machine } from '../engine/port.ts';
import { bytesText } from '../format.ts';
import { heldOf } from '../model/held.ts';
import { memoryLanes } from '../model/series.ts';
import { Plot } from './plots.tsx';

export interface HostMemoryProps {
  readonly frame: Frame;
  readonly vms: readonly Machine[];
  /** Index of the VM that the panels show. */
  readonly vm: number;
  readonly results: readonly StepResult[];
  readonly theme: Theme;
  readonly onSeek: (step: number) => void;
  readonly onVm: (vm: number) => void;
}

export function HostMemory({ frame, vms, vm, results, theme, onSeek, onVm }: HostMemoryProps) {
  const lanes = useMemo(
    () =>
      memoryLanes(
        vms.map((m) => m.name),
        vms[vm]?.name ?? '',
        results,
      ),
    [vms, vm, results],
  );
  return (
    <>
      <Where frame={frame} />
      {vms.length > 1 ? <VmTable frame={frame} vms={vms} vm={vm} onVm={onVm} /> : null}
      <Plot
        name="Host memory by step"
        unit="bytes"
        lanes={lanes}
        step={frame.step}
        theme={theme}
        onSeek={onSeek}
      />
    </>
  );
}

/** `3 MiB of frames in use = 2 MiB mapped + 1 MiB held, mapped by nobody`; terms that are 0 are left out. */
function Where({ frame: { host, vms } }: { frame: Frame }) {
  const { used, mapped, saved, held } = heldOf(host, vms);
  return (
    <p className="where">
      <b>{bytesText(used)}</b> of {bytesText(host.total)} frames in use = <b>{bytesText(mapped)}</b> mapped
      {saved > 0 ? (
        <>
          {' '}
          − <b>{bytesText(saved)}</b> that KSM saves
        </>
      ) : null}
      {held > 0 ? (
        <>
          {' '}
          + <b>{bytesText(held)}</b> held, mapped by nobody
        </>
      ) : null}
      {host.swapTotal > 0 ? (
        <>
          ; <b>{bytesText(host.swapUsed)}</b> of {bytesText(host.swapTotal)} swap
        </>
      ) : null}
    </p>
  );
}

const COLUMNS = [
  ['host.rss', 'RSS'],
  ['host.pss', 'PSS'],
  ['host.hugetlb', 'hugetlb'],
  ['memory.current', 'memory.current'],
  ['host.swap', 'Swap'],
] as const;

function VmTable({ frame, vms, vm, onVm }: Pick<HostMemoryProps, 'frame' | 'vms' | 'vm' | 'onVm'>) {
  return (
    <div className="scroll vm-table">
      <Table
        aria-label="Memory of the VMs; a chosen one is shown in all panels"
        selectionMode="single"
        selectionBehavior="replace"
        disallowEmptySelection
        selectedKeys={[String(vm)]}
        onSelectionChange={(keys) => {
          if (keys !== 'all') onVm(Number([...keys][0]));
        }}
      >
        <TableHeader>
          <Column isRowHeader>VM</Column>
          <Column>RAM is</Column>
          {COLUMNS.map(([key, name]) => (
            <Column key={key}>{name}</Column>
          ))}
        </TableHeader>
        <TableBody dependencies={[frame]}>
          {vms.map((m, i) => (
            <Row key={m.name} id={String(i)}>
              <Cell>{m.name}</Cell>
              <Cell>{m.backing}</Cell>
              {COLUMNS.map(([key]) => {
                const state = frame.vms[i];
                const n = state?.counters[key] ?? 0;
                const limit = key === 'memory.current' ? state?.memoryLimit : undefined;
                return (
                  <Cell key={key}>
                    <span className={n === 0 ? 'number zero' : 'number'}>
                      {bytesText(n)}
                      {limit === undefined ? '' : ` of ${bytesText(limit)}`}
                    </span>
                  </Cell>
                );
              })}
            </Row>
          ))}
        </TableBody>
      </Table>
    </div>
  );
}
