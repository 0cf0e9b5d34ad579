// One list of keys: it drives the handlers and is printed by the key sheet.
// Single keys act only while the focus is in their place, never in a text field (WCAG 2.1.4).
// Reference: docs/web.md "Keys".

export type KeyPlace = 'page' | 'map';
export type KeyAction =
  | 'help'
  | 'console'
  | 'goto'
  | 'filter'
  | 'next-panel'
  | 'play'
  | 'step'
  | 'back'
  | 'start'
  | 'end'
  | 'left'
  | 'right'
  | 'up'
  | 'down'
  | 'extend-left'
  | 'extend-right'
  | 'extend-up'
  | 'extend-down'
  | 'zoom-in'
  | 'zoom-out'
  | 'pan-low'
  | 'pan-high'
  | 'level-up'
  | 'level-down'
  | 'fit'
  | 'whole'
  | 'select'
  | 'twin'
  | 'lens-1'
  | 'lens-2'
  | 'lens-3'
  | 'lens-4';

export interface Key {
  readonly place: KeyPlace;
  readonly keys: readonly string[];
  readonly action: KeyAction;
  readonly about: string;
}

const key = (place: KeyPlace, keys: string, action: KeyAction, about: string): Key => ({
  place,
  keys: keys.split(' '),
  action,
  about,
});

/** `Shift+` only where it is part of the meaning: `?` is already what Shift made of its key. */
export const KEYS: readonly Key[] = [
  key('page', '?', 'help', 'this sheet'),
  key('page', '. >', 'step', 'one step forward'),
  key('page', ', <', 'back', 'one step back'),
  key('page', 'p', 'play', 'play, pause'),
  key('page', 'Home', 'start', 'to the start'),
  key('page', 'End', 'end', 'to the end'),
  key('page', 'g', 'goto', 'go to an address'),
  key('page', '/', 'filter', 'filter the events'),
  key('page', '`', 'console', 'console'),
  key('page', 'F6', 'next-panel', 'next panel'),
  key('map', 'ArrowLeft', 'left', 'selection one cell lower'),
  key('map', 'ArrowRight', 'right', 'selection one cell higher'),
  key('map', 'ArrowUp', 'up', 'selection one row lower'),
  key('map', 'ArrowDown', 'down', 'selection one row higher'),
  key('map', 'Shift+ArrowLeft', 'extend-left', 'shrink the selection by a cell'),
  key('map', 'Shift+ArrowRight', 'extend-right', 'extend the selection by a cell'),
  key('map', 'Shift+ArrowUp', 'extend-up', 'shrink the selection by a row'),
  key('map', 'Shift+ArrowDown', 'extend-down', 'extend the selection by a row'),
  key('map', 'w +', 'zoom-in', 'zoom in'),
  key('map', 's -', 'zoom-out', 'zoom out'),
  key('map', 'a', 'pan-low', 'pan to lower addresses'),
  key('map', 'd', 'pan-high', 'pan to higher addresses'),
  key('map', '[', 'level-up', 'up a table level (2 MiB, 1 GiB, 512 GiB, all)'),
  key('map', ']', 'level-down', 'down a table level'),
  key('map', 'f', 'fit', 'fit the selection'),
  key('map', '0', 'whole', 'the whole guest'),
  key('map', 'Enter', 'select', 'walk the selected page'),
  key('map', 'v', 'twin', 'the same as text'),
  key('map', '1', 'lens-1', 'lens: backing'),
  key('map', '2', 'lens-2', 'lens: SLAT'),
  key('map', '3', 'lens-3', 'lens: protection'),
  key('map', '4', 'lens-4', 'lens: attributes'),
];

export interface KeyPress {
  readonly key: string;
  readonly shiftKey: boolean;
  readonly ctrlKey: boolean;
  readonly altKey: boolean;
  readonly metaKey: boolean;
}

/** What a key press means in a place. Keys with Ctrl, Alt or Meta belong to the browser. */
export function actionOf(place: KeyPlace, press: KeyPress): KeyAction | undefined {
  if (press.ctrlKey || press.altKey || press.metaKey) return undefined;
  const name = press.shiftKey && press.key.startsWith('Arrow') ? `Shift+${press.key}` : press.key;
  return KEYS.find((k) => k.place === place && k.keys.includes(name))?.action;
}
