// The page's store: one selection and one time cursor drive every panel. The engine is behind a port.
// Reference: docs/web.md "The seams".
import { createStore } from 'zustand/vanilla';
import { parseCommand, withVm } from './engine/command.ts';
import type { Answer, EnginePort, Frame, Opened } from './engine/port.ts';
import { EXIT_FILTER } from './model/exits.ts';
import { firstRange, topSpan, wholeView, withInsertion, withResults } from './model/timeline.ts';
import { fitRange, fitView, gridOf, viewEnd } from './model/view.ts';
import { runPageCommand } from './page-commands.ts';
import {
  type ConsoleLine,
  machineNow,
  type Page,
  type PageState,
  type PageStore,
  stepSentence,
} from './state.ts';

const PAGE = 4096n;
const CONSOLE_LINES = 500;
export const DEFAULT_SCENARIO = 'sample-dontneed';

export function createPageStore(engine: EnginePort): PageStore {
  return createStore<Page>((set, get) => {
    /** Unwraps an answer; a failure becomes the banner, and what was on the page stays. */
    const unwrap = <T>(answer: Answer<T>): T | undefined => {
      if (answer.ok) return answer.value;
      set({ failure: answer.error, playing: false });
      return undefined;
    };
    /** For calls that die without an answer (a worker that cannot start). */
    const ask = async <T>(call: Promise<Answer<T>>): Promise<T | undefined> => {
      try {
        return unwrap(await call);
      } catch (error) {
        const message = error instanceof Error ? error.message : String(error);
        return unwrap({ ok: false, error: { code: 'SLB-900', message, hint: 'reload the page' } });
      }
    };

    let rasterRunning = false;
    /** One raster at a time; what was asked for meanwhile is only the newest view. */
    const refreshRaster = async (): Promise<void> => {
      if (rasterRunning) return;
      rasterRunning = true;
      try {
        for (;;) {
          const { vm, lens, view, frame } = get();
          const { width, height, cellShift } = gridOf(view.span);
          const cells = await ask(engine.raster({ vm, lens, gpa: view.start, cellShift, width, height }));
          if (!cells) return;
          const now = get();
          const same = now.frame === frame && now.vm === vm;
          const stale = !same || now.lens !== lens || now.view !== view;
          // A picture of an older step is not shown; of an older view it is, while the newer one is drawn.
          if (same) set({ raster: { vm, lens, view, step: frame?.step ?? 0, cells } });
          if (!stale) return;
        }
      } finally {
        rasterRunning = false;
      }
    };

    let walkTicket = 0;
    const refreshWalk = async (): Promise<void> => {
      const ticket = ++walkTicket;
      const looked = await ask(engine.look(get().vm, get().selection.gpa));
      if (looked && ticket === walkTicket) set(looked);
    };
    let eventsTicket = 0;
    /** What the panel that is open shows of the event log. */
    const refreshEvents = async (): Promise<void> => {
      const { panel, eventFilter } = get();
      if (panel !== 'events' && panel !== 'exits') return;
      const ticket = ++eventsTicket;
      const of = machineNow(get())?.name ?? '';
      const list = await ask(engine.events(panel === 'events' ? eventFilter : `${EXIT_FILTER} vm:${of}`));
      if (list && ticket === eventsTicket) set(panel === 'events' ? { events: list } : { exits: list });
    };
    let whoTicket = 0;
    const refreshWho = async (): Promise<void> => {
      const { panel, vm, selection } = get();
      if (panel !== 'who') return;
      const ticket = ++whoTicket;
      const who = await ask(engine.who(vm, selection.gpa, selection.len));
      if (ticket === whoTicket) set({ who });
    };
    const refresh = async (): Promise<void> => {
      await Promise.all([refreshWalk(), refreshRaster(), refreshEvents(), refreshWho()]);
      if (get().smaps !== undefined) await get().showSmaps();
    };

    const show = async (frame: Frame, changed: Partial<PageState> = {}): Promise<void> => {
      const results = withResults(changed.results ?? get().results, frame);
      set({ ...changed, frame, results, wanted: frame.step });
      await refresh();
    };

    const adopt = async ({ info, vms, steps, frame }: Opened, more: Partial<PageState>): Promise<void> => {
      const failed = frame.results.find((r) => !r.ok);
      await show(frame, { phase: 'ready', scenario: info, vms, steps, ...more });
      if (failed) get().announce(`step ${failed.label}: an expectation failed`);
    };

    let seeking = false;
    let timer: ReturnType<typeof setTimeout> | undefined;
    const schedule = (): void => {
      clearTimeout(timer);
      const { playing, speed } = get();
      if (playing) timer = setTimeout(() => void get().stepBy(1).then(schedule), 900 / speed);
    };

    const print = (kind: ConsoleLine['kind'], text: string): void =>
      set({ console: [...get().console, { kind, text }].slice(-CONSOLE_LINES) });

    return {
      phase: 'starting',
      scenarios: [],
      scenario: undefined,
      vms: [],
      vm: 0,
      steps: [],
      insertions: [],
      results: [],
      frame: undefined,
      wanted: 0,
      playing: false,
      speed: 1,
      selection: { gpa: 1n << 30n, len: PAGE },
      walk: undefined,
      page: undefined,
      isPrivate: false,
      who: undefined,
      inspected: undefined,
      lens: 'backing',
      view: { start: 0n, span: 33 },
      raster: undefined,
      smaps: undefined,
      panel: 'walk',
      eventFilter: '',
      events: undefined,
      exits: undefined,
      console: [],
      failure: undefined,
      announcement: '',

      async start(place) {
        const scenarios = await ask(engine.scenarios());
        if (!scenarios) {
          set({ phase: 'failed' });
          return;
        }
        const name = place.scenario ?? DEFAULT_SCENARIO;
        const known = scenarios.find((s) => s.name === name);
        set({ scenarios, lens: place.lens });
        if (!known) {
          const hint = `there are ${scenarios.map((s) => s.name).join(', ')}`;
          set({ failure: { code: 'SLB-901', message: `no scenario "${name}"`, hint } });
        }
        const first = known ?? scenarios[0];
        if (!first) return;
        const insertions = known ? place.insertions : [];
        const step = known ? place.step : 0;
        const opened =
          (await ask(engine.open(first.name, insertions, step))) ??
          // A console line of the link that is no step: the banner says so, and the scenario opens without.
          (insertions.length > 0 ? await ask(engine.open(first.name, [], 0)) : undefined);
        if (!opened) {
          set({ phase: 'failed' });
          return;
        }
        const selection = place.selection ?? firstRange(opened);
        const named = opened.vms.findIndex((m) => m.name === place.vm);
        const vm = Math.max(0, named);
        if (known && place.vm !== undefined && named < 0) {
          const hint = `there are ${opened.vms.map((m) => m.name).join(', ')}`;
          set({ failure: { code: 'SLB-905', message: `no VM "${place.vm}"`, hint } });
        }
        await adopt(opened, {
          vm,
          selection,
          insertions: get().failure ? [] : insertions,
          view: wholeView(opened.vms[vm]),
          results: [],
        });
        if (get().failure === undefined) await get().seek(step);
      },

      async open(name) {
        set({ playing: false, failure: undefined });
        const opened = await ask(engine.open(name, [], 0));
        if (!opened) return;
        await adopt(opened, {
          insertions: [],
          results: [],
          vm: 0,
          selection: firstRange(opened),
          view: wholeView(opened.vms[0]),
          inspected: undefined,
        });
        get().announce(`scenario ${opened.info.title}, ${opened.steps.length} steps`);
      },

      async seek(step) {
        const last = get().steps.length;
        set({ wanted: Math.min(last, Math.max(0, Math.round(step))) });
        if (seeking) return;
        seeking = true;
        try {
          while (get().frame && get().wanted !== get().frame?.step) {
            const frame = await ask(engine.seek(get().wanted));
            if (!frame) {
              set({ wanted: get().frame?.step ?? 0 });
              return;
            }
            // Perhaps a step on the way: shown, so that long runs are seen to move.
            set({ frame, results: withResults(get().results, frame) });
          }
        } finally {
          seeking = false;
        }
        await refresh();
        get().announce(stepSentence(get()));
      },

      async stepBy(delta) {
        const { frame, steps, playing, wanted } = get();
        if (!frame) return;
        if (playing && delta > 0 && frame.step >= steps.length) {
          set({ playing: false });
          return;
        }
        // From where it is going, not from where it is: two quick presses are two steps.
        await get().seek(wanted + delta);
      },

      togglePlay() {
        const { playing, frame, steps } = get();
        set({ playing: !playing });
        if (!playing && frame && frame.step >= steps.length) void get().seek(0).then(schedule);
        else schedule();
      },

      setSpeed(speed) {
        set({ speed });
        schedule();
      },

      select(range) {
        const gpa = range.gpa < 0n ? 0n : BigInt.asUintN(64, range.gpa);
        set({ selection: { gpa, len: range.len > 0n ? range.len : PAGE }, inspected: undefined });
        void refreshWalk();
        void refreshWho();
      },

      goTo(range) {
        const { view } = get();
        get().select(range);
        const visible = range.gpa >= view.start && range.gpa < viewEnd(view);
        if (!visible) get().setView(fitRange(range, topSpan(machineNow(get()))));
      },

      setVm(vm) {
        const { vms, view, vm: old } = get();
        const machine = vms[vm];
        if (!machine || vm === old) return;
        // The place stays: two VMs can be compared page by page.
        set({ vm, view: fitView(view.start, view.span, topSpan(machine)), inspected: undefined });
        void refresh();
        get().announce(`VM ${machine.name}`);
      },

      setLens(lens) {
        set({ lens });
        void refreshRaster();
      },

      setView(view) {
        const old = get().view;
        if (view.start === old.start && view.span === old.span) return;
        set({ view });
        void refreshRaster();
      },

      setPanel(panel) {
        set({ panel });
        void refreshEvents();
        void refreshWho();
      },
      setEventFilter(eventFilter) {
        set({ eventFilter });
        void refreshEvents();
      },
      inspect: (inspected) => set({ inspected }),

      async showSmaps() {
        const smaps = await ask(engine.smaps(get().vm));
        if (smaps !== undefined) set({ smaps });
      },

      async run(typed) {
        // A step is about the VM that the panels show.
        const { vms, vm } = get();
        const line = vm > 0 ? withVm(typed, vms[vm]?.name ?? '') : typed;
        const command = parseCommand(line);
        if (!command) return;
        print('input', line.trim());
        if ('problem' in command) {
          print('problem', command.problem);
          return;
        }
        if ('step' in command) {
          const at = get().frame?.step ?? 0;
          const answer = await engine.insert(line.trim());
          if (!answer.ok) {
            // The line was refused, the machine is as before: that belongs beside the line, not in the banner.
            const { code, message, hint } = answer.error;
            print('problem', `${code}: ${message}${hint ? ` (${hint})` : ''}`);
            return;
          }
          const insertions = withInsertion(get().insertions, { at, line: line.trim() });
          await adopt(answer.value, { insertions, results: get().results.slice(0, at) });
          const result = get().results[at];
          if (result) print('output', `${result.title}  ${result.text}`);
          get().announce(stepSentence(get()));
          return;
        }
        await runPageCommand(command, engine, get, set, print);
      },

      fail: (failure) => set({ failure, playing: false }),
      dismiss: () => set({ failure: undefined }),
      announce: (announcement) => set({ announcement }),
    };
  });
}
