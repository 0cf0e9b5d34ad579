// Each panel with what it needs of the store: a panel is drawn again only when its own data changed, so that
// zooming the map costs a map and nothing else. Reference: docs/web.md "The seams".
import { createContext, useContext } from 'react';
import { useStore } from 'zustand';
import { useShallow } from 'zustand/react/shallow';
import type { Vma } from '../src/types.ts';
import type { Theme } from './draw/palette.ts';
import type { Machine } from './engine/port.ts';
import { topSpan } from './model/timeline.ts';
import type { Range } from './model/view.ts';
import { ConsolePanel } from './panels/console.tsx';
import { CountersPanel } from './panels/counters.tsx';
import { DevicePanel } from './panels/device.tsx';
import { EventsPanel } from './panels/events.tsx';
import { MapPanel } from './panels/map-panel.tsx';
import { Player, StepList } from './panels/player.tsx';
import { Plots } from './panels/plots.tsx';
import { Summary } from './panels/summary.tsx';
import { VmasPanel } from './panels/vmas.tsx';
import { WalkPanel } from './panels/walk.tsx';
import type { Page, PageStore } from './state.ts';

const StoreContext = createContext<PageStore | undefined>(undefined);
export const StoreProvider = StoreContext.Provider;

export function usePageStore(): PageStore {
  const store = useContext(StoreContext);
  if (!store) throw new Error('no store: render inside StoreProvider');
  return store;
}

/** A part of the page; equal parts do not cause a new drawing. Actions never change. */
export function usePage<T>(pick: (page: Page) => T): T {
  return useStore(usePageStore(), useShallow(pick));
}
function pickKeys<K extends keyof Page>(...keys: K[]): (page: Page) => Pick<Page, K> {
  return (page) => Object.fromEntries(keys.map((k) => [k, page[k]])) as Pick<Page, K>;
}

const PAGE = 4096n;
const pageOf = (gpa: bigint): Range => ({ gpa: gpa - (gpa % PAGE), len: PAGE });

const forPlayer = pickKeys(
  'frame',
  'wanted',
  'steps',
  'playing',
  'speed',
  'seek',
  'stepBy',
  'togglePlay',
  'setSpeed',
);
export function ThePlayer() {
  const { frame, wanted, steps, playing, speed, seek, stepBy, togglePlay, setSpeed } = usePage(forPlayer);
  return (
    <Player
      step={frame?.step ?? 0}
      wanted={wanted}
      steps={steps.length}
      playing={playing}
      speed={speed}
      onSeek={seek}
      onStep={stepBy}
      onPlay={togglePlay}
      onSpeed={setSpeed}
    />
  );
}

const forSteps = pickKeys('frame', 'steps', 'results', 'seek');
export function TheSteps() {
  const { frame, steps, results, seek } = usePage(forSteps);
  return <StepList step={frame?.step ?? 0} steps={steps} results={results} onSeek={seek} />;
}

const forSummary = pickKeys('frame', 'machine', 'results');
export function TheSummary() {
  const { frame, machine, results } = usePage(forSummary);
  return frame && machine ? <Summary frame={frame} machine={machine} last={results[frame.step - 1]} /> : null;
}

const forMap = pickKeys(
  'view',
  'raster',
  'lens',
  'selection',
  'machine',
  'setView',
  'select',
  'goTo',
  'setLens',
  'setPanel',
);
export function TheMap({ theme }: { theme: Theme }) {
  const { view, raster, lens, selection, machine, setView, select, goTo, setLens, setPanel } =
    usePage(forMap);
  return (
    <MapPanel
      view={view}
      raster={raster}
      lens={lens}
      selection={selection}
      theme={theme}
      topSpan={topSpan(machine)}
      onView={setView}
      onSelect={select}
      onGoTo={goTo}
      onLens={setLens}
      onWalk={() => setPanel('walk')}
    />
  );
}

const forPlots = pickKeys('frame', 'results', 'seek');
export function ThePlots({ theme }: { theme: Theme }) {
  const { frame, results, seek } = usePage(forPlots);
  if (!frame) return null;
  return <Plots results={results} counters={frame.counters} step={frame.step} theme={theme} onSeek={seek} />;
}

const forCounters = pickKeys('frame', 'results');
export function TheCounters() {
  const { frame, results } = usePage(forCounters);
  return frame ? <CountersPanel results={results} counters={frame.counters} step={frame.step} /> : null;
}

const forWalk = pickKeys('walk', 'inspected', 'inspect');
export function TheWalk() {
  const { walk, inspected, inspect } = usePage(forWalk);
  return <WalkPanel walk={walk} inspected={inspected} onInspect={inspect} />;
}

const forDevice = pickKeys('frame', 'inspected', 'inspect', 'goTo');
export function TheDevice() {
  const { frame, inspected, inspect, goTo } = usePage(forDevice);
  if (!frame) return null;
  return (
    <DevicePanel
      device={frame.device}
      buffers={frame.buffers}
      inspected={inspected}
      onInspect={inspect}
      onGoTo={(gpa) => goTo(pageOf(gpa))}
    />
  );
}

const forVmas = pickKeys('frame', 'machine', 'walk', 'smaps', 'showSmaps', 'goTo');
export function TheVmas() {
  const { frame, machine, walk, smaps, showSmaps, goTo } = usePage(forVmas);
  if (!frame || !machine) return null;
  const onSelect = (vma: Vma) => {
    const range = guestRange(vma, machine);
    if (range) goTo(range);
  };
  return (
    <VmasPanel
      vmas={frame.vmas}
      total={frame.vmasTotal}
      selected={walk?.hva}
      smaps={smaps}
      onShowSmaps={showSmaps}
      onSelect={onSelect}
    />
  );
}

/** Where the guest sees a mapping of the VMM. */
function guestRange(vma: Vma, { ram }: Machine): Range | undefined {
  const region = ram.find((r) => vma.start >= r.hva && vma.start < r.hva + BigInt(r.size));
  return region && { gpa: region.gpa + (vma.start - region.hva), len: vma.end - vma.start };
}

const forEvents = pickKeys('frame', 'events', 'eventFilter', 'setEventFilter');
export function TheEvents() {
  const { frame, events, eventFilter, setEventFilter } = usePage(forEvents);
  if (!frame || !events) return null;
  return (
    <EventsPanel events={events} from={frame.eventsFrom} filter={eventFilter} onFilter={setEventFilter} />
  );
}

const forConsole = pickKeys('console', 'run');
export function TheConsole() {
  const { console: lines, run } = usePage(forConsole);
  return <ConsolePanel lines={lines} onRun={run} />;
}
