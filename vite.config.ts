// The page (root web/, built to dist-web/) and the tests share this file.
// Reference: https://vite.dev/config, https://vitest.dev/config
import { fileURLToPath } from 'node:url';
import { defineConfig } from 'vitest/config';
import { assemblyscript } from './scripts/vite-assemblyscript.ts';
import { vcpuWorker } from './scripts/vite-worker.ts';

const project = fileURLToPath(new URL('.', import.meta.url));

// Without these two a page gets no shared wasm memory; the plain build works without them.
const isolation = {
  'Cross-Origin-Opener-Policy': 'same-origin',
  'Cross-Origin-Embedder-Policy': 'require-corp',
};

export default defineConfig({
  root: process.env.VITEST ? project : `${project}web`,
  // Relative, so that the built page works from any folder of a static host.
  base: './',
  plugins: [assemblyscript(project), vcpuWorker(project)],
  server: { headers: isolation, fs: { allow: [project] } },
  preview: { headers: isolation },
  worker: { format: 'es' },
  // The worker's packages are found only when it starts; without this the first page of a dev server loads twice.
  optimizeDeps: { entries: ['index.html', 'engine/worker.ts'] },
  build: {
    outDir: `${project}dist-web`,
    emptyOutDir: true,
    target: 'es2022',
    // A wasm file stays a file: a data: URL cannot be compiled while it streams in.
    assetsInlineLimit: 0,
    // React Aria in one piece: 210 kB gzip, within the 260 kB that the page may cost.
    chunkSizeWarningLimit: 700,
  },
  test: {
    include: ['test/**/*.test.ts'],
    reporters: ['default', './scripts/summary-reporter.mjs'],
    // Two cores: one file at a time would waste one, more would only slow each other down.
    maxWorkers: 2,
  },
});
