/** One file for pages without a bundler, with all it stands on; and the worklet, which has to be a file of its own. */
import { fileURLToPath } from 'node:url';
import { defineConfig } from 'vite';

const path = (relative: string): string => fileURLToPath(new URL(relative, import.meta.url));

export default defineConfig({
  root: path('.'),
  logLevel: 'warn',
  build: {
    outDir: path('dist'),
    target: 'es2022',
    lib: { entry: { index: path('src/index.ts'), 'audio-worklet': path('src/audio-worklet.ts') }, formats: ['es'] },
  },
});
