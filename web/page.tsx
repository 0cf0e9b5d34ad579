// The layout: top bar, player, map and plots on the left, story and panels on the right.
// Reference: docs/web.md "Layout".
import { useState } from 'react';
import { Tab, TabList, TabPanel, Tabs } from 'react-aria-components';
import {
  TheConsole,
  TheCounters,
  TheCounts,
  TheDevice,
  TheEvents,
  TheExits,
  TheHost,
  TheMap,
  ThePlayer,
  TheSlots,
  TheSteps,
  TheSummary,
  TheVmas,
  TheWalk,
  TheWho,
  usePage,
  usePageStore,
} from './connected.tsx';
import type { Theme } from './draw/palette.ts';
import { PANELS, usePageKeys } from './page-keys.ts';
import { FailureBanner } from './panels/failure-banner.tsx';
import { KeySheet } from './panels/key-sheet.tsx';
import { TopBar } from './panels/top-bar.tsx';
import type { PanelId } from './state.ts';
import { useTheme, useWide } from './theme.ts';

export function Page() {
  const store = usePageStore();
  const [theme, choice, setChoice] = useTheme();
  const [sheet, setSheet] = useState(false);
  const { phase, scenarios, scenario, vms, vm, failure, step } = usePage((p) => ({
    phase: p.phase,
    scenarios: p.scenarios,
    scenario: p.scenario,
    vms: p.vms,
    vm: p.vm,
    failure: p.failure,
    step: p.frame?.step ?? 0,
  }));
  const actions = store.getState();
  usePageKeys(store, () => setSheet(true));

  return (
    <>
      <a className="skip" href="#memory-map">
        Skip to the memory map
      </a>
      <TopBar
        scenarios={scenarios}
        scenario={scenario}
        vms={vms}
        vm={vm}
        onVm={actions.setVm}
        themeChoice={choice}
        onTheme={setChoice}
        onOpen={actions.open}
        onKeys={() => setSheet(true)}
      />
      <FailureBanner
        failure={failure}
        onDismiss={actions.dismiss}
        onBack={() => actions.stepBy(-1)}
        step={step}
      />
      <main className={phase}>
        {phase === 'failed' ? (
          <p className="panel">
            The engine did not start. On a terminal: <code>npx slatbox run builtin:sample-dontneed</code>
          </p>
        ) : null}
        {phase === 'starting' ? <p className="panel quiet">Starting the machine…</p> : null}
        {phase === 'ready' ? <Panels theme={theme} /> : null}
      </main>
      <Announcer />
      <KeySheet isOpen={sheet} onOpenChange={setSheet} />
    </>
  );
}

function Announcer() {
  const announcement = usePage((p) => p.announcement);
  return (
    <p className="visually-hidden" role="status" aria-live="polite">
      {announcement}
    </p>
  );
}

function Panels({ theme }: { theme: Theme }) {
  const wide = useWide();
  const { title, about, panel, setPanel } = usePage((p) => ({
    title: p.scenario?.title,
    about: p.scenario?.about,
    panel: p.panel,
    setPanel: p.setPanel,
  }));
  return (
    <>
      <section className="panel time" aria-label="Timeline">
        <ThePlayer />
      </section>
      <div className="left">
        <TheSummary />
        <TheMap theme={theme} />
        <section className="panel" aria-labelledby="host-title">
          <h2 id="host-title">Host memory</h2>
          <TheHost theme={theme} />
        </section>
        {wide ? (
          <section className="panel" aria-labelledby="counts-title">
            <h2 id="counts-title">Counters over time</h2>
            <TheCounts theme={theme} />
          </section>
        ) : null}
      </div>
      <div className="right">
        <section className="panel story" aria-labelledby="story-title">
          <h2 id="story-title">{title}</h2>
          <p className="quiet">{about}</p>
          <TheSteps />
        </section>
        <Tabs
          className="panel tabs"
          selectedKey={panel}
          onSelectionChange={(key) => setPanel(key as PanelId)}
        >
          <TabList aria-label="Panels" className="segmented">
            {PANELS.map((p) => (
              <Tab key={p.id} id={p.id}>
                {p.name}
              </Tab>
            ))}
          </TabList>
          <TabPanel id="walk">
            <TheWalk theme={theme} />
          </TabPanel>
          <TabPanel id="device">
            <TheDevice />
          </TabPanel>
          <TabPanel id="vmas">
            <TheVmas />
          </TabPanel>
          <TabPanel id="slots">
            <TheSlots />
          </TabPanel>
          <TabPanel id="exits">
            <TheExits />
          </TabPanel>
          <TabPanel id="who">
            <TheWho />
          </TabPanel>
          <TabPanel id="counters">
            {wide ? null : <TheCounts theme={theme} />}
            <TheCounters />
          </TabPanel>
          <TabPanel id="events">
            <TheEvents />
          </TabPanel>
          <TabPanel id="console">
            <TheConsole />
          </TabPanel>
        </Tabs>
      </div>
    </>
  );
}
