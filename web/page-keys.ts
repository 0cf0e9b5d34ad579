// The page's own keys: what each action of keys.ts does, and where keys are left to others.
import { useEffect } from 'react';
import { actionOf, type KeyAction } from './keys.ts';
import type { Page, PageStore, PanelId } from './state.ts';

/** The tabs, in order. */
export const PANELS: readonly { readonly id: PanelId; readonly name: string }[] = [
  { id: 'walk', name: 'Walk' },
  { id: 'device', name: 'Device' },
  { id: 'vmas', name: 'VMAs' },
  { id: 'slots', name: 'Slots' },
  { id: 'exits', name: 'Exits' },
  { id: 'who', name: 'Who' },
  { id: 'counters', name: 'Counters' },
  { id: 'events', name: 'Events' },
  { id: 'console', name: 'Console' },
];

/** Places where typed characters are text, or that are a world of their own. */
const OWN_KEYS = 'input:not([type="range"]), textarea, [role="dialog"], [role="listbox"]';
const WITH_HOME_AND_END = '[role="tablist"], [role="grid"], input[type="range"]';

export function usePageKeys(store: PageStore, onHelp: () => void): void {
  useEffect(() => {
    const onKeyDown = (event: KeyboardEvent) => {
      const action = actionOf('page', event);
      if (!action || event.defaultPrevented) return;
      const target = event.target instanceof Element ? event.target : undefined;
      if (target?.closest(OWN_KEYS) && event.key !== 'F6') return;
      if ((event.key === 'Home' || event.key === 'End') && target?.closest(WITH_HOME_AND_END)) return;
      event.preventDefault();
      if (action === 'help') onHelp();
      else perform(action, store.getState());
    };
    document.addEventListener('keydown', onKeyDown);
    return () => document.removeEventListener('keydown', onKeyDown);
  });
}

/** A panel's input exists only after its tab is shown, so focus waits for the next frame. */
const focusSoon = (id: string) => requestAnimationFrame(() => document.getElementById(id)?.focus());

function perform(action: KeyAction, page: Page): void {
  switch (action) {
    case 'step':
      void page.stepBy(1);
      break;
    case 'back':
      void page.stepBy(-1);
      break;
    case 'play':
      page.togglePlay();
      break;
    case 'start':
      void page.seek(0);
      break;
    case 'end':
      void page.seek(page.steps.length);
      break;
    case 'goto':
      focusSoon('goto');
      break;
    case 'filter':
      page.setPanel('events');
      focusSoon('event-filter');
      break;
    case 'console':
      page.setPanel('console');
      focusSoon('console-input');
      break;
    case 'next-panel': {
      const at = PANELS.findIndex((p) => p.id === page.panel);
      const next = PANELS[(at + 1) % PANELS.length];
      if (next) page.setPanel(next.id);
    }
  }
}
