/** Puts a compressed file beside each file of the page, so that the server need not compress; says how large the page is. */
import { readFileSync, readdirSync, writeFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { join } from 'node:path';
import { gzipSync } from 'node:zlib';

const FOLDER = fileURLToPath(new URL('../../src/posewire/web/', import.meta.url));
const LIMIT = 250_000;

let total = 0;
for (const entry of readdirSync(FOLDER, { recursive: true, withFileTypes: true })) {
  if (!entry.isFile() || entry.name.endsWith('.gz')) continue;
  const file = join(entry.parentPath, entry.name);
  const bytes = readFileSync(file);
  const small = gzipSync(bytes, { level: 9 });
  writeFileSync(`${file}.gz`, small);
  if (file.endsWith('.js')) total += small.length;
}
console.log(`JavaScript: ${(total / 1000).toFixed(1)} kB compressed, at most ${LIMIT / 1000}`);
if (total > LIMIT) process.exit(1);
