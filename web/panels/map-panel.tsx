// The map with what belongs to it: lens, zoom, go-to box, place in the tables, legend, text twin.
// Reference: docs/web.md "The map".
import { useMemo, useState } from 'react';
import {
  Button,
  FieldError,
  Form,
  Group,
  Input,
  Label,
  TextField,
  ToggleButton,
  ToggleButtonGroup,
  Toolbar,
} from 'react-aria-components';
import { gpa as toGpa } from '../../src/address.ts';
import { parseInteger } from '../../src/size.ts';
import type { Lens } from '../../src/types.ts';
import type { Theme } from '../draw/palette.ts';
import { bytesText, formatAddress, hex } from '../format.ts';
import type { KeyAction } from '../keys.ts';
import { type CellClass, classesIn, LENSES, type LensInfo, lensInfo, runs } from '../model/lens.ts';
import { fitRange, fitView, gridOf, level, panQuarter, type Range, type View, zoom } from '../model/view.ts';
import type { Raster } from '../state.ts';
import { MemoryMap } from './memory-map.tsx';
import { Swatch } from './swatch.tsx';

export interface MapPanelProps {
  readonly view: View;
  readonly raster: Raster | undefined;
  readonly lens: Lens;
  readonly selection: Range;
  readonly theme: Theme;
  readonly topSpan: number;
  /** Name of the VM, when there are several. */
  readonly vm: string | undefined;
  readonly onView: (view: View) => void;
  readonly onSelect: (range: Range) => void;
  readonly onGoTo: (range: Range) => void;
  readonly onLens: (lens: Lens) => void;
  readonly onWalk: () => void;
}

/** How many runs the text twin lists. */
const TWIN_ROWS = 200;
const PAGE = 4096n;

export function MapPanel(props: MapPanelProps) {
  const { view, raster, lens, selection, theme, topSpan, onView, onLens, onWalk } = props;
  const [twin, setTwin] = useState(false);
  const info = lensInfo(lens);
  const present = useMemo(
    () => (raster?.lens === info.id ? classesIn(info, raster.cells) : undefined),
    [info, raster],
  );

  const onKey = (action: KeyAction) => {
    const moved = moveSelection(action, props);
    if (moved) return;
    const next = nextView(action, view, selection, topSpan);
    if (next) onView(next);
    else if (action === 'select') onWalk();
    else if (action === 'twin') setTwin(!twin);
    else if (action.startsWith('lens-')) onLens((LENSES[Number(action.slice(5)) - 1] ?? info).id);
  };
  const press = (action: KeyAction) => () => onKey(action);

  return (
    <section className="panel map-panel" aria-labelledby="map-title">
      <header className="panel-head">
        <h2 id="map-title">Guest physical memory{props.vm ? ` of ${props.vm}` : ''}</h2>
        <ToggleButtonGroup
          aria-label="Lens"
          className="segmented"
          selectionMode="single"
          disallowEmptySelection
          selectedKeys={[lens]}
          onSelectionChange={(keys) => onLens([...keys][0] as Lens)}
        >
          {LENSES.map((l) => (
            <ToggleButton key={l.id} id={l.id}>
              {l.name}
            </ToggleButton>
          ))}
        </ToggleButtonGroup>
        <span className="grow" />
        <GoTo onGoTo={props.onGoTo} />
      </header>
      <MemoryMap
        view={view}
        raster={raster}
        selection={selection}
        theme={theme}
        topSpan={topSpan}
        onView={onView}
        onSelect={props.onSelect}
        onKey={onKey}
      />
      <Toolbar aria-label="Map view" className="map-tools">
        <Group className="buttons">
          <Button onPress={press('zoom-in')} aria-label="Zoom in">
            +
          </Button>
          <Button onPress={press('zoom-out')} aria-label="Zoom out">
            −
          </Button>
          <Button onPress={press('pan-low')} aria-label="Pan to lower addresses">
            ↑
          </Button>
          <Button onPress={press('pan-high')} aria-label="Pan to higher addresses">
            ↓
          </Button>
          <Button onPress={press('level-up')} aria-label="Up a table level">
            [
          </Button>
          <Button onPress={press('level-down')} aria-label="Down a table level">
            ]
          </Button>
          <Button onPress={press('fit')}>Fit selection</Button>
          <Button onPress={press('whole')}>Whole guest</Button>
        </Group>
        <ToggleButton isSelected={twin} onChange={setTwin}>
          As text
        </ToggleButton>
      </Toolbar>
      <p className="map-place">
        <Place view={view} selection={selection} />
      </p>
      <Legend lens={info} theme={theme} present={present} />
      {twin && raster ? <Twin raster={raster} onSelect={props.onGoTo} /> : null}
    </section>
  );
}

/** Arrow keys: the selection moves by cells and rows; with Shift its end does. */
function moveSelection(
  action: KeyAction,
  { view, selection, topSpan, onSelect, onView }: MapPanelProps,
): boolean {
  const direction = /^(extend-)?(left|right|up|down)$/.exec(action);
  if (!direction) return false;
  const { cellShift, rowBytes } = gridOf(view.span);
  const cell = 1n << BigInt(cellShift);
  const unit = direction[2] === 'left' || direction[2] === 'right' ? cell : rowBytes;
  const by = direction[2] === 'left' || direction[2] === 'up' ? -unit : unit;
  const top = 1n << BigInt(topSpan);
  if (direction[1]) {
    const len = selection.len + by;
    onSelect({
      gpa: selection.gpa,
      len: len < PAGE ? PAGE : selection.gpa + len > top ? top - selection.gpa : len,
    });
    return true;
  }
  const aligned = selection.gpa - (selection.gpa % cell) + by;
  const gpa = aligned < 0n ? 0n : aligned >= top ? top - cell : aligned;
  onSelect({ gpa, len: cell });
  // The view follows the selection, row by row.
  const end = view.start + (1n << BigInt(view.span));
  if (gpa < view.start || gpa >= end)
    onView(fitView(view.start + (gpa < view.start ? -unit : unit), view.span, topSpan));
  return true;
}

