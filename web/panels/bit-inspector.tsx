// Any 64- or 32-bit value as bits and fields: a ruler from the highest bit to bit 0, then one line per field.
// Reference: model/fields.ts for the layouts and their documents.
import type { CSSProperties } from 'react';
import { Button } from 'react-aria-components';
import { type BitField, type BitLayout, fieldValue } from '../../src/paging/index.ts';
import { fullHex } from '../format.ts';
import type { Inspected } from '../model/fields.ts';

export interface BitInspectorProps {
  readonly what: Inspected;
  readonly onClose: () => void;
}

export function BitInspector({ what: { title, value, layout }, onClose }: BitInspectorProps) {
  return (
    <section className="inspector" aria-label={`Bits of ${title}`}>
      <header className="panel-head">
        <h3>
          {title} <code>{fullHex(value, layout.bits)}</code>
        </h3>
        <span className="quiet">{layout.name}</span>
        <span className="grow" />
        <Button aria-label="Close the bit inspector" onPress={onClose}>
          ×
        </Button>
      </header>
      <Ruler value={value} layout={layout} />
      <table className="fields">
        <thead>
          <tr>
            <th scope="col">bits</th>
            <th scope="col">field</th>
            <th scope="col">value</th>
            <th scope="col">meaning</th>
          </tr>
        </thead>
        <tbody>
          {layout.fields.map((f, i) => {
            const v = fieldValue(value, f);
            return (
              <tr key={f.name} className={v === 0n ? 'zero' : ''}>
                <td>{f.high === f.low ? f.low : `${f.high}:${f.low}`}</td>
                <th scope="row">
                  <span className="tick" style={tone(i)} /> {f.name}
                </th>
                <td>
                  <code>{f.high === f.low ? String(v) : `0x${v.toString(16)}`}</code>
                </td>
                <td>{f.meaning(v)}</td>
              </tr>
            );
          })}
        </tbody>
      </table>
    </section>
  );
}

/** Fields take turns with a few tones, so that neighbours differ; the number of the tone has no meaning. */
const TONES = 4;
const tone = (index: number): CSSProperties =>
  ({ '--tone': `var(--tone-${index % TONES})` }) as CSSProperties;

function Ruler({ value, layout }: { value: bigint; layout: BitLayout }) {
  const fieldAt = (bit: number): number =>
    layout.fields.findIndex((f: BitField) => bit <= f.high && bit >= f.low);
  const bits = Array.from({ length: layout.bits }, (_, i) => layout.bits - 1 - i);
  return (
    // The table below says the same in words.
    <div className="ruler" aria-hidden="true">
      {bits.map((bit) => {
        const field = fieldAt(bit);
        const set = (value >> BigInt(bit)) & 1n;
        const edge = field >= 0 && layout.fields[field]?.high === bit;
        return (
          <span
            key={bit}
            className={`bit${set ? ' set' : ''}${field < 0 ? ' free' : ''}${edge ? ' edge' : ''}`}
            style={field < 0 ? undefined : tone(field)}
            title={field < 0 ? `bit ${bit}` : `bit ${bit}: ${layout.fields[field]?.name}`}
          >
            <small>{bit % 4 === 3 || bit === 0 || edge ? bit : ''}</small>
            {String(set)}
          </span>
        );
      })}
    </div>
  );
}
