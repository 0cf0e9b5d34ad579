// What the screen is like: room for two columns; light or dark, which is the
// system's wish unless the reader chose. Only this choice is kept in local storage.
import { useEffect, useState } from 'react';
import type { Theme } from './draw/palette.ts';

export type ThemeChoice = Theme | 'system';
const KEY = 'slatbox-theme';

function stored(): ThemeChoice {
  // Storage may be forbidden; the page works without.
  try {
    const value = window.localStorage.getItem(KEY);
    return value === 'light' || value === 'dark' ? value : 'system';
  } catch {
    return 'system';
  }
}

function useMedia(query: string): boolean {
  const [matches, setMatches] = useState(() => window.matchMedia(query).matches);
  useEffect(() => {
    const list = window.matchMedia(query);
    const onChange = () => setMatches(list.matches);
    onChange();
    list.addEventListener('change', onChange);
    return () => list.removeEventListener('change', onChange);
  }, [query]);
  return matches;
}

/** The same width as in style/page.css. */
export const useWide = (): boolean => useMedia('(min-width: 720px)');

/** The theme, the reader's choice, and a way to change it. */
export function useTheme(): [Theme, ThemeChoice, (choice: ThemeChoice) => void] {
  const [choice, setChoice] = useState<ThemeChoice>(stored);
  const dark = useMedia('(prefers-color-scheme: dark)');
  const theme: Theme = choice === 'system' ? (dark ? 'dark' : 'light') : choice;
  useEffect(() => {
    document.documentElement.dataset.theme = theme;
    try {
      if (choice === 'system') window.localStorage.removeItem(KEY);
      else window.localStorage.setItem(KEY, choice);
    } catch {
      // The choice then lasts as long as the page.
    }
  }, [theme, choice]);
  return [theme, choice, setChoice];
}
