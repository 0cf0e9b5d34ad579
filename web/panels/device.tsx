// pvmemcontrol: registers, the state chart, and each per-CPU buffer as bytes, as request and as response.
// Reference: cloud-hypervisor devices/src/pvmemcontrol.rs; docs/web.md "Panels".
import { useState } from 'react';
import { Button, Tab, TabList, Tabs } from 'react-aria-components';
import type { AbiName, DeviceSnapshot } from '../../src/types.ts';
import type { PerCpuBuffer } from '../engine/port.ts';
import { formatAddress, fullHex } from '../format.ts';
import { COMMAND, commandName, type Inspected, PAYLOAD, PLAIN } from '../model/fields.ts';
import { BitInspector } from './bit-inspector.tsx';
import { requestFields, responseFields } from './buffer-fields.ts';

export interface DevicePanelProps {
  readonly device: DeviceSnapshot;
  readonly buffers: readonly PerCpuBuffer[];
  readonly inspected: Inspected | undefined;
  readonly onInspect: (what: Inspected | undefined) => void;
  readonly onGoTo: (gpa: bigint) => void;
}

export function DevicePanel({ device, buffers, inspected, onInspect, onGoTo }: DevicePanelProps) {
  const [chosen, setChosen] = useState<number>();
  const buffer = buffers.find((b) => b.id === chosen) ?? buffers[0];
  const inspect = (title: string, value: bigint, layout: Inspected['layout']) => () =>
    onInspect({ title, value, layout });
  const command = BigInt(device.command >>> 0);
  return (
    <div className="device">
      <StateChart state={device.state} />
      <table>
        <caption>
          BAR0 at <code>{formatAddress(device.barBase)}</code>, 16 bytes ({device.abi})
        </caption>
        <thead>
          <tr>
            <th scope="col">offset</th>
            <th scope="col">register</th>
            <th scope="col">value</th>
            <th scope="col">read as</th>
          </tr>
        </thead>
        <tbody>
          <tr>
            <td>0x0</td>
            <th scope="row">payload</th>
            <td>
              <Button className="link" onPress={inspect('payload', device.payload, PAYLOAD)}>
                {fullHex(device.payload, 64)}
              </Button>
            </td>
            <td className="quiet">address in, connection id out</td>
          </tr>
          <tr>
            <td>0x8</td>
            <th scope="row">command</th>
            <td>
              <Button className="link" onPress={inspect('command', command, COMMAND)}>
                {fullHex(command, 32)}
              </Button>
            </td>
            <td>{commandName(Number(command))}</td>
          </tr>
        </tbody>
      </table>
      {inspected ? <BitInspector what={inspected} onClose={() => onInspect(undefined)} /> : null}
      {buffer ? (
        <>
          <h3>Per-CPU buffers</h3>
          {buffers.length > 1 ? (
            <Tabs selectedKey={String(buffer.id)} onSelectionChange={(key) => setChosen(Number(key))}>
              <TabList aria-label="Connection" className="segmented">
                {buffers.map((b) => (
                  <Tab key={b.id} id={String(b.id)}>
                    {fullHex(BigInt(b.id), 32)}
                  </Tab>
                ))}
              </TabList>
            </Tabs>
          ) : null}
          <Buffer buffer={buffer} abi={device.abi} onInspect={onInspect} onGoTo={onGoTo} />
        </>
      ) : (
        <p className="quiet">
          No buffer is registered. The driver registers one per CPU when it probes: try the console line
          “info”.
        </p>
      )}
    </div>
  );
}

const STATES = [
  { id: 'broken', label: 'broken', note: 'reads ERROR' },
  { id: 'init', label: 'init', note: 'takes REGISTER' },
  { id: 'ready', label: 'ready', note: 'takes doorbells' },
] as const;

/** Broken → init → ready, and back to broken from both on any misuse. */
function StateChart({ state }: { state: DeviceSnapshot['state'] }) {
  return (
    <figure className="chart">
      <svg viewBox="0 0 460 92" role="img" aria-label={`Device state: ${state}`}>
        <defs>
          <marker
            id="arrow"
            viewBox="0 0 8 8"
            refX="7"
            refY="4"
            markerWidth="7"
            markerHeight="7"
            orient="auto"
          >
            <path d="M0 0 8 4 0 8z" className="arrow-head" />
          </marker>
        </defs>
        {STATES.map(({ id, label, note }, i) => (
          <g
            key={id}
            className={id === state ? 'node lit' : 'node'}
            transform={`translate(${10 + i * 165} 8)`}
          >
            <rect width="110" height="42" rx="8" />
            <text x="55" y="19">
              {label}
            </text>
            <text x="55" y="34" className="note">
              {note}
            </text>
          </g>
        ))}
        <g className="arrow">
          <path d="M120 29h53" markerEnd="url(#arrow)" />
          <path d="M285 29h53" markerEnd="url(#arrow)" />
          <path d="M395 50v22H65V52" markerEnd="url(#arrow)" />
          <path d="M230 50v22" />
        </g>
        <g className="edge-text">
          <text x="147" y="23">
            RESET
          </text>
          <text x="312" y="23">
            READY
          </text>
          <text x="230" y="86">
            DISCONNECT, or REGISTER and READY out of turn
          </text>
        </g>
      </svg>
    </figure>
  );
}

interface BufferProps {
  readonly buffer: PerCpuBuffer;
  readonly abi: AbiName;
  readonly onInspect: (what: Inspected) => void;
  readonly onGoTo: (gpa: bigint) => void;
}

function Buffer({ buffer, abi, onInspect, onGoTo }: BufferProps) {
  const rows = [0, 8, 16, 24].map((offset) => ({
    offset,
    bytes: [...buffer.bytes.subarray(offset, offset + 8)],
  }));
  const readings = [
    { name: 'as a request', fields: requestFields(buffer.bytes, abi) },
    { name: 'as a response', fields: responseFields(buffer.bytes) },
  ];
  return (
    <div className="buffer">
      <table className="bytes">
        <caption>
          32 bytes at{' '}
          <Button className="link" onPress={() => onGoTo(buffer.gpa)}>
            {formatAddress(buffer.gpa)}
          </Button>
        </caption>
        <tbody>
          {rows.map(({ offset, bytes }) => (
            <tr key={offset}>
              <th scope="row">+{offset}</th>
              {bytes.map((byte, i) => (
                // biome-ignore lint/suspicious/noArrayIndexKey: the index is the byte's place
                <td key={i} className={byte === 0 ? 'zero' : ''}>
                  {byte.toString(16).padStart(2, '0')}
                </td>
              ))}
            </tr>
          ))}
        </tbody>
      </table>
      {readings.map(({ name, fields }) => (
        <table key={name}>
          <caption>{name}</caption>
          <tbody>
            {fields.map((f) => (
              <tr key={f.name}>
                <th scope="row">{f.name}</th>
                <td>
                  <Button
                    className="link"
                    onPress={() => onInspect({ title: f.name, value: f.value, layout: PLAIN })}
                  >
                    {`0x${f.value.toString(16)}`}
                  </Button>
                </td>
                <td className="quiet">{f.meaning}</td>
              </tr>
            ))}
          </tbody>
        </table>
      ))}
    </div>
  );
}