function nextView(action: KeyAction, view: View, selection: Range, top: number): View | undefined {
  const inView = selection.gpa >= view.start && selection.gpa < view.start + (1n << BigInt(view.span));
  const anchor = inView ? selection.gpa : view.start + (1n << BigInt(view.span - 1));
  const height = Number(((anchor - view.start) * 1000n) >> BigInt(view.span)) / 1000;
  switch (action) {
    case 'zoom-in':
      return zoom(view, -1, anchor, height, top);
    case 'zoom-out':
      return zoom(view, 1, anchor, height, top);
    case 'pan-low':
      return panQuarter(view, -1, top);
    case 'pan-high':
      return panQuarter(view, 1, top);
    case 'level-up':
      return level(view, 'up', anchor, top);
    case 'level-down':
      return level(view, 'down', anchor, top);
    case 'fit':
      return fitRange(selection, top);
    case 'whole':
      return fitView(0n, top, top);
    default:
      return undefined;
  }
}

/** `16 GiB shown, cell 4 MiB · PML4[0] › PDPT[5] › PD[1] › PT[3]` */
function Place({ view, selection }: { view: View; selection: Range }) {
  const { cellShift } = gridOf(view.span);
  const index = (shift: bigint) => Number((selection.gpa >> shift) & 511n);
  return (
    <>
      <span>
        {bytesText(1n << BigInt(view.span))} from {formatAddress(view.start)}, a cell is{' '}
        {bytesText(1n << BigInt(cellShift))}
      </span>
      <span>
        selected <strong>{formatAddress(selection.gpa)}</strong> +{bytesText(selection.len)}: PML4[
        {index(39n)}] › PDPT[
        {index(30n)}] › PD[{index(21n)}] › PT[{index(12n)}]
      </span>
    </>
  );
}

interface LegendProps {
  readonly lens: LensInfo;
  readonly theme: Theme;
  /** Classes that the picture has; the others are listed, but stand back. */
  readonly present: ReadonlySet<CellClass> | undefined;
}

function Legend({ lens, theme, present }: LegendProps) {
  return (
    <ul className="legend" aria-label={`Legend: ${lens.about}`}>
      {lens.classes.map((c) => (
        <li key={c.id} title={c.about} className={present && !present.has(c) ? 'absent' : ''}>
          <Swatch id={c.id} letter={c.letter} theme={theme} /> {c.name}
        </li>
      ))}
    </ul>
  );
}

function Twin({ raster, onSelect }: { raster: Raster; onSelect: (range: Range) => void }) {
  const lens = lensInfo(raster.lens);
  const { cellShift } = gridOf(raster.view.span);
  const list = useMemo(
    () => runs(lens, raster.cells, raster.view.start, cellShift, TWIN_ROWS),
    [lens, raster, cellShift],
  );
  return (
    <section className="twin scroll" aria-label="The map as text">
      <table>
        <thead>
          <tr>
            <th scope="col">from</th>
            <th scope="col">length</th>
            <th scope="col">{lens.name}</th>
          </tr>
        </thead>
        <tbody>
          {list.runs.map((run) => (
            <tr key={String(run.gpa)}>
              <td>
                <Button className="link" onPress={() => onSelect(run)}>
                  {hex(run.gpa)}
                </Button>
              </td>
              <td>{bytesText(run.len)}</td>
              <td>{run.state.name}</td>
            </tr>
          ))}
        </tbody>
      </table>
      {list.more ? <p>The first {TWIN_ROWS} runs; zoom in for the rest.</p> : null}
    </section>
  );
}

function GoTo({ onGoTo }: { onGoTo: (range: Range) => void }) {
  const [text, setText] = useState('');
  const [problem, setProblem] = useState<string>();
  const submit = () => {
    if (text.trim() === '') return;
    try {
      // A gfn is a number with the word in front of it; everything else is an address.
      const gfn = /^gfn\s+(.*)$/i.exec(text.trim());
      const gpa = gfn ? parseInteger(gfn[1] as string, 'gfn') * PAGE : toGpa(text.trim());
      onGoTo({ gpa: gpa - (gpa % PAGE), len: PAGE });
      setProblem(undefined);
    } catch (error) {
      setProblem(error instanceof Error ? error.message : String(error));
    }
  };
  return (
    <Form
      className="goto"
      onSubmit={(event) => {
        event.preventDefault();
        submit();
      }}
    >
      <TextField value={text} onChange={setText} isInvalid={problem !== undefined} validationBehavior="aria">
        <Label>Go to</Label>
        <Input id="goto" placeholder="5G+2M, gfn 7" size={11} spellCheck="false" autoComplete="off" />
        <FieldError>{problem}</FieldError>
      </TextField>
      <Button type="submit">Go</Button>
    </Form>
  );
}
