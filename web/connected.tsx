// Each panel with what it needs of the store: a panel is drawn again only when its own data changed, so that
// zooming the map costs a map and nothing else. Reference: docs/web.md "The seams".
import { createContext, useContext, useMemo } from 'react';
import { useStore } from 'zustand';
import { useShallow } from 'zustand/react/shallow';
import type { Vma } from '../src/types.ts';
import type { Theme } from './draw/palette.ts';
import type { Machine } from './engine/port.ts';
import { countLanes } from './model/series.ts';
import { topSpan } from './model/timeline.ts';
import type { Range } from './model/view.ts';
import { ConsolePanel } from './panels/console.tsx';
import { CountersPanel } from './panels/counters.tsx';
import { DevicePanel } from './panels/device.tsx';
import { EventsPanel } from './panels/events.tsx';
import { ExitsPanel } from './panels/exits.tsx';
import { HostMemory } from './panels/host-memory.tsx';
import { MapPanel } from './panels/map-panel.tsx';
import { Player, StepList } from './panels/player.tsx';
import { Plot } from './panels/plots.tsx';
import { SlotsPanel } from './panels/slots.tsx';
import { Summary } from './panels/summary.tsx';
import { VmasPanel } from './panels/vmas.tsx';
import { WalkPanel } from './panels/walk.tsx';
import { WhoPanel } from './panels/who.tsx';
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

const forSummary = pickKeys('frame', 'vms', 'vm', 'results');
export function TheSummary() {
  const { frame, vms, vm, results } = usePage(forSummary);
  const machine = vms[vm];
  if (!frame || !machine) return null;
  const [last, before] = [results[frame.step - 1], results[frame.step - 2]];
  return <Summary frame={frame} machine={machine} vm={vm} last={last} before={before} />;
}

const forMap = pickKeys(
  'view',
  'raster',
  'lens',
  'selection',
  'vms',
  'vm',
  'setView',
  'select',
  'goTo',
  'setLens',
  'setPanel',
);
export function TheMap({ theme }: { theme: Theme }) {
  const { view, raster, lens, selection, vms, vm, setView, select, goTo, setLens, setPanel } =
    usePage(forMap);
  const machine = vms[vm];
  return (
    <MapPanel
      view={view}
      raster={raster}
      lens={lens}
      selection={selection}
      theme={theme}
      topSpan={topSpan(machine)}
      vm={vms.length > 1 ? machine?.name : undefined}
      onView={setView}
      onSelect={select}
      onGoTo={goTo}
      onLens={setLens}
      onWalk={() => setPanel('walk')}
    />
  );
}

const forHost = pickKeys('frame', 'vms', 'vm', 'results', 'seek', 'setVm');
export function TheHost({ theme }: { theme: Theme }) {
  const { frame, vms, vm, results, seek, setVm } = usePage(forHost);
  if (!frame) return null;
  return (
    <HostMemory frame={frame} vms={vms} vm={vm} results={results} theme={theme} onSeek={seek} onVm={setVm} />
  );
}

const forCounters = pickKeys('frame', 'vms', 'vm', 'results', 'seek');
export function TheCounts({ theme }: { theme: Theme }) {
  const { frame, vms, vm, results, seek } = usePage(forCounters);
  const lanes = useMemo(
    () => (frame ? countLanes(vms[vm]?.name ?? '', results, frame.vms[vm]?.counters ?? {}, frame.step) : []),
    [frame, vms, vm, results],
  );
  if (!frame) return null;
  return (
    <Plot name="Counters by step" unit="count" lanes={lanes} step={frame.step} theme={theme} onSeek={seek} />
  );
}

export function TheCounters() {
  const { frame, vms, vm, results } = usePage(forCounters);
  const counters = frame?.vms[vm]?.counters;
  if (!frame || !counters) return null;
  return <CountersPanel results={results} counters={counters} step={frame.step} vm={vms[vm]?.name ?? ''} />;
}

const forWalk = pickKeys('walk', 'page', 'isPrivate', 'inspected', 'vms', 'vm', 'inspect', 'goTo', 'setVm');
export function TheWalk({ theme }: { theme: Theme }) {
  const { walk, page, isPrivate, inspected, vms, vm, inspect, goTo, setVm } = usePage(forWalk);
  const names = useMemo(() => vms.map((m) => m.name), [vms]);
  const onGoTo = (gpa: bigint, other: number) => {
    if (other !== vm) setVm(other);
    goTo(pageOf(gpa));
  };
  return (
    <WalkPanel
      walk={walk}
      page={page}
      isPrivate={isPrivate}
      inspected={inspected}
      vms={names}
      theme={theme}
      onInspect={inspect}
      onGoTo={onGoTo}
    />
  );
}

const forDevice = pickKeys('frame', 'vm', 'inspected', 'inspect', 'goTo');
export function TheDevice() {
  const { frame, vm, inspected, inspect, goTo } = usePage(forDevice);
  const state = frame?.vms[vm];
  if (!state) return null;
  return (
    <DevicePanel
      device={state.device}
      buffers={state.buffers}
      inspected={inspected}
      onInspect={inspect}
      onGoTo={(gpa) => goTo(pageOf(gpa))}
    />
  );
}

const forVmas = pickKeys('frame', 'vms', 'vm', 'walk', 'smaps', 'showSmaps', 'goTo');
export function TheVmas() {
  const { frame, vms, vm, walk, smaps, showSmaps, goTo } = usePage(forVmas);
  const machine = vms[vm];
  const state = frame?.vms[vm];
  if (!state || !machine) return null;
  const onSelect = (vma: Vma) => {
    const range = guestRange(vma, machine);
    if (range) goTo(range);
  };
  return (
    <VmasPanel
      vmas={state.vmas}
      total={state.vmasTotal}
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

const forEvents = pickKeys('frame', 'vms', 'events', 'eventFilter', 'setEventFilter');
export function TheEvents() {
  const { frame, vms, events, eventFilter, setEventFilter } = usePage(forEvents);
  const names = useMemo(() => vms.map((m) => m.name), [vms]);
  if (!frame || !events) return null;
  return (
    <EventsPanel
      events={events}
      vms={names}
      from={frame.eventsFrom}
      filter={eventFilter}
      onFilter={setEventFilter}
    />
  );
}

const forSlots = pickKeys('frame', 'vm', 'selection', 'goTo');
export function TheSlots() {
  const { frame, vm, selection, goTo } = usePage(forSlots);
  const state = frame?.vms[vm];
  if (!state) return null;
  return (
    <SlotsPanel
      slots={state.memslots}
      total={state.memslotsTotal}
      selected={selection.gpa}
      onSelect={({ gpa, size }) => goTo({ gpa, len: BigInt(size) })}
    />
  );
}

const forExits = pickKeys('frame', 'exits', 'goTo');
export function TheExits() {
  const { frame, exits, goTo } = usePage(forExits);
  if (!frame || !exits) return null;
  return <ExitsPanel exits={exits} from={frame.eventsFrom} onGoTo={(gpa) => goTo(pageOf(gpa))} />;
}

const forWho = pickKeys('who');
export function TheWho() {
  const { who } = usePage(forWho);
  return <WhoPanel who={who} />;
}

const forConsole = pickKeys('console', 'run');
export function TheConsole() {
  const { console: lines, run } = usePage(forConsole);
  return <ConsolePanel lines={lines} onRun={run} />;
}
