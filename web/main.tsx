// Entry of the page: engine, store, address bar, then React.
import { StrictMode } from 'react';
import { createRoot } from 'react-dom/client';
import { StoreProvider } from './connected.tsx';
import { connectEngine } from './engine/client.ts';
import { fromHash, toHash } from './link.ts';
import { Page } from './page.tsx';
import { createPageStore } from './store.ts';
import './style/page.css';
import './style/widgets.css';
import './style/panels.css';
import './style/details.css';

const store = createPageStore(connectEngine((failure) => store.getState().fail(failure)));

function startFromAddress(): void {
  const { place, dropped } = fromHash(window.location.hash);
  void store
    .getState()
    .start(place)
    .then(() => {
      if (dropped.length === 0) return;
      const message = `parts of the link were not understood: ${dropped.join(', ')}`;
      store.getState().fail({ code: 'SLB-904', message, hint: 'the rest of it was used' });
    });
}

/** The hash that this page wrote itself, to tell a reader's own edit of the address from it. */
let written = '';
let timer: ReturnType<typeof setTimeout> | undefined;
/** Browsers count and then refuse writes to the address; a drag would make hundreds. */
const WRITE_AFTER_MS = 150;

store.subscribe(() => {
  clearTimeout(timer);
  timer = setTimeout(() => {
    const { phase, scenario, frame, vms, vm, selection, lens, insertions } = store.getState();
    if (phase !== 'ready') return;
    const name = vm > 0 ? vms[vm]?.name : undefined;
    const step = frame?.step ?? 0;
    const hash = toHash({ scenario: scenario?.name, step, vm: name, selection, lens, insertions });
    if (hash === written) return;
    written = hash;
    window.history.replaceState(null, '', hash);
  }, WRITE_AFTER_MS);
});
window.addEventListener('hashchange', () => {
  if (window.location.hash !== written) startFromAddress();
});

const root = document.getElementById('root');
if (root) {
  createRoot(root).render(
    <StrictMode>
      <StoreProvider value={store}>
        <Page />
      </StoreProvider>
    </StrictMode>,
  );
}
startFromAddress();
