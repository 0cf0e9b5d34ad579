// Icons as drawings: the signs for playback are missing from many fonts.
const PATHS = {
  start: 'M1.5 3H3v10H1.5zM8 3v10L3 8zM13 3v10L8 8z',
  back: 'M11.5 3v10L4.5 8z',
  play: 'M4.5 3v10l8-5z',
  pause: 'M4 3h3v10H4zM9 3h3v10H9z',
  forward: 'M3.5 3v10L10 8zM11 3h2v10h-2z',
  end: 'M3 3v10l5-5zM8 3v10l5-5zM13 3h1.5v10H13z',
} as const;

export type IconName = keyof typeof PATHS;

export function Icon({ name }: { name: IconName }) {
  return (
    <svg viewBox="0 0 16 16" width="16" height="16" aria-hidden="true" className="icon">
      <path d={PATHS[name]} fill="currentColor" />
    </svg>
  );
}
