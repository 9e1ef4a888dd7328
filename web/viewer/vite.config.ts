import { fileURLToPath } from 'node:url';
import { defineConfig } from 'vite';

const path = (relative: string): string => fileURLToPath(new URL(relative, import.meta.url));

export default defineConfig({
  root: path('.'),
  base: './',
  logLevel: 'warn',
  resolve: { alias: { '@posewire/client': path('../client/src/index.ts') } },
  build: {
    // Where the Python package has it.
    outDir: path('../../src/posewire/web'),
    emptyOutDir: true,
    target: 'es2022',
    // Without the helper for old browsers, and with every file as a file: the page's policy knows no data: and no inline.
    modulePreload: { polyfill: false },
    assetsInlineLimit: 0,
    chunkSizeWarningLimit: 800,
    rolldownOptions: {
      input: { index: path('index.html'), 'audio-worklet': path('../client/src/audio-worklet.ts') },
      output: {
        entryFileNames: (chunk) => (chunk.name === 'audio-worklet' ? 'assets/audio-worklet.js' : 'assets/[name]-[hash].js'),
      },
    },
  },
});
